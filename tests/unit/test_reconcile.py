"""What is set right after a crash: the plan alone."""

from dataclasses import replace
from datetime import UTC, datetime

from amanat.domain.manifest import Manifest
from amanat.domain.model import Facts, Run, SnapshotState, Stage
from amanat.domain.reconcile import Observed, plan
from tests.support.snapshots import snapshot

T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
NOTHING = Observed(
    open_runs=(), alive=(), staged=(), rows=(), unfounded=(), units={}, present=(), marked=(), broken={}
)


def run(run_id="r1", **said):
    values = {"stage": Stage.SNAPSHOT, "database": "atis", "policy": "nightly", "by": "x", "started_at": T}
    return Run(id=run_id, **{**values, **said})


def unit(path="atis/a.sqlite", **said):
    facts = Facts(engine_version="3", source_bytes=1, tables=())
    return Manifest(snapshot=snapshot(T, path=path, **said), facts=facts)


def see(**said):
    return plan(replace(NOTHING, **said))


def test_nothing_seen_nothing_done():
    repairs = see()
    assert repairs.count == 0 and repairs.foreign == ()


def test_a_run_whose_lock_is_free_was_interrupted_and_its_staging_is_swept():
    repairs = see(open_runs=[run("dead"), run("live")], alive={"live"}, staged=["dead", "live", "older"])
    assert [item.id for item in repairs.interrupted] == ["dead"]
    assert repairs.swept == ("dead", "older")


def test_an_artefact_named_by_a_dead_run_goes_with_its_companion():
    repairs = see(
        open_runs=[run(artefact="atis/a.dump")],
        present={"atis/a.dump", "atis/a.dump.globals.sql", "atis/a.dumpling"},
    )
    assert dict(repairs.half_written) == {"atis/a.dump": "r1", "atis/a.dump.globals.sql": "r1"}
    assert repairs.foreign == ("atis/a.dumpling",)


def test_an_artefact_of_a_live_run_is_left_alone():
    repairs = see(open_runs=[run(artefact="atis/a.dump")], alive={"r1"}, present={"atis/a.dump"})
    assert repairs.count == 0 and repairs.foreign == ()


def test_a_committed_unit_without_row_is_adopted_even_if_its_run_died():
    made = unit()
    path = made.snapshot.path
    repairs = see(open_runs=[run(artefact=path)], units={path: made}, marked={path}, present={path})
    assert repairs.adopted == (made,) and not repairs.half_written


def test_a_unit_of_a_live_run_is_not_adopted():
    repairs = see(
        open_runs=[run(artefact="atis/a.sqlite")],
        alive={"r1"},
        units={"atis/a.sqlite": unit()},
        marked={"atis/a.sqlite"},
        present={"atis/a.sqlite"},
    )
    assert repairs.adopted == ()


def test_a_manifest_whose_artefact_is_gone_is_not_adopted():
    assert see(units={"atis/a.sqlite": unit()}, marked={"atis/a.sqlite"}).adopted == ()


def test_a_unit_whose_snapshot_was_pruned_is_not_adopted():
    row = snapshot(T, state=SnapshotState.PRUNED)
    made = unit("atis/a.sqlite", id=row.id)
    repairs = see(rows=[row], units={"atis/a.sqlite": made}, marked={"atis/a.sqlite"}, present={"atis/a.sqlite"})
    assert repairs.count == 0 and repairs.foreign == ()


def test_rows_without_files_are_missing_and_come_back_with_them():
    here, gone = snapshot(T, id="a", path="atis/a.sqlite"), snapshot(T, id="b", path="atis/b.sqlite")
    back = snapshot(T, id="c", path="atis/c.sqlite", state=SnapshotState.MISSING)
    there = {row.path for row in (here, back)}
    repairs = see(rows=[here, gone, back], marked=there, present=there)
    assert repairs.missing == (gone,) and repairs.found_again == (back,) and repairs.adopted == ()


def test_an_artefact_without_its_manifest_is_missing():
    row = snapshot(T, path="atis/a.sqlite")
    repairs = see(rows=[row], present={"atis/a.sqlite"})
    assert repairs.missing == (row,) and repairs.foreign == ("atis/a.sqlite",)


def test_the_files_of_a_known_snapshot_are_not_foreign_and_what_nobody_can_read_is():
    row = snapshot(T, path="atis/a.dump", companions=("atis/a.dump.globals.sql",))
    repairs = see(
        rows=[row],
        marked={"atis/a.dump", "atis/b.dump"},
        present={"atis/a.dump", "atis/a.dump.globals.sql", "atis/b.dump"},
        broken={"atis/b.dump.manifest.json": "edited"},
    )
    assert repairs.count == 0 and repairs.foreign == ("atis/b.dump",)
    assert dict(repairs.broken) == {"atis/b.dump.manifest.json": "edited"}


def test_a_deletion_that_was_begun_is_finished_and_a_finished_one_forgotten():
    begun = snapshot(T, id="a", state=SnapshotState.PRUNING)
    finished = snapshot(T, id="b", state=SnapshotState.PRUNED)
    repairs = see(rows=[begun, finished])
    assert repairs.pruned == (begun,) and repairs.missing == ()


def test_a_deletion_that_no_entry_tells_of_is_told_and_not_finished():
    edited = snapshot(T, id="a", state=SnapshotState.PRUNING)
    repairs = see(rows=[edited], unfounded={"a"})
    assert (repairs.pruned, repairs.unfounded, repairs.count) == ((), (edited,), 0)
