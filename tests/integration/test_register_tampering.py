"""What somebody does to the register by hand: found by name, and nothing is deleted or counted for it."""

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from amanat.domain.errors import IntegrityError
from amanat.domain.events import Event
from amanat.domain.model import ProofLevel, SnapshotState
from amanat.services import audit, evidence, reconcile, status
from tests.support.workshop import workshop

__all__ = ["workshop"]


@pytest.fixture
def lived(workshop):
    """Three snapshots, a night apart; the newest is held."""
    for _ in range(3):
        workshop.now += timedelta(days=1)
        workshop.taken = workshop.take()
    workshop.app.hold(workshop.taken, reason="audit", by="leyla")
    workshop.now += timedelta(hours=1)
    return workshop


def sql(workshop, *statements):
    """As with the program ``sqlite3``."""
    with closing(sqlite3.connect(workshop.app.settings.state / "register.sqlite")) as register, register:
        for statement in statements:
            assert register.execute(statement).rowcount != 0, statement


def kinds(workshop):
    return [finding.kind for finding in audit.audit(workshop.app.ports).findings]


def snapshots(workshop):
    return workshop.app.ports.register.snapshots()


def hashed_anew(workshop):
    after = None
    for row in list(workshop.app.ports.register.stored_entries()):
        linked = audit.chain.link(row, after=after, sequence=row["sequence"])
        after = audit.chain.Head(sequence=linked["sequence"], hash=linked["hash"])
        hashes = f"previous = '{linked['previous']}', hash = '{linked['hash']}'"
        sql(workshop, f"UPDATE entries SET {hashes} WHERE sequence = {after.sequence}")


def test_a_deletion_that_nobody_began_is_found_and_not_finished(lived):
    files, oldest = lived.files(), snapshots(lived)[-1]
    for item in (oldest, lived.taken):  # not held, and held
        sql(lived, f"UPDATE snapshots SET state = 'pruning' WHERE id = '{item.id}'")
    assert kinds(lived) == ["row edited"] * 2
    repairs = reconcile.reconcile(lived.app.ports, by="aysel")
    assert (repairs.pruned, repairs.count, lived.files()) == ((), 0, files)
    assert {row.id for row in repairs.unfounded} == {oldest.id, lived.taken.id}
    told = lived.told(Event.REGISTER_BROKEN)
    assert sorted(str(fields["reason"]).split()[0] for fields in told) == [oldest.path, lived.taken.path]


def test_an_edited_entry_begins_no_deletion(lived):
    oldest = snapshots(lived)[-1]
    for table, where in (("snapshots", "id"), ("entries", "snapshot")):
        sql(lived, f"UPDATE {table} SET state = 'pruning' WHERE {where} = '{oldest.id}'")
    assert reconcile.reconcile(lived.app.ports, by="aysel").pruned == ()
    assert (lived.store / oldest.path).is_file()


def test_a_deletion_begins_and_ends_with_an_entry(lived):
    oldest = snapshots(lived)[-1]
    reconcile.prune.delete(lived.app.ports, oldest, by="aysel", run=None, reason="test")
    told = [entry for entry in lived.app.ports.register.entries() if entry.kind == "deletion"]
    assert [(entry.outcome, entry.snapshot, entry.by) for entry in told] == [
        ("begun", oldest.id, "aysel"),
        ("succeeded", oldest.id, "aysel"),
    ]
    assert kinds(lived) == []


def test_a_deletion_that_was_cut_short_is_no_defect_and_begins_once(lived, monkeypatch):
    oldest = snapshots(lived)[-1]

    def die(*_args):
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(lived.app.ports.store, "delete", die)
            reconcile.prune.delete(lived.app.ports, oldest, by="aysel", run=None, reason="test")
    assert kinds(lived) == []
    assert [row.id for row in reconcile.reconcile(lived.app.ports, by="aysel").pruned] == [oldest.id]
    outcomes = [entry.outcome for entry in lived.app.ports.register.entries() if entry.kind == "deletion"]
    assert outcomes == ["begun", "succeeded"] and kinds(lived) == []


def test_an_entry_of_the_future_is_a_finding(lived):
    sql(lived, "UPDATE entries SET kind = 'rebuild', at = '2099-01-01T00:00:00.000000Z' WHERE sequence = 1")
    hashed_anew(lived)
    assert {"dated ahead", "edited"} <= set(kinds(lived))


def test_a_rebuild_that_is_younger_than_what_follows_it_is_a_finding(lived):
    at = lived.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    sql(lived, f"UPDATE entries SET kind = 'rebuild', at = '{at}' WHERE sequence = 1")
    hashed_anew(lived)
    found = audit.audit(lived.app.ports)
    (finding,) = [each for each in found.findings if each.kind == "dated before"]
    assert finding.entry == 2
    assert f"made anew at {at} by aysel; the heads in 2 manifests of before are not compared" in found.remade


def test_a_manifest_of_before_that_knows_the_chain_contradicts_the_rebuild(lived):
    at = lived.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    sql(lived, f"UPDATE entries SET kind = 'rebuild', at = '{at}' WHERE sequence = 1")
    reasons = [finding.reason for finding in audit.audit(lived.app.ports).findings]
    assert any("knows entry" in reason and "before the register" in reason for reason in reasons)


def test_files_that_somebody_removed_are_findings_until_they_are_recorded(lived):
    for file in lived.store.glob("app/*"):
        file.unlink()
    found = audit.audit(lived.app.ports)
    assert [finding.kind for finding in found.findings] == ["lost"] * 3
    assert {row.path for row in snapshots(lived)} <= set(" ".join(f.reason for f in found.findings).split())
    told = evidence.collect(lived.app.ports, lived.app.configuration, "app", version="1")
    (kept,) = told["kept"]
    assert (kept["snapshots"], kept["proven"], kept["by_proof"], kept["bytes"]) == (0, 0, {"missing": 3}, 0)
    assert [row["snapshot"] for row in told["newest_by_proof"]] == [None] * 3
    lived.app.record_losses(by="scheduler")
    assert kinds(lived) == []


def test_a_run_that_nobody_wrote_is_told_as_that(lived):
    sql(lived, "UPDATE runs SET outcome = 'weird'")
    register = lived.app.ports.register
    for ask in (
        lambda: register.recent_runs(1),
        lambda: status.status(lived.app.ports, lived.app.configuration),
        lambda: evidence.collect(lived.app.ports, lived.app.configuration, "app", version="1"),
    ):
        with pytest.raises(IntegrityError, match="weird"):
            ask()


@pytest.mark.parametrize("edit", ["by = 'nobody'", "at = '2020-01-01T00:00:00.000000Z'"])
def test_who_held_and_when_is_covered(lived, edit):
    sql(lived, f"UPDATE holds SET {edit}")
    assert kinds(lived) == ["hold edited"]


def test_when_it_was_released_is_covered(lived):
    lived.app.release(snapshots(lived)[0], reason="done", by="leyla")
    assert kinds(lived) == []
    sql(lived, "UPDATE holds SET released_at = '2026-01-02T00:00:00.000000Z'")
    assert kinds(lived) == ["hold edited"]


def test_reading_again_leaves_the_time_of_a_higher_proof(lived):
    register = lived.app.ports.register
    lived.app.verify(lived.taken, level=ProofLevel.RESTORED, by="x", wait=0)
    restored = snapshots(lived)[0]
    proven_at = lived.now
    lived.now += timedelta(days=1)
    again = lived.app.verify(lived.taken, level=ProofLevel.STORED, by="x", wait=0)
    assert again == snapshots(lived)[0]
    assert (again.proof, again.proof_at, again.proof_run) == (ProofLevel.RESTORED, proven_at, restored.proof_run)
    assert (restored.read_at, again.read_at) == (proven_at, lived.now)
    *_, entry = register.entries()
    assert "checked stored" in entry.detail and "restored" in entry.detail
    assert kinds(lived) == []


def test_adopted_bytes_were_read_when_they_were_adopted(lived):
    sql(lived, "DELETE FROM holds", "DELETE FROM entries", "DELETE FROM snapshots", "DELETE FROM sqlite_sequence")
    lived.app.reconcile(by="aysel")
    assert {row.read_at for row in snapshots(lived)} == {lived.now}
    assert all(row.proof_at < lived.now and row.state is SnapshotState.PRESENT for row in snapshots(lived))
    found = audit.audit(lived.app.ports)
    assert found.findings == () and "by aysel; the heads in 2 manifests" in found.remade
