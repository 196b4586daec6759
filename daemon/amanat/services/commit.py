"""From a staged artefact to a snapshot: bytes on the disk, proof, name, files, manifest, row."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from amanat.domain import naming
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, IntegrityError, InterruptedRunError, StoreError
from amanat.domain.events import Event
from amanat.domain.manifest import Companion, Manifest
from amanat.domain.model import ProofLevel, Snapshot
from amanat.ports import Ports
from amanat.ports.engine import Artefact, Engine
from amanat.ports.run import Control
from amanat.services import prove
from amanat.services.rehearse import Rehearse
from amanat.services.request import Request
from amanat.services.runs import new_id

_MOST_OF_ONE_NAME = 10_000

Companions = list[tuple[Companion, Path]]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What an engine left in staging, by which run, and when its instant was.

    ``rehearse`` None: it is not restored for the proof now.
    """

    engine: Engine
    run: str
    at: datetime
    artefact: Artefact
    rehearse: Rehearse | None


@dataclass(frozen=True, kw_only=True)
class Committed:
    """``problem``: why it was not proven as its policy asks; it is kept, and counts for nothing.
    ``restore_seconds``: as in ``Run``.
    """

    snapshot: Snapshot
    problem: AmanatError | None
    restore_seconds: float | None


def commit(ports: Ports, request: Request, taken: Taken, control: Control) -> Committed:
    """Prove the artefact in staging, then move it into place; the manifest, written last, makes it count.

    The row names the path before any file is there, so that a crash leaves nothing that is not ours.
    """
    size, digest = ports.store.secure(taken.artefact.path), taken.artefact.sha256
    _prove(ports, request, taken, digest, control)
    rehearsed = _rehearsed(request, taken, control)
    path = _free_path(ports, request, taken)
    companions = _companions(ports, taken.artefact, path, control)
    snapshot = replace(_snapshot(ports, request, taken, (path, size, digest), companions), proof=rehearsed.level)
    control.check()
    ports.register.name_artefact(taken.run, path)
    manifest = _manifest(ports, snapshot, taken.artefact, companions)
    staged = {item.file: file for item, file in companions}
    manifest_sha256 = ports.store.commit(manifest, taken.artefact.path, staged)
    snapshot = replace(snapshot, manifest_sha256=manifest_sha256)
    entry = Entry.about(snapshot, EntryKind.SNAPSHOT, at=snapshot.taken_at, by=snapshot.by, run=taken.run)
    ports.register.add_snapshot(snapshot, entry)
    ports.emit(Event.SNAPSHOT_COMMITTED, **request.label, snapshot=snapshot.id, path=path, size_bytes=size)
    return Committed(snapshot=snapshot, problem=rehearsed.problem, restore_seconds=rehearsed.seconds)


class _Rehearsed(NamedTuple):
    level: ProofLevel
    problem: AmanatError | None = None
    seconds: float | None = None


def _rehearsed(request: Request, taken: Taken, control: Control) -> _Rehearsed:
    """Decision 0013: what does not restore, or could not be, is kept for diagnosis, and counts for nothing."""
    wanted = request.policy.proof
    if not wanted.reaches(ProofLevel.RESTORED):
        return _Rehearsed(wanted)
    if taken.rehearse is None:
        return _Rehearsed(ProofLevel.READABLE)
    try:
        seconds = taken.rehearse(taken.artefact.path, taken.artefact.facts)
    except (InterruptedRunError, IntegrityError):
        raise
    except AmanatError as exc:
        control.check()  # it may be the whole run whose time is over
        return _Rehearsed(ProofLevel.READABLE, problem=exc)
    return _Rehearsed(ProofLevel.RESTORED, seconds=seconds)


def _prove(ports: Ports, request: Request, taken: Taken, sha256: str, control: Control) -> None:
    prove.prove(
        ports,
        taken.artefact.path,
        engine=taken.engine.name,
        sha256=sha256,
        facts=taken.artefact.facts,
        scope=request.effective_scope,
        level=request.policy.proof,
        control=control,
        read_back=taken.artefact.read_back,
        readable=taken.artefact.readable,
    )


def _snapshot(
    ports: Ports,
    request: Request,
    taken: Taken,
    file: tuple[str, int, str],
    companions: Companions,
) -> Snapshot:
    path, size, digest = file
    return Snapshot(
        id=new_id(),
        database=request.database.name,
        engine=taken.engine.name,
        environment=request.database.environment,
        policy=request.policy.name,
        name=naming.check_name(request.name),
        purpose=request.purpose,
        by=request.by,
        scope=request.effective_scope,
        path=path,
        size_bytes=size,
        source_bytes=taken.artefact.facts.source_bytes,
        sha256=digest,
        taken_at=taken.at,
        scheduled_at=request.scheduled_at,
        proof=request.policy.proof,
        required_proof=request.policy.proof,
        proof_at=ports.now(),
        proof_run=taken.run,
        read_at=ports.now(),
        companions=tuple(f"{request.database.name}/{item.file}" for item, _ in companions),
    )


def _manifest(ports: Ports, snapshot: Snapshot, artefact: Artefact, companions: Companions) -> Manifest:
    file = snapshot.path.rsplit("/", 1)[-1]
    return Manifest(
        snapshot=snapshot,
        facts=artefact.facts,
        companions=tuple(item for item, _ in companions),
        tools=artefact.tools,
        archive_version=artefact.archive_version,
        recipe=ports.prover_of(snapshot.engine).recipe(file, artefact.facts),
        warnings=artefact.warnings,
        register_head=ports.register.head(),
    )


def _companions(ports: Ports, artefact: Artefact, path: str, control: Control) -> Companions:
    file = path.rsplit("/", 1)[-1]
    return [
        (ports.store.companion(f"{file}{suffix}", staged, control), staged)
        for suffix, staged in artefact.companions.items()
    ]


def _free_path(ports: Ports, request: Request, taken: Taken) -> str:
    """Never one that a run had before, so that a path in the register means one snapshot for ever."""
    file_name = _file_name(request, taken)
    extension = taken.artefact.path.name.split(".", 1)[1]
    for number in range(1, _MOST_OF_ONE_NAME):
        path = f"{request.database.name}/{naming.numbered(file_name, number)}.{extension}"
        wanted = (path, *(f"{path}{suffix}" for suffix in taken.artefact.companions))
        if all(ports.store.is_free(name) for name in wanted) and not ports.register.knows_path(path):
            return path
    raise StoreError(
        f"{_MOST_OF_ONE_NAME} snapshots of {request.database.name} are named {file_name}",
        hint="put {timestamp} into the policy's file_name",
    )


def _file_name(request: Request, taken: Taken) -> str:
    return naming.render(
        request.policy.file_name,
        environment=request.database.environment,
        database=request.database.name,
        policy=request.policy.name,
        name=naming.check_name(request.name),
        taken_at=taken.at,
        counts=taken.artefact.facts.counts,
        version=request.version,
    )
