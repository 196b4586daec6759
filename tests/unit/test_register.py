"""The register: one transaction a method, one run per slot, forward-only migrations, sums in SQL."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import BusyError, RegisterError
from amanat.domain.model import Outcome, ProofLevel, Run, Scope, SnapshotState, Stage
from amanat.host import clock
from amanat.register import connection, rows
from amanat.register.connection import FILE_NAME
from amanat.register.register import Register
from tests.support.snapshots import snapshot

ENDED = (Outcome.SUCCEEDED, Outcome.FAILED)
T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
LATER = ("manifest_sha256", "read_at", "failed_proof")  # columns of snapshots that the first schema had not


@pytest.fixture
def register(tmp_path):
    opened = Register(tmp_path)
    yield opened
    opened.close()


def run(number=1, **said):
    values = {
        "id": f"run{number}",
        "stage": Stage.SNAPSHOT,
        "database": "atis",
        "policy": "nightly",
        "by": "scheduler",
        "started_at": T,
    }
    return Run(**{**values, **said})


def entry(**said):
    return Entry(**{"at": T, "by": "aysel", "kind": EntryKind.SNAPSHOT, "database": "atis", **said})


def ended(started, outcome, **said):
    return replace(started, finished_at=started.started_at + timedelta(minutes=1), outcome=outcome, **said)


def without(row, *columns):
    """As an older schema had it."""
    return {key: value for key, value in row.items() if key not in columns}


def test_a_run_comes_back_as_it_was_written(register):
    started = run(purpose="why", scheduled_at=T, attempt=2)
    register.start_run(started)
    assert register.open_runs() == [started]
    finished = ended(started, Outcome.FAILED, code="source", reason="it is gone", hint="bring it back", note="n")
    register.finish_run(finished)
    assert register.open_runs() == []
    assert register.recent_runs(5) == [finished]


def test_the_newest_runs_of_one_database_or_all(register):
    for number in range(6):
        register.start_run(run(number, started_at=T + timedelta(hours=number // 2), database=f"db{number % 2}"))
    assert [row.id for row in register.recent_runs(3)] == ["run5", "run4", "run3"]
    assert [row.id for row in register.recent_runs(2, database="db0")] == ["run4", "run2"]
    assert register.recent_runs(2, database="") == []


def test_a_finished_run_is_not_changed_again(register):
    register.start_run(run())
    register.finish_run(ended(run(), Outcome.SUCCEEDED))
    register.finish_run(ended(run(), Outcome.FAILED))
    assert register.recent_runs(1)[0].outcome is Outcome.SUCCEEDED


def test_one_run_per_policy_database_and_instant(register):
    register.start_run(run(1, scheduled_at=T))
    with pytest.raises(BusyError, match="has run for"):
        register.start_run(run(2, scheduled_at=T))
    register.start_run(run(3, scheduled_at=T, attempt=2))
    register.start_run(run(4, scheduled_at=T, policy="hourly"))
    register.start_run(run(5))
    register.start_run(run(6))
    assert [row.id for row in register.runs_of_slot(Stage.SNAPSHOT, "nightly", "atis", T)] == ["run1", "run3"]


def test_newest_run_by_outcome_and_last_seen(register):
    for number, outcome in enumerate((Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SKIPPED), start=1):
        started = run(number, started_at=T + timedelta(hours=number))
        register.start_run(started)
        register.finish_run(ended(started, outcome))
    newest = register.newest_run(Stage.SNAPSHOT, "nightly", "atis", outcomes=(Outcome.SUCCEEDED, Outcome.FAILED))
    assert newest and newest.id == "run2"
    assert register.last_seen() == T + timedelta(hours=3, minutes=1)
    assert [item.id for item in register.last_runs(outcomes=ENDED)] == ["run2"]


def test_last_seen_of_an_empty_register_is_nothing_and_of_an_open_run_its_start(register):
    assert register.last_seen() is None
    register.start_run(run())
    assert register.last_seen() == T


def test_a_snapshot_comes_back_with_its_holds(register):
    kept = snapshot(T, scope=Scope(tables=("users", "survey*")), companions=("atis/x.globals.sql",))
    register.add_snapshot(kept, entry(snapshot=kept.id))
    assert register.snapshots() == [kept]
    register.hold(kept, "audit", entry(kind=EntryKind.HOLD))
    register.hold(kept, "court", entry(kind=EntryKind.HOLD))
    assert register.snapshots_like(kept.id[:3])[0].held == ("audit", "court")
    register.release(kept, entry(kind=EntryKind.RELEASE))
    assert register.snapshot_at(kept.path) == kept
    assert [item.kind for item in register.entries()] == ["snapshot", "hold", "hold", "release"]


def test_prefixes_are_text_and_not_patterns(register):
    register.add_snapshot(snapshot(T, id="ab12"), entry())
    assert register.snapshots_like("%") == []
    assert register.snapshots_like("a_") == []


def test_an_entry_and_its_change_are_one_transaction(register):
    kept = snapshot(T)
    register.add_snapshot(kept, entry())
    with pytest.raises(RegisterError, match="is taken"):
        register.add_snapshot(kept, entry())
    assert len(list(register.entries())) == 1


def test_slots_are_remembered_and_missed_ones_add_up(register):
    assert register.last_slot(Stage.SNAPSHOT, "nightly", "atis") is None
    register.record_slot(Stage.SNAPSHOT, "nightly", "atis", T, missed=2)
    register.record_slot(Stage.SNAPSHOT, "nightly", "atis", T, missed=3)
    assert register.last_slot(Stage.SNAPSHOT, "nightly", "atis") == T
    assert register.missed_slots() == {(Stage.SNAPSHOT, "nightly", "atis"): 5}


def test_totals_follow_the_python_meaning_of_proven(register):
    plain = [
        snapshot(T + timedelta(days=1), size_bytes=10, source_bytes=11),
        snapshot(T + timedelta(days=2), size_bytes=20, source_bytes=21),
        snapshot(T + timedelta(days=3), proof=ProofLevel.STORED, size_bytes=30, source_bytes=31),
        snapshot(T + timedelta(days=4), state=SnapshotState.DAMAGED, size_bytes=40, source_bytes=41),
        snapshot(T + timedelta(days=5), state=SnapshotState.MISSING, size_bytes=50, source_bytes=51),
        snapshot(T + timedelta(days=6), state=SnapshotState.PRUNED, size_bytes=60, source_bytes=61),
    ]
    for item in plain:
        register.add_snapshot(item, entry())
    (totals,) = register.snapshot_totals()
    proven = [item.taken_at for item in plain if item.proven]
    assert dict(totals.by_proof) == {"readable": 2, "stored": 1, "damaged": 1, "missing": 1}
    assert (totals.newest_proven, totals.oldest_proven) == (max(proven), min(proven))
    assert (totals.total_bytes, totals.last_bytes, totals.last_source_bytes) == (100, 50, 51)
    assert register.pruned() == {("atis", "nightly"): 1}


def test_run_counts_by_outcome_and_code(register):
    for number in range(3):
        started = run(number)
        register.start_run(started)
        register.finish_run(ended(started, Outcome.FAILED, code="source"))
    (count,) = register.run_counts()
    assert (count.count, count.code, count.last_finished) == (3, "source", T + timedelta(minutes=1))


def test_it_opens_again_with_what_it_held(tmp_path):
    first = Register(tmp_path)
    first.add_snapshot(snapshot(T), entry())
    first.close()
    again = Register(tmp_path)
    assert len(again.snapshots()) == 1
    again.check()
    again.close()


def test_a_register_of_the_first_schema_is_taken_over_with_its_sums(tmp_path):
    """The rows are the same in both: what the second one adds is worked out from them."""
    runs = [
        ended(run(1), Outcome.SUCCEEDED),
        ended(run(2, started_at=T + timedelta(days=1)), Outcome.SUCCEEDED),
        ended(run(3, started_at=T + timedelta(days=2)), Outcome.FAILED, code="source"),
        run(4, started_at=T + timedelta(days=3)),
    ]
    kept = snapshot(T)
    first_schema = (Path(connection.__file__).parent / "migrations" / "0001_initial.sql").read_text()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old, old:
        old.executescript(first_schema)
        old.execute("PRAGMA user_version = 1")
        for row in map(rows.run_row, runs):
            rows.insert(old, "runs", without(row, "restore_seconds"))
        rows.insert(old, "snapshots", without(rows.snapshot_row(kept), *LATER))
    with closing(Register(tmp_path)) as register:
        counts = {(each.outcome, each.code): (each.count, each.last_finished) for each in register.run_counts()}
        assert counts == {
            (Outcome.SUCCEEDED, ""): (2, runs[1].finished_at),
            (Outcome.FAILED, "source"): (1, runs[2].finished_at),
        }
        assert register.last_runs(outcomes=ENDED) == [runs[2]]
        register.finish_run(ended(runs[3], Outcome.SUCCEEDED))
        assert [item.id for item in register.last_runs(outcomes=ENDED)] == ["run4"]
        assert register.snapshots() == [kept]


def test_damage_is_told_within_the_hour_and_then_at_every_look(tmp_path, monkeypatch):
    """Between two looks at all of it, a check costs the same however large it is."""
    with closing(Register(tmp_path)) as register:
        for number in range(300):
            register.append(entry(detail=f"{number} {'x' * 100}"))
        register._database._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        register.check()
        began = clock.monotonic()
        with (tmp_path / FILE_NAME).open("r+b") as file:
            file.seek(-8192, os.SEEK_END)
            file.write(b"\xff" * 4096)
        register.check()
        monkeypatch.setattr(clock, "monotonic", lambda: began + 3601)
        for _ in range(2):
            with pytest.raises(RegisterError, match=r"damaged|malformed") as caught:
                register.check()
            assert "reconcile" in caught.value.hint


def test_a_newer_schema_is_refused(tmp_path):
    Register(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RegisterError, match="newer amanat"):
        Register(tmp_path)


def test_garbage_is_a_register_error_with_a_remedy(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all, but long enough to look at" * 20)
    with pytest.raises(RegisterError, match="not a database") as caught:
        Register(tmp_path)
    assert "reconcile" in caught.value.hint


def test_two_threads_and_two_connections_lose_nothing(tmp_path):
    import threading

    one, other = Register(tmp_path), Register(tmp_path)

    def work(register, begin):
        for number in range(begin, begin + 40):
            register.start_run(run(number))
            register.finish_run(ended(run(number), Outcome.SUCCEEDED))

    threads = [
        threading.Thread(target=work, args=(register, begin))
        for begin, register in ((0, one), (100, one), (200, other))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert one.run_counts()[0].count == 120
    one.close()
    other.close()


def test_the_newest_restores_of_whole_databases_by_database(register):
    scopes = [("atis", Scope()), ("atis", Scope(tables=("users",))), ("demo", Scope())]
    for number, (database, scope) in enumerate(scopes):
        said = {"id": f"s{number}", "database": database, "scope": scope, "source_bytes": number + 1}
        register.add_snapshot(snapshot(T + timedelta(days=number), **said), entry())
    for number, (of, seconds) in enumerate([("s0", 1.5), ("s0", 2.5), ("s1", 9.0), ("s0", None)]):
        drill = run(number, started_at=T + timedelta(hours=number), stage=Stage.DRILL)
        register.start_run(drill)
        register.finish_run(ended(drill, Outcome.SUCCEEDED, snapshot=of, restore_seconds=seconds))
    atis, demo = register.histories()
    assert (atis.database, atis.bytes) == ("atis", 2)
    assert [(each.seconds, each.bytes) for each in atis.restores] == [(2.5, 1), (1.5, 1)]
    assert (demo.database, demo.bytes, demo.restores) == ("demo", 3, ())


def test_a_register_without_snapshots_has_no_histories(register):
    assert register.histories() == []
