"""The words of Amanat as values: proof, scope, snapshot, run, hold (design section 2).

All times are time-zone-aware; naive ones are refused where a value is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most commands describe no database
    from amanat.domain.description import Description

MANIFEST_SUFFIX = ".manifest.json"
"""What a manifest's name has behind that of its artefact."""


class EngineName(StrEnum):
    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


class ProofLevel(StrEnum):
    """How far a snapshot was proven, lowest first; ``none``: nothing holds (yet)."""

    NONE = "none"
    STORED = "stored"
    READABLE = "readable"
    RESTORED = "restored"

    def reaches(self, other: "ProofLevel") -> bool:
        """Whether this level is ``other`` or higher."""
        return _LEVELS.index(self) >= _LEVELS.index(other)


_LEVELS = tuple(ProofLevel)


class Stage(StrEnum):
    SNAPSHOT = "snapshot"
    VERIFY = "verify"
    DRILL = "drill"
    PRUNE = "prune"
    RESTORE = "restore"
    ROLLBACK = "rollback"
    UNDO = "undo"
    MIGRATION = "migration"


class Outcome(StrEnum):
    """How a run ended; a run without outcome is still going (or its process died: see reconcile)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    YIELDED = "yielded"
    SKIPPED = "skipped"
    REFUSED = "refused"


class SnapshotState(StrEnum):
    """Where a snapshot's files are: ``pruning`` and ``pruned`` by us, ``missing`` by somebody else."""

    PRESENT = "present"
    DAMAGED = "damaged"
    MISSING = "missing"
    PRUNING = "pruning"
    PRUNED = "pruned"


MANUAL_POLICY = "manual"
FALLBACK = "fallback"
"""The code of a run that succeeded, but not the usual, fast way."""


def require_aware(*times: datetime | None) -> None:
    """ValueError for a naive datetime: it would compare wrongly somewhere else."""
    for time in times:
        if time is not None and time.tzinfo is None:
            raise ValueError(f"naive datetime {time}")


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which tables a snapshot takes: name or glob patterns, ``schema.table`` allowed; all empty: everything."""

    tables: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    exclude_data: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not (self.tables or self.exclude or self.exclude_data)

    def describe(self) -> str:
        """For registers and logs: ``whole database`` or ``tables: users, survey*; …``."""
        if self.is_whole:
            return "whole database"
        parts = [f"tables: {', '.join(self.tables)}" if self.tables else "whole database"]
        if self.exclude:
            parts.append(f"without {', '.join(self.exclude)}")
        if self.exclude_data:
            parts.append(f"without rows of {', '.join(self.exclude_data)}")
        return "; ".join(parts)


@dataclass(frozen=True, kw_only=True)
class TableRows:
    """What the rows of one table come to in the artefact.

    ``bytes`` and ``sha256``: of the rows as ``COPY … TO STDOUT`` writes them (PostgreSQL), or as
    ``engines.sqlite.rows`` does.
    """

    schema: str
    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was true inside the snapshot's own transaction.

    ``tables``: the application's tables that the artefact must hold, as ``table`` (SQLite) or
    ``schema.table`` (PostgreSQL). ``counts``: rows, for the tables whose count was asked for.
    ``rows``: of every table whose rows were read one by one on the way. ``description``: what stood in it.
    ``extra``: small facts of one engine, such as PostgreSQL's table OIDs.
    """

    engine_version: str
    source_bytes: int
    tables: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    rows: tuple[TableRows, ...] = ()
    description: "Description | None" = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One artefact and what is known of it; ``path`` is relative to the store.

    ``manifest_sha256``: of its manifest's file; None where it was taken by a release that did not keep it.
    ``required_proof``: the level its policy asked for when it was taken; it is proven when ``proof`` reaches it.
    ``proof_at``, ``proof_run``: when and by which run ``proof`` was reached. ``read_at``: when its bytes were last
    read and were right; None where that was before a release that kept it. ``failed_proof``: of a damaged one, the
    level at which it failed.
    """

    id: str
    database: str
    engine: EngineName
    environment: str
    policy: str
    name: str
    purpose: str
    by: str
    scope: Scope
    path: str
    size_bytes: int
    source_bytes: int
    sha256: str
    taken_at: datetime
    scheduled_at: datetime | None = None
    proof: ProofLevel
    required_proof: ProofLevel
    proof_at: datetime | None = None
    proof_run: str | None = None
    read_at: datetime | None = None
    failed_proof: ProofLevel | None = None
    state: SnapshotState = SnapshotState.PRESENT
    held: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    manifest_sha256: str | None = None

    def __post_init__(self) -> None:
        require_aware(self.taken_at, self.scheduled_at, self.proof_at, self.read_at)

    @property
    def proven(self) -> bool:
        """Proven to its policy's level and not found damaged or missing since."""
        return (
            self.state is SnapshotState.PRESENT
            and self.proof is not ProofLevel.NONE
            and self.proof.reaches(self.required_proof)
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt at one stage, as the register keeps it.

    ``code``: the kind of an error, or why it was skipped, refused or done another way, in one word for machines;
    ``reason`` and ``hint`` are the sentences for people. ``note``: warnings of a run that succeeded.
    ``artefact``: the store path that the run is about to commit, so that a crash leaves nothing unnamed.
    ``restore_seconds``: of the time it took, what restoring did; None: it restored nothing.
    """

    id: str
    stage: Stage
    database: str
    policy: str
    by: str
    started_at: datetime
    purpose: str = ""
    scheduled_at: datetime | None = None
    attempt: int = 1
    finished_at: datetime | None = None
    outcome: Outcome | None = None
    code: str = ""
    reason: str = ""
    hint: str = ""
    note: str = ""
    snapshot: str | None = None
    artefact: str | None = None
    restore_seconds: float | None = None

    def __post_init__(self) -> None:
        require_aware(self.started_at, self.scheduled_at, self.finished_at)


def utc_text(time: datetime) -> str:
    """``2026-11-23T02:15:00Z``, with microseconds where there are any: the form of manifests and JSON."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")
