"""The proof ``restored``: restore it into a place of its own, and compare what stands there with the facts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from amanat.domain.comparison import Comparison
from amanat.domain.errors import (
    AmanatError,
    AnswerError,
    ConfigurationError,
    DriftError,
    ProofError,
    RefusedError,
)
from amanat.domain.events import Event
from amanat.domain.model import Facts
from amanat.domain.policy import MANUAL, Database, Policy
from amanat.ports import Ports
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control
from amanat.services.beside import warm
from amanat.services.beside.site import at

_SHOWN = 5

Rehearse = Callable[[Path, Facts], float]


def rehearsal(
    ports: Ports, database: Database, policy: Policy, place: Place, control: Control, *, keep: bool = False
) -> Rehearse:
    """To be called with an artefact and its facts, in its turn among the drills: says how many seconds restoring
    took. ProofError names what differs, DriftError where that is the server's doing, AnswerError where only the
    user's questions are unhappy. ``keep``: what is proven stays, for ``warm.take_over``, where that can be.
    """

    def rehearse(artefact: Path, facts: Facts) -> float:
        rehearsed: Rehearsal | None = None
        if keep:
            rehearsed = warm.restored(ports, at(ports, database, place, control), policy, artefact, facts)
        if rehearsed is None:
            rehearser = ports.rehearser_of(database, policy)
            rehearsed = rehearser.rehearse(artefact, facts, policy.checks, place, control)
        for warning in rehearsed.warnings:
            ports.emit(Event.RUN_WARNING, database=database.name, run=place.run, warning=warning)
        _judge(artefact.name, rehearsed.comparison)
        return rehearsed.seconds

    return rehearse


def policy_of(ports: Ports, name: str, database: str) -> Policy:
    """The one in force. Where none is, as for ``manual``: no checks, and the drill server of the others."""
    if policy := ports.policy_now(name):
        return policy
    servers = (policy.drill_server for policy in ports.policies_now(database))
    return replace(MANUAL, drill_server=next((server for server in servers if server), None))


def configured(ports: Ports, name: str) -> Database:
    """Where a snapshot of it may be restored; ConfigurationError when that is no longer known."""
    database = ports.database_now(name)
    if database is None:
        raise ConfigurationError(
            f"database {name} is not configured, so it is not known where its snapshots may be restored",
            hint="name it in the policy file, or prove the snapshot to a lower level",
        )
    return database


def _judge(name: str, comparison: Comparison) -> None:
    if comparison.differences:
        raise _failure(name, comparison)
    if comparison.not_compared:
        raise RefusedError(
            f"{name} was restored, but not compared: {'; '.join(comparison.not_compared)}",
            hint="its manifest does not say what was in the database; take a new snapshot",
        )


def _failure(name: str, comparison: Comparison) -> AmanatError:
    differs = f"{name} was restored, and is not what was taken: {_told(comparison)}"
    if comparison.is_drift:
        return DriftError(
            differs, hint="the snapshot is as it was, the server is not: see to its extensions and collations"
        )
    if comparison.is_answer:
        return AnswerError(
            f"{name} was restored as it was taken, but {_told(comparison)}",
            hint="the snapshot is as it was: see to the data of then, or to the question",
        )
    return ProofError(differs, hint="take a new snapshot; see what changed the file or the manifest")


def _told(comparison: Comparison) -> str:
    shown = "; ".join(difference.describe() for difference in comparison.differences[:_SHOWN])
    more = len(comparison.differences) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown
