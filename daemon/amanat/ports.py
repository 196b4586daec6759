"""What the services ask of the outside: small protocols, their contracts in the docstrings.

Adapters fulfil them; one contract suite per port in ``tests/contract`` runs on every implementation.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from amanat.domain.events import Event
from amanat.domain.manifest import Companion, Manifest
from amanat.domain.model import (
    EngineName,
    Entry,
    Facts,
    Outcome,
    ProofLevel,
    Run,
    Scope,
    Snapshot,
    SnapshotState,
    Stage,
)
from amanat.domain.policy import Database


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an engine is: bytes written, of how many if it is known, and the table being read."""

    bytes_done: int
    bytes_total: int | None = None
    table: str = ""


class Control(Protocol):
    """The run's reins, handed to whatever takes long."""

    def check(self) -> None:
        """Raise TimeoutExceededError or InterruptedRunError if the run has to end now; call it often."""

    def remaining(self) -> float:
        """Seconds until the deadline (never negative; ``inf`` without one)."""

    def progress(self, progress: Progress) -> None:
        """Tell how far it is; cheap, may be called often."""

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the deadline or a stop; then ``check``."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to take and where to: ``folder`` is empty, private (0700), ours, on the store's file system.

    ``counts``: tables (as patterns) whose row counts the file name needs. ``globals``: take roles too.
    ``scratch``: a private folder for secrets files of the run; the caller removes it.
    """

    folder: Path
    scratch: Path
    scope: Scope = field(default_factory=Scope)
    counts: tuple[str, ...] = ()
    globals: bool = True


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What an engine left in the order's folder.

    ``companions``: further files by the suffix they get behind the artefact's name, such as ``.globals.sql``.
    ``tools``: names and versions of what made it. ``warnings``: whole sentences for the register and the log.
    ``archive_version``: version of the file format, for PostgreSQL archives.
    """

    path: Path
    facts: Facts
    companions: Mapping[str, Path] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    archive_version: str = ""
    warnings: tuple[str, ...] = ()


class Engine(Protocol):
    """Reads one database (it is bound to its source); safe to use from one thread at a time.

    Errors: SourceError (``transient`` where trying again can help), ToolError, StoreError (ENOSPC and the
    like while writing), TimeoutExceededError, InterruptedRunError. After an error nothing that the engine
    started still runs; what it wrote lies in the order's folder alone, which the caller removes.
    """

    name: EngineName
    extension: str

    def source_bytes(self, control: Control, scratch: Path) -> int:
        """Size of the whole database now; also the cheap proof that it can be opened and read."""

    def staging_bytes(self, scope: Scope, source_bytes: int) -> int:
        """What ``take`` needs in the order's folder for a while, beyond the artefact itself."""

    def take(self, order: Order, control: Control) -> Artefact:
        """Write a consistent copy of the scope. A pattern that matches no table is a SourceError."""


class Prover(Protocol):
    """Proves an artefact without its source: it works on any host that has the stock tools."""

    name: EngineName

    def prove_readable(self, artefact: Path, facts: Facts, scope: Scope, control: Control) -> None:
        """Decode all of it and compare with the facts; ProofError says what is wrong. Leaves no file behind."""

    def recipe(self, file_name: str, facts: Facts) -> tuple[str, ...]:
        """Shell lines that restore the artefact with stock tools alone."""


class Emit(Protocol):
    """Tell the world that something happened; never raises, never blocks for long."""

    def __call__(self, event: Event, /, **fields: object) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in a store. All paths are relative to it.

    ``units``: manifests by the path of their artefact. ``strays``: files that belong to no unit.
    ``broken``: manifests that cannot be read, with the reason. ``present``: every file but manifests.
    """

    units: Mapping[str, Manifest]
    strays: frozenset[str]
    broken: Mapping[str, str]
    present: frozenset[str]


class Store(Protocol):
    """Where snapshots lie; paths are relative, ``database/file``. Errors: StoreError, SpaceError."""

    root: Path

    def require(self) -> None:
        """StoreError if it is missing or cannot be written."""

    def staging(self, run_id: str) -> AbstractContextManager[Path]:
        """A private folder on the store's own file system; gone at the end with all that is in it."""

    def staged_runs(self) -> list[str]:
        """Runs that left a staging folder behind (or are at work in it now)."""

    def sweep(self, run_id: str) -> None:
        """Remove the staging folder of a dead run."""

    def is_free(self, path: str) -> bool:
        """Whether nothing lies there; the caller holds the database's lock until it has committed."""

    def describe(self, artefact: Path, control: Control) -> tuple[int, str]:
        """(bytes, SHA-256) of a staged file, which is on the disk (fsync) afterwards."""

    def companion(self, name: str, staged: Path, control: Control) -> Companion:
        """The same for a companion, under its final name."""

    def reread(self, artefact: Path, control: Control) -> str:
        """SHA-256 of the bytes as the disk gives them."""

    def commit(self, manifest: Manifest, artefact: Path, companions: Mapping[str, Path]) -> None:
        """Move staged files into place and write the manifest last; atomic per file, durable at the end."""

    def delete(self, path: str, companions: tuple[str, ...]) -> None:
        """Manifest first, then the files; may be repeated after a crash."""

    def path(self, relative: str) -> Path:
        """StoreError if it would leave the store."""

    def relative(self, path: Path) -> str | None:
        """The store's form of a path that a person gave; None if it lies elsewhere."""

    def read_manifest(self, path: str) -> Manifest:
        """IntegrityError when it is missing or cannot be read."""

    def survey(self) -> Found:
        """All that lies in the store."""

    def free_bytes(self) -> int:
        """What may still be written."""

    def hand_out(self, path: str, folder: Path) -> Path:
        """Leave the artefact in another folder too, under its own name; never over a file that is there."""


@dataclass(frozen=True, kw_only=True)
class RunCount:
    """How many finished runs of one kind there are, and when the last of them ended."""

    stage: Stage
    policy: str
    database: str
    outcome: Outcome
    code: str
    count: int
    last_finished: datetime


@dataclass(frozen=True, kw_only=True)
class SnapshotTotals:
    """Of the snapshots of one database and policy whose files should be there.

    ``by_proof``: how many have reached each level, or are ``damaged`` or ``missing``.
    ``last_*``: of the newest one. ``newest_proven``, ``oldest_proven``: when they were taken.
    """

    database: str
    policy: str
    by_proof: Mapping[str, int]
    total_bytes: int
    last_bytes: int
    last_source_bytes: int
    newest_proven: datetime | None
    oldest_proven: datetime | None


class Register(Protocol):
    """The audit record; each method is one transaction. Errors: RegisterError.

    Methods that change something for good take the audit entry and write both or neither.
    """

    def start_run(self, run: Run) -> None:
        """BusyError if the scheduled instant has had this attempt already (the uniqueness rule)."""

    def name_artefact(self, run_id: str, path: str) -> None:
        """Note what a run is about to commit."""

    def finish_run(self, run: Run) -> None:
        """Write outcome, code, reason, hint, note and snapshot; a finished run is not changed again."""

    def open_runs(self) -> list[Run]: ...
    def recent_runs(self, limit: int) -> list[Run]: ...
    def runs_of_slot(self, stage: Stage, policy: str, database: str, slot: datetime) -> list[Run]: ...
    def newest_run(
        self, stage: Stage, policy: str, database: str, *, outcomes: Sequence[Outcome]
    ) -> Run | None: ...
    def last_seen(self) -> datetime | None:
        """The newest time that any run knows."""

    def run_counts(self) -> list[RunCount]: ...
    def last_runs(self) -> list[Run]:
        """The newest run that succeeded or failed, of each stage, policy and database."""

    def snapshot_totals(self) -> list[SnapshotTotals]: ...
    def pruned(self) -> dict[tuple[str, str], int]:
        """(database, policy) → snapshots that were deleted."""

    def add_snapshot(self, snapshot: Snapshot, entry: Entry) -> None: ...
    def snapshots(self, *, database: str | None = None, policy: str | None = None) -> list[Snapshot]:
        """Newest first, in every state."""

    def snapshots_like(self, prefix: str) -> list[Snapshot]:
        """Those whose id begins so."""

    def snapshot_at(self, path: str) -> Snapshot | None: ...
    def record_proof(
        self,
        snapshot: Snapshot,
        *,
        level: ProofLevel,
        state: SnapshotState,
        at: datetime,
        run: str,
        entry: Entry,
    ) -> Snapshot: ...
    def set_state(self, snapshot: Snapshot, state: SnapshotState, entry: Entry | None = None) -> None: ...
    def hold(self, snapshot: Snapshot, reason: str, entry: Entry) -> None: ...
    def release(self, snapshot: Snapshot, entry: Entry) -> None:
        """Release every hold in force on it."""

    def append(self, entry: Entry) -> None: ...
    def entries(self) -> list[Entry]: ...

    def last_slot(self, policy: str, database: str) -> datetime | None:
        """The newest scheduled instant that was dealt with."""

    def record_slot(self, policy: str, database: str, slot: datetime, *, missed: int) -> None: ...
    def missed_slots(self) -> dict[tuple[str, str], int]:
        """(policy, database) → instants missed for good."""

    def check(self) -> None:
        """RegisterError unless it is sound and can be written."""


class Locks(Protocol):
    """Kernel locks; BusyError past the wait (seconds)."""

    def database(self, name: str, control: Control, *, wait: float) -> AbstractContextManager[None]: ...
    def slot(self, limit: int, control: Control, *, wait: float) -> AbstractContextManager[None]: ...
    def run(self, run_id: str) -> AbstractContextManager[None]: ...
    def is_alive(self, run_id: str) -> bool: ...
    def forget(self, run_id: str) -> None: ...


class Scratch(Protocol):
    """Private folders for secrets files of runs."""

    def folder(self, run_id: str) -> AbstractContextManager[Path]:
        """Gone at the end with all that is in it."""

    def runs(self) -> list[str]:
        """Runs that have one, alive or dead."""

    def sweep(self, run_id: str) -> None:
        """Remove that of a dead run."""


class Controls(Protocol):
    """Makes the reins of a run; all of one process share the stop flag."""

    def __call__(self, *, timeout: timedelta | None, label: Mapping[str, str]) -> Control:
        """``label`` goes with the progress that the run tells."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything that services reach the outside with; ``app`` puts it together.

    ``limit``: runs at once on this host. ``write_document``: replace a text file atomically.
    """

    register: Register
    store: Store
    locks: Locks
    emit: Emit
    now: Callable[[], datetime]
    controls: Controls
    engine_of: Callable[[Database], Engine]
    prover_of: Callable[[EngineName], Prover]
    scratch: Scratch
    write_document: Callable[[Path, str], None]
    limit: int
