"""The register: fulfils ``ports.Register``; the one module that writes it."""

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import inf
from pathlib import Path

from amanat.domain.chain import Head, Row
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import BusyError, NotFoundError, RefusedError, RegisterError
from amanat.domain.model import Outcome, Run, Scope, Snapshot, SnapshotState, Stage
from amanat.domain.recovery import History
from amanat.host import clock
from amanat.ports.register import RunCount, SnapshotTotals
from amanat.register import chaining, deletions, entries, holds, restores, rows, snapshots, totals
from amanat.register.asides import Asides
from amanat.register.connection import RegisterDatabase

_LAST_RUNS = (
    "SELECT runs.* FROM run_totals AS totals JOIN runs ON runs.id = totals.last_run WHERE totals.outcome IN"
)
_SOUND_SECONDS = 3600.0
_HIGHEST = chr(0x10FFFF)


class Register:
    def __init__(self, folder: Path) -> None:
        self._database = RegisterDatabase(folder)
        self._sound_until = -inf
        self.asides = Asides(self._database)

    def close(self) -> None:
        self._database.close()

    # runs

    def start_run(self, run: Run) -> None:
        try:
            with self._database.transaction() as connection:
                rows.insert(connection, "runs", rows.run_row(run))
        except sqlite3.IntegrityError as exc:
            raise BusyError(
                f"policy {run.policy} on {run.database} has run for {run.scheduled_at} already",
                hint="nothing to do: one run per policy, database and scheduled instant",
            ) from exc

    def name_artefact(self, run_id: str, path: str) -> None:
        with self._database.transaction() as connection:
            connection.execute("UPDATE runs SET artefact = ? WHERE id = ?", (path, run_id))

    def finish_run(self, run: Run) -> None:
        row = {key: value for key, value in rows.run_row(run).items() if key in _FINISHING}
        settings = ", ".join(f"{column} = :{column}" for column in row)
        with self._database.transaction() as connection:
            connection.execute(
                f"UPDATE runs SET {settings} WHERE id = :id AND outcome IS NULL",  # noqa: S608
                {**row, "id": run.id},
            )

    def knows_run(self, run_id: str) -> bool:
        return bool(self._database.query("SELECT 1 FROM runs WHERE id = ?", (run_id,)))

    def open_runs(self) -> list[Run]:
        return [rows.run_of(row) for row in self._database.query("SELECT * FROM runs WHERE outcome IS NULL")]

    def recent_runs(self, limit: int, *, database: str | None = None) -> list[Run]:
        wanted = "" if database is None else "WHERE database = :database"
        found = self._database.query(
            f"SELECT * FROM runs {wanted} ORDER BY started_at DESC, rowid DESC LIMIT :limit",  # noqa: S608
            {"database": database, "limit": limit},
        )
        return [rows.run_of(row) for row in found]

    def runs_of_slot(self, stage: Stage, policy: str, database: str, slot: datetime) -> list[Run]:
        found = self._database.query(
            "SELECT * FROM runs WHERE stage = ? AND policy = ? AND database = ? AND scheduled_at = ?"
            " ORDER BY attempt",
            (stage, policy, database, rows.time_text(slot)),
        )
        return [rows.run_of(row) for row in found]

    def newest_run(self, stage: Stage, policy: str, database: str, *, outcomes: Sequence[Outcome]) -> Run | None:
        marks = ", ".join("?" for _ in outcomes)
        found = self._database.query(
            f"{_LAST_RUNS} ({marks}) AND totals.stage = ? AND totals.policy = ? AND totals.database = ?"
            " ORDER BY runs.finished_at DESC, runs.started_at DESC LIMIT 1",
            (*outcomes, stage, policy, database),
        )
        return rows.run_of(found[0]) if found else None

    def last_seen(self) -> datetime | None:
        """The newest time that any run knows: what the clock is held against."""
        newest = self._database.query(
            "SELECT max(at) AS at FROM"
            " (SELECT max(started_at) AS at FROM runs UNION ALL SELECT max(last_finished) FROM run_totals)"
        )
        with rows.understood_runs():
            return rows.optional_time_of(newest[0]["at"])

    def run_counts(self) -> list[RunCount]:
        return [totals.run_count(row) for row in self._database.query(totals.RUNS)]

    def last_drills(self, database: str) -> dict[str, datetime]:
        found = self._database.query(totals.DRILLS, (database,))
        with rows.understood_runs():
            return {row["snapshot"]: rows.time_of(row["at"]) for row in found}

    def histories(self) -> list[History]:
        return restores.histories(self._database)

    def last_runs(self, *, outcomes: Sequence[Outcome]) -> list[Run]:
        marks = ", ".join("?" for _ in outcomes)
        found = self._database.query(f"{_LAST_RUNS} ({marks}) ORDER BY runs.finished_at", tuple(outcomes))
        newest = {(row["stage"], row["policy"], row["database"]): row for row in found}
        return [rows.run_of(row) for row in newest.values()]

    # snapshots

    def add_snapshot(self, snapshot: Snapshot, entry: Entry) -> None:
        try:
            with self._database.transaction() as connection:
                rows.insert(connection, "snapshots", rows.snapshot_row(snapshot))
                chaining.append(connection, entry)
        except sqlite3.IntegrityError as exc:
            raise RegisterError(
                f"snapshot id {snapshot.id} of {snapshot.path} is taken",
                hint="a copy of its files?",
            ) from exc

    def snapshots(self, *, database: str | None = None, gone: bool = True) -> list[Snapshot]:
        return list(self.each_snapshot(database=database, gone=gone))

    def each_snapshot(self, *, database: str | None = None, gone: bool = True) -> Iterator[Snapshot]:
        return snapshots.each(self._database, database=database, gone=gone)

    def newest_snapshot(
        self,
        *,
        database: str | None = None,
        policy: str | None = None,
        scope: Scope | None = None,
        proven: bool = False,
    ) -> Snapshot | None:
        return snapshots.newest(self._database, database=database, policy=policy, scope=scope, proven=proven)

    def snapshots_like(self, prefix: str) -> list[Snapshot]:
        return snapshots.where(self._database, "id >= ? AND id <= ?", prefix, f"{prefix}{_HIGHEST}")

    def snapshot_at(self, path: str) -> Snapshot | None:
        found = snapshots.where(self._database, "path = ? ORDER BY taken_at DESC LIMIT 1", path)
        return found[0] if found else None

    def groups(self, database: str | None = None) -> list[tuple[str, str]]:
        found = self._database.query(totals.GROUPS, (database,))
        return [(row["database"], row["policy"]) for row in found]

    def snapshot_totals(self) -> list[SnapshotTotals]:
        with rows.understood():
            return totals.snapshot_totals(self._database.query(totals.SNAPSHOTS))

    def pruned(self) -> dict[tuple[str, str], int]:
        return {(row["database"], row["policy"]): row["count"] for row in self._database.query(totals.PRUNED)}

    def knows_path(self, path: str) -> bool:
        found = self._database.query(
            "SELECT 1 FROM snapshots WHERE path = ?1 UNION ALL SELECT 1 FROM runs WHERE artefact = ?1", (path,)
        )
        return bool(found)

    def record_proof(self, snapshot: Snapshot, entry: Entry) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE snapshots SET proof = :proof, proof_at = :proof_at, proof_run = :proof_run,"
                " read_at = :read_at, failed_proof = :failed_proof, state = :state WHERE id = :id",
                rows.snapshot_row(snapshot),
            )
            chaining.append(connection, entry)

    def begin_pruning(self, snapshot: Snapshot, entry: Entry) -> None:
        with self._database.transaction() as connection:
            begun = deletions.begin(connection, snapshot, entry)
        if not begun:
            raise RefusedError(f"snapshot {snapshot.id} is held, or gone", hint="`amanat show` tells")

    def unfounded_deletions(self) -> set[str]:
        return deletions.unfounded(self._database)

    def set_state(self, snapshot: Snapshot, state: SnapshotState, entry: Entry | None = None) -> None:
        with self._database.transaction() as connection:
            connection.execute("UPDATE snapshots SET state = ? WHERE id = ?", (state, snapshot.id))
            if entry:
                chaining.append(connection, entry)

    # holds

    def hold(self, snapshot: Snapshot, reason: str, entry: Entry) -> None:
        with self._database.transaction() as connection:
            inserted = connection.execute(
                "INSERT INTO holds (snapshot, reason, by, at) SELECT id, ?, ?, ? FROM snapshots"
                " WHERE id = ? AND state IN ('present', 'damaged')",
                (reason, entry.by, rows.time_text(entry.at), snapshot.id),
            ).rowcount
            if not inserted:
                raise NotFoundError(
                    f"snapshot {snapshot.id} is being deleted", hint="choose another: `amanat list`"
                )
            chaining.append(connection, entry)

    def release(self, snapshot: Snapshot, entry: Entry) -> None:
        """Release every hold in force on it."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE holds SET released_at = ? WHERE snapshot = ? AND released_at IS NULL",
                (rows.time_text(entry.at), snapshot.id),
            )
            chaining.append(connection, entry)

    def untold_holds(self) -> list[str]:
        return holds.untold(self._database)

    # entries

    def append(self, entry: Entry) -> None:
        with self._database.transaction() as connection:
            chaining.append(connection, entry)

    def entries(self, *, snapshot: str | None = None) -> Iterator[Entry]:
        return entries.each(self._database, snapshot=snapshot)

    def entries_of(self, databases: Sequence[str], kinds: Sequence[EntryKind]) -> list[Entry]:
        return entries.of_kinds(self._database, databases, kinds)

    def head(self) -> Head | None:
        return entries.head(self._database)

    def hash_at(self, sequence: int) -> str | None:
        return entries.hash_at(self._database, sequence)

    def last_number(self) -> int:
        return entries.last_number(self._database)

    def stored_entries(
        self, *, after: int = 0, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Row]:
        return entries.stored(self._database, after=after, since=since, until=until)

    def subjects(self) -> Iterator[tuple[Row, Row | None]]:
        return entries.subjects(self._database)

    def orphans(self) -> list[str]:
        return entries.orphans(self._database)

    # schedule

    def last_slot(self, stage: Stage, policy: str, database: str) -> datetime | None:
        found = self._database.query(
            "SELECT last_at FROM slots WHERE stage = ? AND policy = ? AND database = ?", (stage, policy, database)
        )
        with rows.understood_runs():
            return rows.optional_time_of(found[0]["last_at"]) if found else None

    def record_slot(self, stage: Stage, policy: str, database: str, slot: datetime, *, missed: int) -> None:
        """Remember how far the schedule has come, and add to the instants that were missed for good."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO slots (stage, policy, database, last_at, missed) VALUES (?1, ?2, ?3, ?4, ?5)"
                " ON CONFLICT (stage, policy, database) DO UPDATE SET"
                " last_at = excluded.last_at, missed = missed + excluded.missed",
                (stage, policy, database, rows.time_text(slot), missed),
            )

    def missed_slots(self) -> dict[tuple[Stage, str, str], int]:
        found = self._database.query("SELECT stage, policy, database, missed FROM slots")
        with rows.understood_runs():
            return {(Stage(row["stage"]), row["policy"], row["database"]): row["missed"] for row in found}

    def check(self) -> None:
        """RegisterError if the file is not a sound database that can be written.

        Whether it is sound is asked once an hour: that reads all of it, and a monitor asks every few seconds.
        """
        if clock.monotonic() >= self._sound_until:
            self._database.require_sound()
            self._sound_until = clock.monotonic() + _SOUND_SECONDS
        self._database.require_writable()


_FINISHING = ("finished_at", "outcome", "code", "reason", "hint", "note", "snapshot", "restore_seconds")
