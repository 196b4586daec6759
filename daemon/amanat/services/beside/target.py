"""Which snapshot a rollback goes to, and whether it may."""

from collections.abc import Iterable

from amanat.domain import whereabouts
from amanat.domain.errors import NotFoundError, RefusedError
from amanat.domain.model import MANUAL_POLICY, Facts, Scope, Snapshot, SnapshotState
from amanat.domain.policy import Database
from amanat.ports import Ports
from amanat.services import find, losses
from amanat.services.beside import swaps
from amanat.services.beside.site import Site

PRE_RELEASE = "pre-release"
"""The policy whose snapshots are taken before a release, by the name that the examples give it."""


def choose(ports: Ports, database: Database, to: str) -> Snapshot:
    """``to``: a snapshot, or a policy whose newest proven one is meant; empty: the newest proven ``pre-release``
    one, or where there is none the newest proven one. Of a whole database, all of them.
    """
    if to and to != MANUAL_POLICY and not ports.policy_now(to):
        return require_fit(ports, find.require_here(ports, find.snapshot(ports, to)), database)
    for policy in [to] if to else [PRE_RELEASE, None]:
        found = ports.register.newest_snapshot(database=database.name, policy=policy, scope=Scope(), proven=True)
        if found:
            return require_fit(ports, found, database)
    under = f" under policy {to}" if to else ""
    raise NotFoundError(
        f"there is no proven snapshot of all of {database.name}{under} to go back to",
        hint="`amanat list` shows what there is; --to takes a snapshot too",
    )


def require_fit(ports: Ports, snapshot: Snapshot, database: Database) -> Snapshot:
    """RefusedError for one that must not go live under the name of ``database``."""
    if reason := _against(ports, snapshot, database):
        raise RefusedError(
            f"snapshot {snapshot.id} {reason}",
            hint="choose another one, or restore it beside: `amanat restore SNAPSHOT --to NEW`",
        )
    return snapshot


def elsewhere(facts: Facts, site: Site) -> tuple[str, ...]:
    """How the snapshot with these facts is of another database, as far as that can be known."""
    return tuple(whereabouts.differences(whereabouts.of(facts), site.identity))


def require_none(snapshot: Snapshot, differences: Iterable[str]) -> None:
    if told := "; ".join(differences):
        raise RefusedError(
            f"snapshot {snapshot.id} is of another database: {told}",
            hint=swaps.ELSEWHERE,
        )


def _against(ports: Ports, snapshot: Snapshot, database: Database) -> str:
    if snapshot.database != database.name:
        return f"is of {snapshot.database}, not of {database.name}"
    if snapshot.environment != database.environment:
        return f"is of environment {snapshot.environment}, and {database.name} is in {database.environment}"
    if not snapshot.scope.is_whole:
        return f"is of a part of the database: {snapshot.scope.describe()}"
    if problem := losses.problem(ports, snapshot):
        return f"cannot be relied on: {problem}"
    return "" if snapshot.state is SnapshotState.PRESENT else f"is {snapshot.state}"
