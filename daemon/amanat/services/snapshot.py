"""Take a snapshot: lock, row, space, staging, engine, proof, commit, row, prune (design section 5)."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from amanat.domain import naming
from amanat.domain.errors import AmanatError, SpaceError
from amanat.domain.events import Event
from amanat.domain.model import Entry, EntryKind, Outcome, Run, Snapshot, Stage
from amanat.domain.policy import Policy
from amanat.domain.units import format_size
from amanat.ports import Control, Engine, Order, Ports
from amanat.services import losses, prune, reconcile
from amanat.services.commit import Taken, commit
from amanat.services.request import Request, require_usable
from amanat.services.runs import ActiveRun, admitted, new_id, outcome_of, recorded

_GROWTH = 1.25  # room for a snapshot that has grown by a quarter since the last one


def take(ports: Ports, request: Request) -> Snapshot:
    """Take, prove and commit one snapshot, trying again after transient failures as the policy says.

    Errors: ConfigurationError before anything is recorded; else what the last attempt raised, after its
    row was written and its files were removed.
    """
    require_usable(request)
    earlier = _earlier(ports, request)
    tries = max(1, request.policy.retry.attempts - _failures(earlier))
    for attempt in itertools.count(1):
        try:
            return _attempt(ports, request, len(earlier) + attempt)
        except AmanatError as exc:
            if not exc.transient or attempt >= tries:
                ports.register.append(_failure(ports, request, exc))
                raise
            _back_off(ports, request, attempt)
    raise AssertionError  # unreachable: count() does not end


def is_served(earlier: Sequence[Run], policy: Policy) -> bool:
    """Whether these runs of one instant leave nothing to do: one succeeded, or all tries were used up."""
    succeeded = any(run.outcome is Outcome.SUCCEEDED for run in earlier)
    return succeeded or _failures(earlier) >= policy.retry.attempts


def _failures(earlier: Sequence[Run]) -> int:
    return sum(run.outcome is Outcome.FAILED for run in earlier)


def _earlier(ports: Ports, request: Request) -> list[Run]:
    """Attempts at the same instant before a crash or a stop."""
    if request.scheduled_at is None:
        return []
    label = (request.policy.name, request.database.name)
    return ports.register.runs_of_slot(Stage.SNAPSHOT, *label, request.scheduled_at)


def _back_off(ports: Ports, request: Request, attempt: int) -> None:
    pause = request.policy.retry.backoff * 2 ** (attempt - 1)
    ports.emit(Event.RUN_RETRIED, **request.label, attempt=attempt, pause_seconds=pause.seconds)
    ports.controls(timeout=None, label={}).wait(pause.total_seconds())


def _attempt(ports: Ports, request: Request, attempt: int) -> Snapshot:
    run = Run(
        id=new_id(),
        stage=Stage.SNAPSHOT,
        by=request.by,
        purpose=request.purpose,
        scheduled_at=request.scheduled_at,
        attempt=attempt,
        started_at=ports.now(),
        database=request.database.name,
        policy=request.policy.name,
    )
    with admitted(ports, run, wait=request.wait):
        reconcile.settle(ports, request.database.name)
        before = _newest(ports, request)
        with recorded(ports, replace(run, started_at=ports.now())) as active:
            control = ports.controls(timeout=request.policy.timeout, label=request.label)
            snapshot = _produce(ports, request, active, control)
        prune.after_success(ports, request.policy.name, request.database.name, by=request.by, before=before)
    return snapshot


def _newest(ports: Ports, request: Request) -> Snapshot | None:
    earlier = ports.register.snapshots(database=request.database.name, policy=request.policy.name)
    return next((item for item in earlier if item.proven), None)


def _produce(ports: Ports, request: Request, active: ActiveRun, control: Control) -> Snapshot:
    losses.require_store(ports)
    engine = ports.engine_of(request.database)
    with ports.store.staging(active.run.id) as folder, ports.scratch.folder(active.run.id) as scratch:
        _require_space(ports, request, engine, engine.source_bytes(control, scratch))
        taken_at = ports.now()
        artefact = engine.take(_order(request, folder, scratch), control)
        for warning in artefact.warnings:
            active.warnings.append(warning)
            ports.emit(Event.RUN_WARNING, **request.label, run=active.run.id, warning=warning)
        taken = Taken(engine=engine, run=active.run.id, at=taken_at, artefact=artefact)
        snapshot = commit(ports, request, taken, control)
    active.snapshot = snapshot.id
    return snapshot


def _order(request: Request, folder: Path, scratch: Path) -> Order:
    return Order(
        folder=folder,
        scratch=scratch,
        scope=request.effective_scope,
        counts=naming.counts_wanted(request.policy.file_name),
        globals=request.policy.globals,
    )


def _require_space(ports: Ports, request: Request, engine: Engine, source_bytes: int) -> None:
    """SpaceError before a byte is written; judged by the last snapshot, the first time by the source."""
    earlier = ports.register.snapshots(database=request.database.name, policy=request.policy.name)
    last = next((item.size_bytes for item in earlier if item.scope == request.effective_scope), None)
    needed = int((source_bytes if last is None else last) * _GROWTH)
    needed += engine.staging_bytes(request.effective_scope, source_bytes)
    free = ports.store.free_bytes()
    if free < needed:
        raise SpaceError(
            f"store {ports.store.root} has {format_size(free)} free, "
            f"a snapshot of {request.database.name} needs about {format_size(needed)}",
            hint="make room on that file system, or keep fewer snapshots",
        )


def _failure(ports: Ports, request: Request, exc: AmanatError) -> Entry:
    return Entry(
        at=ports.now(),
        by=request.by,
        kind=EntryKind.SNAPSHOT,
        database=request.database.name,
        environment=request.database.environment,
        policy=request.policy.name,
        purpose=request.purpose,
        scope=request.effective_scope.describe(),
        outcome=outcome_of(exc),
        detail=exc.message,
    )
