"""The proof ``restored`` as a service: in a snapshot, by verify, by a drill; and what a failure means."""

import contextlib
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.comparison import Comparison, Difference, Finding
from amanat.domain.entry import EntryKind
from amanat.domain.errors import (
    AnswerError,
    ConfigurationError,
    DriftError,
    IntegrityError,
    ProofError,
    RefusedError,
)
from amanat.domain.model import Outcome, ProofLevel, SnapshotState, Stage
from amanat.domain.policy import Configuration, Drills
from amanat.domain.sql_check import SqlCheck, parse_expectation
from amanat.engines.sqlite import SqliteRehearser
from amanat.ports.engine import Rehearsal
from tests.support.workshop import NIGHTLY, workshop

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
    (kept,) = workshop.app.ports.register.snapshots()
    assert (kept.proof, kept.proven) == (ProofLevel.READABLE, False)


@pytest.mark.parametrize("hindrance", [RefusedError("no", hint="x"), DriftError("other", hint="x")])
def test_a_drill_that_could_not_be_done_costs_the_proof_and_not_the_snapshot(workshop, monkeypatch, hindrance):
    def hindered(*_):
        raise hindrance

    monkeypatch.setattr(SqliteRehearser, "rehearse", hindered)
    with pytest.raises(type(hindrance)):
        workshop.take(policy=replace(workshop.policy, proof=ProofLevel.RESTORED))
    (kept,) = workshop.app.ports.register.snapshots()
    assert (kept.proof, kept.required_proof, kept.proven) == (ProofLevel.READABLE, ProofLevel.RESTORED, False)
    (run,) = runs(workshop, Stage.SNAPSHOT)
    assert run.snapshot == kept.id
    assert kept.id in run.note
    monkeypatch.undo()
    assert workshop.app.drill(kept, by="aysel", wait=0).proven


def test_a_drill_that_the_policy_forbids_now_can_be_made_up_for(workshop):
    drills = Drills(schedule=NIGHTLY, max_bytes=1)
    kept = workshop.take(policy=replace(workshop.policy, proof=ProofLevel.RESTORED, drills=drills))
    assert not kept.proven
    assert "drills.max_size" in runs(workshop, Stage.SNAPSHOT)[0].note
    assert workshop.app.drill(kept, by="aysel", wait=0).proven


@pytest.mark.parametrize(("expect", "met"), [(">= 1", True), ("> 1000000", False)])
def test_questions_of_the_users_own(workshop, expect, met):
    check = SqlCheck(sql="select count(*) from sqlite_master", expect=parse_expectation(expect))
    policy = replace(workshop.policy, proof=ProofLevel.RESTORED, checks=(check,))
    if met:
        assert workshop.take(policy=policy).proven
        return
    with pytest.raises(AnswerError, match=r"select count\(\*\) from sqlite_master: expected > 1000000, found"):
        workshop.take(policy=policy)
    (kept,) = workshop.app.ports.register.snapshots()
    assert (kept.proof, kept.proven) == (ProofLevel.READABLE, False)


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("delete from sqlite_master", "may not be modified|readonly"),
        ("select 1; select 2", "one statement"),
        ("select * from nowhere", "no such table: nowhere"),
        ("with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n", "no answer"),
        ("create table more (id)", "readonly"),
        ("attach database 'more.sqlite' as more", "not authorized"),
    ],
)
def test_a_question_that_does_more_or_gets_no_answer_fails_the_proof(workshop, sql, found):
    check = SqlCheck(sql=sql, expect=parse_expectation("1"), timeout=timedelta(seconds=0.2))
    with pytest.raises(AnswerError, match=f"expected = 1, found .*({found})"):
        workshop.take(policy=replace(workshop.policy, proof=ProofLevel.RESTORED, checks=(check,)))
    assert not Path("more.sqlite").exists()


def test_what_failed_its_drill_stays_damaged_however_well_it_can_be_read(workshop, monkeypatch):
    taken = workshop.take()
    finding(monkeypatch, differences=(difference("index"),))
    with pytest.raises(ProofError):
        workshop.app.drill(taken, by="aysel", wait=0)
    monkeypatch.undo()
    for level in (ProofLevel.STORED, ProofLevel.READABLE):
        with pytest.raises(ProofError, match=f"is {level}, and stays damaged: it failed the proof restored"):
            workshop.app.verify(taken, level=level, by="aysel", wait=0)
    (row,) = workshop.app.ports.register.snapshots()
    assert (row.state, row.proven) == (SnapshotState.DAMAGED, False)
    assert workshop.app.verify(taken, level=ProofLevel.RESTORED, by="aysel", wait=0).proven
    (row,) = workshop.app.ports.register.snapshots()
    assert (row.state, row.failed_proof) == (SnapshotState.PRESENT, None)


def test_an_unhappy_question_harms_no_snapshot_that_was_proven(workshop):
    check = SqlCheck(sql="select 0", expect=parse_expectation("1"))
    taken = workshop.take(policy=replace(workshop.policy, proof=ProofLevel.RESTORED))
    workshop.configure(replace(workshop.policy, checks=(check,)))
    with pytest.raises(AnswerError, match="restored as it was taken, but check select 0: expected = 1, found 0"):
        workshop.app.drill(taken, by="aysel", wait=0)
    assert workshop.app.ports.register.snapshots()[0].proven
    assert [(run.outcome, run.code) for run in runs(workshop, Stage.DRILL)] == [(Outcome.FAILED, "answer")]


def test_waiting_for_another_drill_is_no_part_of_a_drill(workshop):
    taken, ports = workshop.take(), workshop.app.ports
    held = contextlib.ExitStack()
    held.enter_context(ports.locks.drill(ports.controls(timeout=None, label={}), wait=0))

    def go_on():
        workshop.now += timedelta(hours=1)
        held.close()

    threading.Timer(0.3, go_on).start()
    workshop.app.drill(taken, by="aysel", wait=10)
    (run,) = ports.register.recent_runs(1)
    assert run.started_at == workshop.now


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
