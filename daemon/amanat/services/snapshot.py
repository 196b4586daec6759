"""Take a snapshot: lock, row, space, staging, engine, proof, commit, row, prune (design section 5)."""

import itertools
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from amanat.domain import naming
from amanat.domain.errors import AmanatError, ConfigurationError, SpaceError, StoreError
from amanat.domain.events import Event
from amanat.domain.manifest import Companion, Manifest
from amanat.domain.model import Entry, EntryKind, Outcome, Run, Scope, Snapshot, SnapshotState, Stage
from amanat.domain.policy import Database, Policy
from amanat.domain.units import format_size
from amanat.ports import Artefact, Control, Engine, Order, Ports
from amanat.services import prove, prune
from amanat.services.runs import ActiveRun, admitted, new_id, recorded

_MOST_OF_ONE_NAME = 10_000
_GROWTH = 1.25  # room for a snapshot that has grown by a quarter since the last one


@dataclass(frozen=True, kw_only=True)
class Request:
    """What somebody wants. ``scope`` overrides the policy's; ``version`` fills ``{version}``.

    ``wait``: seconds to wait for another run on the same database.
    """

    database: Database
    policy: Policy
    by: str
    name: str
    purpose: str = ""
    scope: Scope | None = None
    version: str = ""
    scheduled_at: datetime | None = None
    wait: float = 0.0

    @property
    def effective_scope(self) -> Scope:
        return self.scope or self.policy.scope


def take(ports: Ports, request: Request) -> Snapshot:
    """Take, prove and commit one snapshot, trying again after transient failures as the policy says.

    Errors: ConfigurationError before anything is recorded; else what the last attempt raised, after its
    row was written and its files were removed.
    """
    _check(request)
    before = _attempts_before(ports, request)
    retry = request.policy.retry
    for attempt in itertools.count(1):
        try:
            return _attempt(ports, request, before + attempt)
        except AmanatError as exc:
            if not exc.transient or attempt >= retry.attempts:
                ports.register.append(_failure(ports, request, exc))
                raise
            pause = retry.backoff * 2 ** (attempt - 1)
            ports.emit(Event.RUN_RETRIED, **_names(request), attempt=attempt, pause_seconds=pause.seconds)
            ports.controls(timeout=None, label={}).wait(pause.total_seconds())
    raise AssertionError  # unreachable: count() does not end


def _check(request: Request) -> None:
    naming.check_name(request.name)
    prove.require_available(request.policy.proof)
    if request.policy.purpose_required and not request.purpose.strip():
        raise ConfigurationError(
            f"policy {request.policy.name} requires a purpose", hint='say why: --purpose "pre release 2.1.0"'
        )


def _attempts_before(ports: Ports, request: Request) -> int:
    """An interrupted run of the same instant is an attempt that was used up."""
    if request.scheduled_at is None:
        return 0
    earlier = ports.register.runs_of_slot(
        Stage.SNAPSHOT, request.policy.name, request.database.name, request.scheduled_at
    )
    return len(earlier) if earlier and earlier[-1].outcome is Outcome.INTERRUPTED else 0


def _attempt(ports: Ports, request: Request, attempt: int) -> Snapshot:
    control = ports.controls(timeout=request.policy.timeout, label=_names(request))
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
    with admitted(ports, run, control, wait=request.wait):
        run = replace(run, started_at=ports.now())
        before = _newest(ports, request)
        with recorded(ports, run) as active:
            snapshot = _produce(ports, request, active, control)
        prune.after_success(ports, request.policy, request.database.name, by=request.by, before=before)
    return snapshot


def _newest(ports: Ports, request: Request) -> Snapshot | None:
    earlier = ports.register.snapshots(database=request.database.name, policy=request.policy.name)
    return next((item for item in earlier if item.proven), None)


def _produce(ports: Ports, request: Request, active: ActiveRun, control: Control) -> Snapshot:
    ports.store.require()
    engine = ports.engine_of(request.database)
    with ports.store.staging(active.run.id) as folder, ports.scratch.folder(active.run.id) as scratch:
        _require_space(ports, request, engine, engine.source_bytes(control, scratch))
        taken_at = ports.now()
        artefact = engine.take(_order(request, folder, scratch), control)
        for warning in artefact.warnings:
            active.warnings.append(warning)
            ports.emit(Event.RUN_WARNING, **_names(request), run=active.run.id, warning=warning)
        snapshot = _commit(ports, request, active, engine, artefact, taken_at, control)
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


def _commit(  # noqa: PLR0917 - one call, two lines above
    ports: Ports,
    request: Request,
    active: ActiveRun,
    engine: Engine,
    artefact: Artefact,
    taken_at: datetime,
    control: Control,
) -> Snapshot:
    size, digest = ports.store.describe(artefact.path, control)
    prove.prove(
        ports,
        artefact.path,
        engine=engine.name,
        sha256=digest,
        facts=artefact.facts,
        scope=request.effective_scope,
        level=request.policy.proof,
        control=control,
    )
    path = _free_path(ports, request, _file_name(request, artefact, taken_at), engine.extension)
    companions = _companions(ports, artefact, path, control)
    snapshot = Snapshot(
        id=new_id(),
        database=request.database.name,
        engine=engine.name,
        environment=request.database.environment,
        policy=request.policy.name,
        name=naming.check_name(request.name),
        purpose=request.purpose,
        by=request.by,
        scope=request.effective_scope,
        path=path,
        size_bytes=size,
        source_bytes=artefact.facts.source_bytes,
        sha256=digest,
        taken_at=taken_at,
        scheduled_at=request.scheduled_at,
        proof=request.policy.proof,
        required_proof=request.policy.proof,
        proof_at=ports.now(),
        proof_run=active.run.id,
        state=SnapshotState.PRESENT,
        companions=tuple(f"{request.database.name}/{item.file}" for item, _ in companions),
    )
    control.check()
    ports.register.name_artefact(active.run.id, path)
    manifest = _manifest(ports, snapshot, artefact, companions)
    ports.store.commit(manifest, artefact.path, {item.file: staged for item, staged in companions})
    ports.register.add_snapshot(snapshot, _entry(snapshot, active.run.id))
    ports.emit(Event.SNAPSHOT_COMMITTED, **_names(request), snapshot=snapshot.id, path=path, size_bytes=size)
    return snapshot


def _free_path(ports: Ports, request: Request, file_name: str, extension: str) -> str:
    """Never one that a snapshot had before, so that a path in the register means one snapshot for ever."""
    for number in range(1, _MOST_OF_ONE_NAME):
        path = f"{request.database.name}/{naming.numbered(file_name, number)}.{extension}"
        if ports.store.is_free(path) and ports.register.snapshot_at(path) is None:
            return path
    raise StoreError(
        f"{_MOST_OF_ONE_NAME} snapshots of {request.database.name} are named {file_name}",
        hint="put {timestamp} into the policy's file_name",
    )


def _file_name(request: Request, artefact: Artefact, taken_at: datetime) -> str:
    return naming.render(
        request.policy.file_name,
        environment=request.database.environment,
        database=request.database.name,
        policy=request.policy.name,
        name=naming.check_name(request.name),
        taken_at=taken_at,
        counts=artefact.facts.counts,
        version=request.version,
    )


def _companions(ports: Ports, artefact: Artefact, path: str, control: Control) -> list[tuple[Companion, Path]]:
    file = path.rsplit("/", 1)[-1]
    return [
        (ports.store.companion(f"{file}{suffix}", staged, control), staged)
        for suffix, staged in artefact.companions.items()
    ]


def _manifest(
    ports: Ports, snapshot: Snapshot, artefact: Artefact, companions: list[tuple[Companion, Path]]
) -> Manifest:
    file = snapshot.path.rsplit("/", 1)[-1]
    return Manifest(
        snapshot=snapshot,
        facts=artefact.facts,
        companions=tuple(item for item, _ in companions),
        tools=artefact.tools,
        archive_version=artefact.archive_version,
        recipe=ports.prover_of(snapshot.engine).recipe(file, artefact.facts),
        warnings=artefact.warnings,
    )


def _entry(snapshot: Snapshot, run: str) -> Entry:
    return Entry(
        at=snapshot.taken_at,
        by=snapshot.by,
        kind=EntryKind.SNAPSHOT,
        database=snapshot.database,
        environment=snapshot.environment,
        policy=snapshot.policy,
        purpose=snapshot.purpose,
        scope=snapshot.scope.describe(),
        outcome=Outcome.SUCCEEDED,
        snapshot=snapshot.id,
        run=run,
        detail=snapshot.path,
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
        outcome=Outcome.FAILED,
        detail=exc.message,
    )


def _names(request: Request) -> dict[str, str]:
    return {"database": request.database.name, "policy": request.policy.name}
