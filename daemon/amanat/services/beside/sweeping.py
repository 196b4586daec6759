"""What runs left on servers, or beside SQLite files, when they could not drop it themselves."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, ProofLevel, Run, Stage
from amanat.domain.policy import MANUAL, Database, Policy
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services.beside.site import place_of
from amanat.services.rehearse import policy_of

_SWEEPING = timedelta(minutes=1)
_ENDED = tuple(outcome for outcome in Outcome if outcome is not Outcome.SKIPPED)
_BESIDE = {Stage.RESTORE, Stage.ROLLBACK}
_RESTORING = {Stage.DRILL, Stage.VERIFY, *_BESIDE}


def sweep_servers(ports: Ports) -> list[str]:
    """Drop what drills could not, where the last one did not end well: the server may have been down then.

    What was dropped, by name. A server that cannot be reached costs a minute at most, and is told of.
    """
    return [
        name
        for run in _doubtful(ports)
        for name in remove_restored(ports, run, ports.controls(timeout=_SWEEPING, label={}))
    ]


def _doubtful(ports: Ports) -> list[Run]:
    """One run of each (database, policy) whose newest one that restored failed, or told of something."""
    newest = ports.register.last_runs(outcomes=_ENDED)
    found = [run for run in newest if run.outcome is not Outcome.SUCCEEDED or run.note]
    return list({(run.database, run.policy): run for run in found if _restores(ports, run)}.values())


def _restores(ports: Ports, run: Run) -> bool:
    if run.stage is Stage.SNAPSHOT:
        return policy_of(ports, run.policy, run.database).proof.reaches(ProofLevel.RESTORED)
    return run.stage in _RESTORING


def remove_restored(ports: Ports, run: Run, control: Control) -> list[str]:
    """What runs may have restored where that one did; what was dropped, by name."""
    database = ports.database_now(run.database)
    if database is None or run.stage in {Stage.PRUNE, Stage.MIGRATION}:
        return []
    dropped: list[str] = []
    for sweep in _sweeps(ports, run, database):
        try:
            dropped += sweep(control)
        except AmanatError as exc:
            warning = f"what run {run.id} may have left is looked for again by the next drill: {exc}"
            ports.emit(Event.RUN_WARNING, database=run.database, warning=warning)
    for name in dropped:
        ports.emit(Event.RECONCILE_ACTED, what="drill database", thing=name)
    return dropped


def _sweeps(ports: Ports, run: Run, database: Database) -> Iterator[Callable[[Control], list[str]]]:
    """Of every place where a run of its kind restores."""
    policy = policy_of(ports, run.policy, run.database)
    if run.stage not in _BESIDE:
        for each in _with_own_server(policy):
            yield partial(_sweep_drill_server, ports, run, database, each)
    if run.stage in _BESIDE or policy.warm:
        yield partial(_sweep_beside, ports, run, database)


def _with_own_server(policy: Policy) -> list[Policy]:
    """The policy may have said another place when the run began: the database's own server is looked at too."""
    return [policy] if policy.drill_server == MANUAL.drill_server else [policy, MANUAL]


def _sweep_drill_server(ports: Ports, run: Run, database: Database, policy: Policy, control: Control) -> list[str]:
    with ports.scratch.folder(f"{run.id}-sweep") as scratch:
        place = place_of(ports, run.id, (ports.store.staged(run.id), scratch))
        return ports.rehearser_of(database, policy).sweep(place, control)


def _sweep_beside(ports: Ports, run: Run, database: Database, control: Control) -> list[str]:
    with ports.scratch.folder(f"{run.id}-sweep") as scratch:
        place = place_of(ports, run.id, (ports.store.staged(run.id), scratch))
        return ports.restorer_of(database).sweep(place, control)
