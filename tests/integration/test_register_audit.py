"""A register as evidence: each planted defect is found by name, and what is done by the rules never is."""

import json
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.chain import Head
from amanat.domain.errors import IntegrityError
from amanat.domain.events import Event
from amanat.domain.model import ProofLevel
from amanat.domain.policy import KeepRules
from amanat.faces.scheduler.chain_watch import ChainWatch
from amanat.observability.metrics import DaemonState
from amanat.register import connection, rows
from amanat.register.register import Register
from amanat.services import audit, reconcile
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]


@pytest.fixture
def lived(workshop):
    """Five snapshots, of which retention has deleted two; one was verified, held, released and held again."""
    for _ in range(5):
        workshop.now += timedelta(days=1)
        taken = workshop.take(purpose="nightly, as always")
    app = workshop.app
    app.verify(taken, level=ProofLevel.STORED, by="leyla", wait=0)
    for change in (app.hold, app.release, app.hold):
        change(newest(workshop), reason="audit", by="leyla")
    workshop.taken = newest(workshop)
    return workshop


def newest(workshop):
    return workshop.app.ports.register.newest_snapshot()


def sql(workshop, *statements):
    """As with the program ``sqlite3``."""
    with closing(sqlite3.connect(workshop.app.settings.state / "register.sqlite")) as register, register:
        for statement in statements:
            assert register.execute(statement).rowcount != 0, statement


def found(workshop, **said):
    return audit.audit(workshop.app.ports, **said).findings


def kinds(workshop):
    return [(finding.kind, finding.entry) for finding in found(workshop)]


def manifest(workshop, change):
    """Of the newest snapshot, with one thing changed."""
    file = workshop.store / f"{workshop.taken.path}.manifest.json"
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def last(workshop):
    return workshop.app.ports.register.head().sequence


def test_all_that_amanat_does_holds(lived):
    judged = audit.audit(lived.app.ports)
    assert judged.findings == ()
    assert judged.head == lived.app.ports.register.head()
    assert (judged.snapshots, judged.manifests) == (5, 3)


def test_a_row_edited(lived):
    sql(lived, "UPDATE entries SET purpose = 'nothing to see' WHERE sequence = 3")
    (finding,) = found(lived)
    assert (finding.kind, finding.entry) == ("edited", 3)
    assert "entry 3" in finding.reason


def test_a_row_removed(lived):
    sql(lived, "DELETE FROM entries WHERE sequence = 3")
    assert kinds(lived)[0] == ("removed", 3)


def test_rows_reordered(lived):
    sql(
        lived,
        "UPDATE entries SET sequence = -1 WHERE sequence = 2",
        "UPDATE entries SET sequence = 2 WHERE sequence = 4",
        "UPDATE entries SET sequence = 4 WHERE sequence = -1",
    )
    assert kinds(lived)[0] == ("reordered", 2)


def test_a_tail_cut(lived):
    end = last(lived)
    sql(lived, f"DELETE FROM entries WHERE sequence > {end - 2}")
    assert kinds(lived)[0] == ("tail cut", end - 1)


def test_a_tail_cut_by_who_knows_sqlite(lived):
    """Rows and counter are cut as well, so only manifests know; and later entries do not heal it."""
    sql(
        lived,
        "DELETE FROM holds",
        "DELETE FROM snapshots WHERE id IN (SELECT snapshot FROM entries WHERE sequence > 2)",
        "DELETE FROM entries WHERE sequence > 2",
        "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'entries'",
    )
    assert ("tail cut", 3) in kinds(lived)
    assert "not registered" in [kind for kind, _ in kinds(lived)]
    lived.app.reconcile(by="aysel")
    lived.take()
    assert "edited" in [kind for kind, _ in kinds(lived)]
    adopted = [entry.detail for entry in lived.app.ports.register.entries() if entry.kind == "adoption"]
    assert any("knows another register" in detail for detail in adopted)


def test_entries_after_a_tail_was_cut_show_the_gap(lived):
    end = last(lived)
    sql(lived, f"DELETE FROM entries WHERE sequence = {end}")
    lived.take()
    assert ("removed", end) in kinds(lived)


def test_a_chain_made_anew_after_an_edit(lived):
    """Whoever can compute hashes is told by those who kept a head."""
    noted = lived.app.ports.register.head()
    made_anew(lived, "UPDATE entries SET purpose = 'nothing to see' WHERE sequence = 3")
    assert audit.chain.walk(lived.app.ports.register.stored_entries()).broken is None
    reasons = [finding.reason for finding in found(lived, noted=noted)]
    assert any("the manifest of" in reason for reason in reasons)
    assert any("the head given" in reason for reason in reasons)


def made_anew(workshop, statement):
    sql(workshop, statement)
    after = None
    for row in list(workshop.app.ports.register.stored_entries()):
        linked = audit.chain.link(row, after=after, sequence=row["sequence"])
        after = Head(sequence=linked["sequence"], hash=linked["hash"])
        hashes = f"previous = '{linked['previous']}', hash = '{linked['hash']}'"
        sql(workshop, f"UPDATE entries SET {hashes} WHERE sequence = {after.sequence}")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("sha256", "'" + "0" * 64 + "'"), ("size_bytes", "1"), ("path", "'app/other.sqlite'"), ("proof", "'restored'"),
        ("state", "'damaged'"), ("proof", "'gold'"), ("manifest_sha256", "NULL"),
    ],
)  # fmt: skip
def test_a_snapshots_row_edited(lived, column, value):
    sql(lived, f"UPDATE snapshots SET {column} = {value} WHERE id = '{lived.taken.id}'")
    edited = [finding.reason for finding in found(lived) if finding.kind == "row edited"]
    (reason,) = edited
    assert reason.startswith(f"the row of snapshot {lived.taken.id} is not as entry {last(lived)} says: {column}")
    assert value == "NULL" or reason.endswith(f", found {value}".replace("'", "") + ")")


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE holds SET released_at = at", "DELETE FROM holds", "UPDATE snapshots SET taken_at = scheduled_at",
        "UPDATE snapshots SET required_proof = 'stored'", "UPDATE snapshots SET companions = '[\"app/x\"]'",
    ],
)  # fmt: skip
def test_a_hold_or_a_column_that_entries_do_not_repeat(lived, edit):
    if "scheduled_at" in edit:
        edit = "UPDATE snapshots SET taken_at = '2020-01-01T00:00:00.000000Z'"
    sql(lived, f"{edit} WHERE {'snapshot' if 'holds' in edit else 'id'} = '{lived.taken.id}'")
    (reason,) = [finding.reason for finding in found(lived) if finding.kind == "row edited"]
    assert "a hold" in reason


def test_a_snapshots_row_removed_or_added(lived):
    pruned = "SELECT id FROM snapshots WHERE state = 'pruned' ORDER BY taken_at LIMIT 1"
    sql(lived, f"UPDATE snapshots SET id = 'ffffffffffff' WHERE id = ({pruned})")
    assert [kind for kind, _ in kinds(lived)] == ["row added", "row removed"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda data: data["artefact"].update(sha256="0" * 64), "sha256"),
        (lambda data: data["artefact"].update(size_bytes=1), "size_bytes"),
        (lambda data: data.update(purpose="another"), "purpose"),
        (lambda data: data["facts"].update(tables=[]), "facts"),
        (lambda data: data["proof"].update(level="restored"), "proof"),
        (lambda data: data.update(restore=["rm -rf /"]), "recipe"),
    ],
)
def test_a_manifest_edited(lived, change, named):
    manifest(lived, change)
    (finding,) = found(lived)
    assert finding.kind == "manifest edited"
    assert lived.taken.path in finding.reason and named in finding.reason
    with pytest.raises(IntegrityError):
        lived.app.verify(lived.taken, level=ProofLevel.STORED, by="x", wait=0)


def test_a_manifest_whose_head_is_not_on_the_chain(lived):
    manifest(lived, lambda data: data["register_head"].update(hash="0" * 64))
    assert "edited" in [kind for kind, _ in kinds(lived)]


def test_a_manifest_that_cannot_be_read(lived):
    (lived.store / f"{lived.taken.path}.manifest.json").write_text("{")
    assert [kind for kind, _ in kinds(lived)] == ["manifest unreadable"]


def test_a_snapshot_that_the_register_does_not_know(lived):
    artefact = lived.store / lived.taken.path
    artefact.with_name("copy.sqlite").write_bytes(artefact.read_bytes())
    data = json.loads((lived.store / f"{lived.taken.path}.manifest.json").read_text())
    data["id"], data["artefact"]["file"] = "ffffffffffff", "copy.sqlite"
    artefact.with_name("copy.sqlite.manifest.json").write_text(json.dumps(data))
    (finding,) = found(lived)
    assert (finding.kind, finding.entry) == ("not registered", None) and "app/copy.sqlite" in finding.reason


def test_a_head_of_nobody(lived):
    (finding,) = found(lived, noted=Head(sequence=999, hash="0" * 64))
    assert finding.kind == "tail cut" and "the head given knows entry 999" in finding.reason


def test_a_run_under_way_is_no_defect(lived, monkeypatch):
    """Between manifest and row: seen by the lock of the run."""
    register = lived.app.ports.register
    seen = []

    def look(*_arguments):
        seen.extend(found(lived))
        raise KeyboardInterrupt

    monkeypatch.setattr(register, "add_snapshot", look)
    with suppress(KeyboardInterrupt):
        lived.take()
    assert seen == []
    assert [kind for kind, _ in kinds(lived)] == ["not registered"]


def test_a_deletion_under_way_is_no_defect(lived, monkeypatch):
    seen = []
    delete = lived.app.ports.store.delete

    def look(*arguments):
        seen.extend(found(lived))
        delete(*arguments)

    monkeypatch.setattr(lived.app.ports.store, "delete", look)
    lived.now += timedelta(days=1)
    lived.take()
    assert len([row for row in lived.app.ports.register.snapshots() if row.state == "pruned"]) > 2
    assert seen == []


def rebuilt(workshop, tmp_path):
    app = workshop.app
    ports = replace(app.ports, register=Register(tmp_path / "new"))
    return ports, reconcile.rebuild(ports, by="aysel", aside=Path("register.sqlite.old"))


def test_a_register_made_anew_begins_with_an_entry_that_says_so(lived, tmp_path):
    known = lived.app.ports.store.read_manifest(lived.taken.path).register_head
    ports, repairs = rebuilt(lived, tmp_path)
    first, *others = ports.register.entries()
    assert (first.kind, first.by, first.at) == ("rebuild", "aysel", lived.now)
    assert "from 3 manifests" in first.detail and str(known) in first.detail and "sqlite.old" in first.detail
    assert [entry.kind for entry in others] == ["adoption"] * 3
    assert len(repairs.adopted) == 3
    before = {row.id: row for row in lived.app.ports.register.snapshots(gone=False)}
    for row in ports.register.snapshots():
        same = {"proof": row.proof, "proof_at": row.proof_at, "proof_run": row.proof_run, "held": ()}
        same["read_at"] = lived.now
        assert replace(before[row.id], **same) == row
    assert audit.audit(ports).findings == ()
    ports.register.close()


def test_a_register_made_anew_is_judged_by_what_is_written_after_it(lived, tmp_path):
    ports, _ = rebuilt(lived, tmp_path)
    lived.app = replace(lived.app, ports=ports)
    for _ in range(2):
        lived.now += timedelta(days=1)
        lived.taken = lived.take()
    assert audit.audit(ports).findings == ()
    manifest(lived, lambda data: data["register_head"].update(hash="0" * 64))
    assert "edited" in [finding.kind for finding in audit.audit(ports).findings]
    ports.register.close()


def test_reconcile_in_an_empty_register_says_it_too(lived, tmp_path):
    ports = replace(lived.app.ports, register=Register(tmp_path / "new"))
    reconcile.reconcile(ports, by="aysel")
    assert [entry.kind for entry in ports.register.entries()] == ["rebuild", *["adoption"] * 3]
    assert audit.audit(ports).findings == ()
    ports.register.close()


def test_the_entries_of_an_older_register_are_chained(lived, tmp_path):
    """As the first two schemas had them, with a gap where somebody removed one."""
    (tmp_path / "old").mkdir()
    scripts = sorted((Path(connection.__file__).parent / "migrations").glob("*.sql"))[:2]
    register = lived.app.ports.register
    entries = list(register.stored_entries())
    with closing(sqlite3.connect(tmp_path / "old" / "register.sqlite")) as old, old:
        for script in scripts:
            old.executescript(script.read_text())
        old.execute("PRAGMA user_version = 2")
        for item in register.snapshots():
            row = {
                key: value
                for key, value in rows.snapshot_row(item).items()
                if key not in {"manifest_sha256", "read_at", "failed_proof"}
            }
            rows.insert(old, "snapshots", row)
        for row in entries:
            if row["sequence"] != 2:
                older = {
                    key: value
                    for key, value in row.items()
                    if key not in {*audit.chain.REPEATED, "previous", "hash"}
                }
                rows.insert(old, "entries", older)
    ports = replace(lived.app.ports, register=Register(tmp_path / "old"))
    *taken_over, note = ports.register.entries()
    assert len(taken_over) == len(entries) - 1
    assert (note.kind, note.by) == ("chain", "amanat") and "1 numbers were missing" in note.detail
    judged = audit.chain.walk(ports.register.stored_entries())
    assert judged.broken is None and judged.head.sequence == len(entries)
    subjects = list(ports.register.subjects())
    assert len(subjects) == 5
    assert all(entry and not audit.chain.altered(row, entry) for row, entry in subjects)
    ports.register.close()


def test_the_daemon_looks_at_all_of_it_and_then_at_the_tail(lived):
    state = DaemonState()
    watch = ChainWatch(lived.app.ports, state)
    watch.look_at_the_tail()
    assert state.chain_valid is None
    watch.look_at_all()
    lived.take()
    watch.look_at_the_tail()
    assert state.chain_valid is True
    end = last(lived)
    sql(lived, f"DELETE FROM entries WHERE sequence = {end}")
    watch.look_at_the_tail()
    assert state.chain_valid is False
    (told,) = lived.told(Event.REGISTER_BROKEN)
    assert told["kind"] == "tail cut"


def test_the_daemon_is_told_when_the_register_is_right_again(lived):
    state = DaemonState()
    watch = ChainWatch(lived.app.ports, state)
    watch.look_at_all()
    sql(lived, "UPDATE entries SET by = by || 'x' WHERE sequence = 1")
    watch.look_at_the_tail()
    assert state.chain_valid is True  # the tail is
    watch.look_at_all()
    assert state.chain_valid is False
    sql(lived, "UPDATE entries SET by = rtrim(by, 'x') WHERE sequence = 1")
    watch.look_at_all()
    assert state.chain_valid is True


def test_heads_are_anchored_in_manifests_the_log_and_the_document(workshop):
    first = workshop.take()
    head = workshop.app.ports.register.head()
    assert workshop.app.ports.store.read_manifest(first.path).register_head is None
    assert str(head) in (workshop.app.settings.state.parent / "docs" / "register.md").read_text()
    assert workshop.told(Event.REGISTER_HEAD) == [vars(head)]
    second = workshop.take()
    assert workshop.app.ports.store.read_manifest(second.path).register_head == head


def test_purpose_is_required_for_hold_and_release(lived):
    from amanat.domain.errors import ConfigurationError

    before = list(lived.app.ports.register.stored_entries())
    for change in (lived.app.hold, lived.app.release):
        for reason in ("", "  \n"):
            with pytest.raises(ConfigurationError, match="reason is empty"):
                change(lived.taken, reason=reason, by="leyla")
    assert list(lived.app.ports.register.stored_entries()) == before


def test_a_pruned_snapshot_keeps_its_evidence(workshop):
    workshop.policy = replace(workshop.policy, keep=KeepRules(last=1))
    workshop.configure(workshop.policy)
    first = workshop.take()
    workshop.now = T0 + timedelta(days=1)
    workshop.take()
    entries = workshop.app.ports.register.stored_entries()
    _begun, deletion = (row for row in entries if row["kind"] == "deletion")
    assert (deletion["snapshot"], deletion["sha256"], deletion["state"]) == (first.id, first.sha256, "pruned")
