"""A register and a store that have grown: N snapshots with their runs, entries, manifests and tiny artefacts.

Through the real code for rows and manifests, but in one transaction and without a sync per file, so that
100,000 take seconds. ``python -m tests.support.many_snapshots STORE STATE COUNT [PRUNED]`` does it by hand.
"""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

from amanat.domain import manifest as manifests
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.manifest import Manifest
from amanat.domain.model import (
    MANIFEST_SUFFIX,
    EngineName,
    Facts,
    Outcome,
    ProofLevel,
    Run,
    Scope,
    Snapshot,
    SnapshotState,
    Stage,
)
from amanat.register import chaining, rows
from amanat.register.connection import RegisterDatabase

_CONTENT = b"a tiny artefact"
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()
_RECIPE = (
    "sha256sum --check",
    "cp database.sqlite restored.sqlite",
    "sqlite3 restored.sqlite 'PRAGMA quick_check'",
)
_TABLES = tuple(f"table_{number}" for number in range(60))
NEWEST = datetime(2026, 1, 1, 2, 15, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Growth:
    """``count`` snapshots that are there, and ``pruned`` older ones of which only the rows are left.

    They are taken in turn of each of ``databases``, the newest at ``newest``, each ``every`` before the next.
    """

    count: int
    pruned: int = 0
    databases: Sequence[str] = ("app",)
    policy: str = "nightly"
    newest: datetime = NEWEST
    every: timedelta = timedelta(hours=1)

    def snapshots(self) -> Iterator[Snapshot]:
        """Oldest first."""
        total = self.count + self.pruned
        return (self._snapshot(number, total) for number in reversed(range(total)))

    def _snapshot(self, number: int, total: int) -> Snapshot:
        at = self.newest - number * self.every
        database = self.databases[number % len(self.databases)]
        return Snapshot(
            id=f"{total - number:012x}",
            database=database,
            engine=EngineName.SQLITE,
            environment="production",
            policy=self.policy,
            name=self.policy,
            purpose=f"scheduled {self.policy}",
            by="scheduler",
            scope=Scope(),
            path=f"{database}/database_backup_{at:%Y%m%dT%H%M%SZ}_{self.policy}_{total - number}.sqlite",
            size_bytes=len(_CONTENT),
            source_bytes=2 * len(_CONTENT),
            sha256=_SHA256,
            taken_at=at,
            scheduled_at=at,
            proof=ProofLevel.READABLE,
            required_proof=ProofLevel.READABLE,
            proof_at=at,
            proof_run=f"a{total - number:011x}",
            state=SnapshotState.PRESENT if number < self.count else SnapshotState.PRUNED,
        )


def fill(growth: Growth, *, state: Path, store: Path | None = None) -> None:
    """Add to the register in ``state`` (made if need be) and, where one is given, to the store.

    ``store`` None: rows alone, for what never looks at files.
    """
    _fill_register(growth, state)
    if store:
        _fill_store(growth, store)


def _fill_register(growth: Growth, state: Path) -> None:
    register = RegisterDatabase(state)
    with register.transaction() as connection:
        for snapshot in growth.snapshots():
            _insert(connection, snapshot)
    register.close()


def _insert(connection: sqlite3.Connection, snapshot: Snapshot) -> None:
    at, by = snapshot.taken_at, snapshot.by
    rows.insert(connection, "snapshots", rows.snapshot_row(snapshot))
    entries = [Entry.about(snapshot, EntryKind.SNAPSHOT, at=at, by=by, run=snapshot.proof_run)]
    if snapshot.state is SnapshotState.PRUNED:
        entries.append(Entry.about(snapshot, EntryKind.DELETION, at=at, by=by, detail="no rule keeps it"))
    for entry in entries:
        chaining.append(connection, entry)
    for run in _runs(snapshot):
        _run_to_its_end(connection, rows.run_row(run))


def _run_to_its_end(connection: sqlite3.Connection, row: dict[str, object]) -> None:
    """In two steps, as it goes: the second one is what the register counts."""
    rows.insert(connection, "runs", {**row, "finished_at": None, "outcome": None})
    connection.execute("UPDATE runs SET finished_at = :finished_at, outcome = :outcome WHERE id = :id", row)


def _runs(snapshot: Snapshot) -> Iterator[Run]:
    """The one that took it, and the pruning after it."""
    ended = snapshot.taken_at + timedelta(seconds=20)
    for stage, run_id in ((Stage.SNAPSHOT, snapshot.proof_run), (Stage.PRUNE, f"b{snapshot.id[1:]}")):
        yield Run(
            id=str(run_id),
            stage=stage,
            database=snapshot.database,
            policy=snapshot.policy,
            by=snapshot.by,
            started_at=snapshot.taken_at,
            scheduled_at=snapshot.taken_at if stage is Stage.SNAPSHOT else None,
            finished_at=ended,
            outcome=Outcome.SUCCEEDED,
            snapshot=snapshot.id if stage is Stage.SNAPSHOT else None,
            artefact=snapshot.path if stage is Stage.SNAPSHOT else None,
        )


def _fill_store(growth: Growth, store: Path) -> None:
    for folder in chain([store], (store / database for database in growth.databases)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = Facts(engine_version="3.40.1", source_bytes=2 * len(_CONTENT), tables=_TABLES)
    for snapshot in growth.snapshots():
        if snapshot.state is SnapshotState.PRESENT:
            manifest = Manifest(snapshot=snapshot, facts=facts, tools={"sqlite": "3.40.1"}, recipe=_RECIPE)
            text = json.dumps(manifests.encode(manifest), indent=2, ensure_ascii=False)
            (store / snapshot.path).write_bytes(_CONTENT)
            (store / f"{snapshot.path}{MANIFEST_SUFFIX}").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    store, state, count, pruned = [*sys.argv[1:], "0"][:4]
    fill(Growth(count=int(count), pruned=int(pruned)), store=Path(store), state=Path(state))
