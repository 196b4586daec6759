"""The audit record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from amanat.domain.chain import Head, Row
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.model import Outcome, Run, Scope, Snapshot, SnapshotState, Stage
from amanat.domain.recovery import History
from amanat.ports.asides import Asides


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
    ``proven``: how many have reached the level that was asked for.
    ``last_*``: of the newest one. ``newest_proven``, ``oldest_proven``: when they were taken.
    """

    database: str
    policy: str
    by_proof: Mapping[str, int]
    proven: int
    total_bytes: int
    last_bytes: int
    last_source_bytes: int
    newest_proven: datetime | None
    oldest_proven: datetime | None

    @property
    def present(self) -> int:
        """How many should have their files in the store."""
        return sum(count for proof, count in self.by_proof.items() if proof != SnapshotState.MISSING)


class Register(Protocol):
    """The audit record; each method is one transaction, and an iterator one for each page. Errors: RegisterError.

    Nothing is forgotten, so it grows for ever: what a run asks takes no longer for that.
    Methods that change something for good take the audit entry and write both or neither.
    """

    @property
    def asides(self) -> Asides: ...

    def start_run(self, run: Run) -> None:
        """BusyError if the scheduled instant has had this attempt already (the uniqueness rule)."""

    def name_artefact(self, run_id: str, path: str) -> None:
        """Note what a run is about to commit."""

    def finish_run(self, run: Run) -> None:
        """Write what came of it; a finished run is not changed again."""

    def knows_run(self, run_id: str) -> bool: ...
    def open_runs(self) -> list[Run]: ...
    def recent_runs(self, limit: int, *, database: str | None = None) -> list[Run]:
        """The newest that many by their start, of one database or all; what it costs is up to ``limit`` alone."""

    def runs_of_slot(self, stage: Stage, policy: str, database: str, slot: datetime) -> list[Run]: ...
    def newest_run(
        self, stage: Stage, policy: str, database: str, *, outcomes: Sequence[Outcome]
    ) -> Run | None: ...
    def last_seen(self) -> datetime | None:
        """The newest time that any run knows."""

    def run_counts(self) -> list[RunCount]: ...
    def last_drills(self, database: str) -> dict[str, datetime]:
        """Snapshot id → when its last drill that succeeded ended."""

    def histories(self) -> list[History]:
        """Of every database that ever had a snapshot, with the newest restores that were measured."""

    def last_runs(self, *, outcomes: Sequence[Outcome]) -> list[Run]:
        """The newest run that ended so, of each stage, policy and database."""

    def snapshot_totals(self) -> list[SnapshotTotals]: ...
    def pruned(self) -> dict[tuple[str, str], int]:
        """(database, policy) → snapshots that were deleted."""

    def add_snapshot(self, snapshot: Snapshot, entry: Entry) -> None: ...
    def groups(self, database: str | None = None) -> list[tuple[str, str]]:
        """Every (database, policy) that has snapshots which were not pruned."""

    def each_snapshot(self, *, database: str | None = None, gone: bool = True) -> Iterator[Snapshot]:
        """Newest first, in every state; without ``gone`` none that was pruned. For lists as long as they get."""

    def snapshots(self, *, database: str | None = None, gone: bool = True) -> list[Snapshot]:
        """The same at once."""

    def newest_snapshot(
        self,
        *,
        database: str | None = None,
        policy: str | None = None,
        scope: Scope | None = None,
        proven: bool = False,
    ) -> Snapshot | None:
        """In whatever state, unless ``proven``."""

    def snapshots_like(self, prefix: str) -> list[Snapshot]:
        """Those whose id begins so."""

    def snapshot_at(self, path: str) -> Snapshot | None: ...
    def knows_path(self, path: str) -> bool:
        """Whether a snapshot ever had it, or a run ever named it as its own."""

    def record_proof(self, snapshot: Snapshot, entry: Entry) -> None:
        """Write what it says of its proof, when it was read, and its state."""

    def begin_pruning(self, snapshot: Snapshot, entry: Entry) -> None:
        """State ``pruning``; RefusedError if it is held by now, or was neither present nor damaged.

        One whose deletion has begun goes on, and gets no second entry.
        """

    def unfounded_deletions(self) -> set[str]:
        """Snapshots in state ``pruning`` whose newest entry does not say so: Amanat did not begin it."""

    def set_state(self, snapshot: Snapshot, state: SnapshotState, entry: Entry | None = None) -> None: ...
    def hold(self, snapshot: Snapshot, reason: str, entry: Entry) -> None:
        """NotFoundError if its deletion has begun meanwhile."""

    def release(self, snapshot: Snapshot, entry: Entry) -> None:
        """Release every hold in force on it."""

    def untold_holds(self) -> list[str]:
        """Snapshots with a hold that is not as its entry tells: by whom, when, why, until when."""

    def append(self, entry: Entry) -> None: ...
    def entries(self, *, snapshot: str | None = None) -> Iterator[Entry]:
        """Oldest first; of one snapshot, or all."""

    def entries_of(self, databases: Sequence[str], kinds: Sequence[EntryKind]) -> list[Entry]:
        """Newest first; entries of other kinds cost nothing."""

    def head(self) -> Head | None:
        """The newest entry; None: there is none."""

    def hash_at(self, sequence: int) -> str | None:
        """What an entry holds for its hash; None: there is no such entry."""

    def last_number(self) -> int:
        """The highest that was ever given to an entry."""

    def stored_entries(
        self, *, after: int = 0, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Row]:
        """As they are stored, by their numbers above ``after``; of ``since <= at < until``."""

    def subjects(self) -> Iterator[tuple[Row, Row | None]]:
        """The row of every snapshot, and what its newest entry repeats of it; both of one moment."""

    def orphans(self) -> list[str]:
        """Snapshots that entries tell of, and that have no row."""

    def last_slot(self, stage: Stage, policy: str, database: str) -> datetime | None:
        """The newest scheduled instant that was dealt with."""

    def record_slot(self, stage: Stage, policy: str, database: str, slot: datetime, *, missed: int) -> None: ...
    def missed_slots(self) -> dict[tuple[Stage, str, str], int]:
        """(stage, policy, database) → instants missed for good."""

    def check(self) -> None:
        """RegisterError unless it is sound and can be written."""
