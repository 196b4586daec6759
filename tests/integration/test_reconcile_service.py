"""Reconcile with real files: nothing that counts is removed, nothing counts that is not what was proven."""

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import IntegrityError, NotFoundError
from amanat.domain.events import Event
from amanat.domain.model import ProofLevel, Run, SnapshotState, Stage
from amanat.domain.policy import KeepRules
from amanat.register.register import Register
from amanat.services import reconcile
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]


def rows(workshop):
    return workshop.app.ports.register.snapshots()


def dead_run(workshop, artefact):
    run = Run(
        id="dead", stage=Stage.SNAPSHOT, database="app", policy="nightly", by="x", started_at=T0, artefact=artefact
    )
    workshop.app.ports.register.start_run(run)
    return run


def lost_register(workshop, tmp_path):
    """The same store, under a register that knows nothing."""
    ports = replace(workshop.app.ports, register=Register(tmp_path / "new"))
    reconcile.reconcile(ports, by="aysel")
    found = ports.register.snapshots()
    ports.register.close()
    return found


def test_a_snapshot_committed_between_the_questions_is_not_half_written(workshop, monkeypatch):
    """The survey saw the artefact before its manifest; the run has ended since."""
    taken = workshop.take()
    survey = workshop.app.ports.store.survey()
    stale = replace(survey, marked=frozenset())
    dead_run(workshop, taken.path)
    monkeypatch.setattr(workshop.app.ports.store, "survey", lambda: stale)
    reconcile.reconcile(workshop.app.ports, by="aysel")
    assert (workshop.store / taken.path).exists()
    assert [row.state for row in rows(workshop)] == [SnapshotState.PRESENT]


def test_only_the_artefact_and_its_companions_of_a_dead_run_go(workshop):
    workshop.take()
    folder = workshop.store / "app"
    dead_run(workshop, "app/half.sqlite")
    for name in ("half.sqlite", "half.sqlite.globals.sql", "half.sqlite.gz", "half.sqlite.my-notes.txt"):
        (folder / name).touch()
    reconcile.reconcile(workshop.app.ports, by="aysel")
    left = {item.name for item in folder.glob("half*")}
    assert left == {"half.sqlite.gz", "half.sqlite.my-notes.txt"}


def test_the_next_run_settles_what_a_killed_one_left(workshop):
    dead_run(workshop, None)
    staging = workshop.store / ".staging" / "dead"
    staging.mkdir(parents=True)
    with workshop.app.ports.scratch.folder("dead") as scratch:
        (scratch / "pgpass").write_text("secret")
        workshop.take()
        assert not scratch.exists()
    assert not staging.exists()
    assert workshop.app.ports.register.open_runs() == []


def test_a_run_of_another_register_is_not_swept(workshop):
    workshop.app.ports.store.require()
    with workshop.app.ports.store.staging("elsewhere") as folder:
        reconcile.reconcile(workshop.app.ports, by="aysel")
        assert folder.exists()


def test_a_path_that_a_dead_run_named_is_never_taken_again(workshop):
    dead_run(workshop, "app/database_backup_20260101T021500Z_x.sqlite")
    assert workshop.take().path.endswith("_x_2.sqlite")


def test_garbage_in_place_of_a_snapshot_does_not_count(workshop):
    taken = workshop.take()
    file = workshop.store / taken.path
    file.rename(workshop.store.parent / "aside")
    workshop.app.record_losses(by="x")
    file.write_bytes(b"garbage")
    workshop.app.record_losses(by="x")
    assert [(row.state, row.proven) for row in rows(workshop)] == [(SnapshotState.DAMAGED, False)]


def test_a_lost_register_is_made_anew_and_damage_is_seen(workshop, tmp_path):
    one, other = workshop.take(), workshop.take()
    (workshop.store / other.path).write_bytes(b"garbage")
    found = {row.id: row for row in lost_register(workshop, tmp_path)}
    assert found[one.id].proven
    assert (found[other.id].state, found[other.id].proof) == (SnapshotState.DAMAGED, ProofLevel.NONE)


def test_a_copied_folder_does_not_stop_reconcile(workshop, tmp_path):
    workshop.take()
    shutil.copytree(workshop.store / "app", workshop.store / "app-copy")
    shutil.copytree(workshop.store / "app", workshop.store / "app" / "old")
    assert len(lost_register(workshop, tmp_path)) == 1
    assert workshop.told(Event.FOREIGN_FOUND)


def test_a_manifest_that_nobody_can_read_is_told_with_its_reason(workshop):
    taken = workshop.take()
    workshop.store.joinpath("app", "other.sqlite").write_bytes(b"x")
    workshop.store.joinpath("app", "other.sqlite.manifest.json").write_text("{}")
    repairs = reconcile.reconcile(workshop.app.ports, by="aysel")
    assert list(repairs.broken) == ["app/other.sqlite.manifest.json"]
    assert repairs.foreign == ("app/other.sqlite",)
    told = {fields["path"]: fields.get("reason", "") for fields in workshop.told(Event.FOREIGN_FOUND)}
    assert "schema_version is missing" in str(told["app/other.sqlite.manifest.json"])
    assert rows(workshop) == [taken]


def test_files_of_a_pruned_snapshot_that_somebody_put_back_are_left_alone(workshop):
    taken = workshop.take()
    aside = {file: (workshop.store / file).read_bytes() for file in workshop.files()}
    reconcile.prune.delete(workshop.app.ports, taken, by="x", run=None, reason="test")
    for file, content in aside.items():
        (workshop.store / file).write_bytes(content)
    repairs = reconcile.reconcile(workshop.app.ports, by="aysel")
    assert repairs.count == 0 and repairs.foreign == ()
    assert workshop.files() == sorted(aside)


def test_a_hold_during_a_prune_protects(workshop, monkeypatch):
    workshop.policy = replace(workshop.policy, keep=KeepRules(last=1))
    workshop.configure(workshop.policy)
    first = workshop.take()
    workshop.now += timedelta(days=1)
    judge = reconcile.prune.judge

    def judged_then_held(*args, **kwargs):
        plan = judge(*args, **kwargs)
        workshop.app.hold(first, reason="audit", by="aysel")
        return plan

    monkeypatch.setattr(reconcile.prune, "judge", judged_then_held)
    workshop.take()
    assert {row.state for row in rows(workshop)} == {SnapshotState.PRESENT}


def test_what_is_being_deleted_cannot_be_held(workshop):
    taken = workshop.take()
    entry = Entry.about(taken, EntryKind.DELETION, at=T0, by="aysel")
    workshop.app.ports.register.begin_pruning(taken, entry)
    with pytest.raises(NotFoundError, match="being deleted"):
        workshop.app.hold(taken, reason="audit", by="aysel")


def test_rules_changed_during_a_run_hold_for_its_pruning(workshop):
    old = replace(workshop.policy, keep=KeepRules(last=1))
    for _ in range(3):
        workshop.take(policy=old)
    assert len(rows(workshop)) == 3
    assert all(row.state is SnapshotState.PRESENT for row in rows(workshop))


def test_a_companion_is_part_of_the_proof(workshop):
    taken = workshop.take()
    ports = workshop.app.ports
    manifest = ports.store.read_manifest(taken.path)
    extra = workshop.store / f"{taken.path}.globals.sql"
    extra.write_text("CREATE ROLE app;")
    control = ports.controls(timeout=None, label={})
    companion = ports.store.companion(extra.name, extra, control)
    whole = replace(
        manifest,
        companions=(companion,),
        snapshot=replace(manifest.snapshot, companions=(f"{taken.path}.globals.sql",)),
    )
    with ports.store.staging("again") as folder:
        (folder / "artefact").write_bytes((workshop.store / taken.path).read_bytes())
        digest = ports.store.commit(whole, folder / "artefact", {})
    with ports.register._database.transaction() as connection:
        connection.execute("UPDATE snapshots SET manifest_sha256 = ?", (digest,))
    workshop.app.verify(taken, level=ProofLevel.STORED, by="x", wait=0)
    extra.write_text("")
    with pytest.raises(IntegrityError, match=r"globals\.sql is gone or not"):
        workshop.app.verify(rows(workshop)[0], level=ProofLevel.STORED, by="x", wait=0)
