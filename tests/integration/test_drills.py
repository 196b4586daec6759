"""The proof ``restored`` as a service: in a snapshot, by verify, by a drill; and what a failure means."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from amanat.domain.comparison import Comparison, Difference, Finding
from amanat.domain.errors import ConfigurationError, DriftError, IntegrityError, ProofError, RefusedError
from amanat.domain.model import EntryKind, Outcome, ProofLevel, SnapshotState, Stage
from amanat.domain.policy import Configuration
from amanat.engines.sqlite import SqliteRehearser
from amanat.ports.engine import Rehearsal
from tests.support.workshop import workshop

__all__ = ["workshop"]


def difference(kind):
    return Difference(kind=kind, name="thing", finding=Finding.DIFFERS, expected="one", found="another")


def finding(monkeypatch, **comparison):
    said = {"differences": (), **comparison}
    rehearsal = Rehearsal(comparison=Comparison(**said), seconds=1.0)
    monkeypatch.setattr(SqliteRehearser, "rehearse", lambda *_: rehearsal)


def runs(workshop, stage):
    return [run for run in workshop.app.ports.register.recent_runs(50) if run.stage is stage]


def newest_entry(workshop):
    return list(workshop.app.ports.register.entries())[-1]


def test_a_policy_may_ask_for_it(workshop):
    taken = workshop.take(policy=replace(workshop.policy, proof=ProofLevel.RESTORED))
    assert taken.proven and taken.proof is ProofLevel.RESTORED
    assert workshop.app.ports.store.read_manifest(taken.path).facts.rows
    assert workshop.files() == [taken.path, f"{taken.path}.manifest.json"]


def test_a_snapshot_that_does_not_restore_does_not_count(workshop, monkeypatch):
    finding(monkeypatch, differences=(difference("index"),))
    with pytest.raises(ProofError, match="index thing: expected one, found another"):
        workshop.take(policy=replace(workshop.policy, proof=ProofLevel.RESTORED))
    assert workshop.files() == []


def test_a_drill_raises_the_proof_and_is_a_run_of_its_own(workshop):
    taken = workshop.take()
    drilled = workshop.app.drill(taken, by="aysel", wait=0)
    assert drilled.proof is ProofLevel.RESTORED
    (run,) = runs(workshop, Stage.DRILL)
    assert (run.outcome, run.snapshot) == (Outcome.SUCCEEDED, taken.id)
    assert newest_entry(workshop).kind is EntryKind.DRILL
    assert workshop.files() == [taken.path, f"{taken.path}.manifest.json"]


def test_verify_reaches_the_same_level(workshop):
    taken = workshop.take()
    assert workshop.app.verify(taken, level=ProofLevel.RESTORED, by="a", wait=0).proof is ProofLevel.RESTORED


def test_what_does_not_restore_as_it_was_is_damaged(workshop, monkeypatch):
    taken = workshop.take()
    many = tuple(difference("rows of") for _ in range(7))
    finding(monkeypatch, differences=many)
    with pytest.raises(ProofError, match="; and 2 more"):
        workshop.app.drill(taken, by="aysel", wait=0)
    (row,) = workshop.app.ports.register.snapshots()
    assert row.state is SnapshotState.DAMAGED and not row.proven


def test_a_server_that_is_another_does_not_damage_the_snapshot(workshop, monkeypatch):
    taken = workshop.take()
    finding(monkeypatch, differences=(difference("extension"), difference("version of collation")))
    with pytest.raises(DriftError, match="extension thing"):
        workshop.app.drill(taken, by="aysel", wait=0)
    (row,) = workshop.app.ports.register.snapshots()
    assert row.state is SnapshotState.PRESENT and row.proof is taken.proof
    assert runs(workshop, Stage.DRILL)[0].code == "drift"


def test_what_cannot_be_compared_is_not_called_proven(workshop, monkeypatch):
    taken = workshop.take()
    finding(monkeypatch, not_compared=("rows of tables: not told of on one side",))
    with pytest.raises(RefusedError, match="not compared: rows of tables"):
        workshop.app.drill(taken, by="aysel", wait=0)
    (row,) = workshop.app.ports.register.snapshots()
    assert row.state is SnapshotState.PRESENT and row.proof is taken.proof


def test_bytes_are_proven_before_anything_is_restored(workshop):
    taken = workshop.take()
    path = workshop.app.ports.store.path(taken.path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM users WHERE name = 'a'")
    with pytest.raises(IntegrityError, match="SHA-256"):
        workshop.app.drill(taken, by="aysel", wait=0)


def test_a_database_that_is_no_longer_configured_has_no_place(workshop):
    taken = workshop.take()
    workshop.app.use(Configuration())
    with pytest.raises(ConfigurationError, match="app is not configured"):
        workshop.app.drill(taken, by="aysel", wait=0)
    assert workshop.app.verify(taken, level=ProofLevel.READABLE, by="a", wait=0).proven
