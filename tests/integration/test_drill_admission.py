"""Drills and re-reading only read the store: what they wait for, what waits for them, and what it may delete."""

import contextlib
import threading
from dataclasses import replace
from datetime import time, timedelta

import pytest

from amanat.domain.comparison import Comparison
from amanat.domain.errors import BusyError, NotFoundError, RefusedError, TimeoutExceededError
from amanat.domain.events import Event
from amanat.domain.model import EngineName, Outcome, ProofLevel, Run, SnapshotState, Stage
from amanat.domain.policy import Database, Drills, KeepRules, PostgresqlSource, Rereading, Schedule, Window
from amanat.engines.sqlite import SqliteRehearser
from amanat.ports.engine import Rehearsal
from tests.support.workshop import NIGHTLY, T0, workshop

__all__ = ["workshop"]

SUNDAYS = Schedule(cron="0 4 * * sun", timezone="UTC", catch_up=timedelta(days=2))
SUNDAY = T0.replace(day=4, hour=4, minute=0)


class Paused:
    """A drill that stands in the middle until ``go_on``. ``drill`` starts one in a thread of its own."""

    def __init__(self, workshop, monkeypatch):
        self._workshop = workshop
        self.begun, self._end = threading.Event(), threading.Event()
        self._threads = []
        self.errors = []
        monkeypatch.setattr(SqliteRehearser, "rehearse", self._rehearse)

    def _rehearse(self, *_):
        self.begun.set()
        assert self._end.wait(10)
        return Rehearsal(comparison=Comparison(differences=()), seconds=1.0)

    def drill(self, snapshot, wait=10.0):
        self.start(lambda: self._workshop.app.drill(snapshot, by="aysel", wait=wait))

    def start(self, work):
        def run():
            try:
                work()
            except Exception as exc:  # noqa: BLE001 - the test looks at it
                self.errors.append(exc)

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()

    def go_on(self):
        self._end.set()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def paused(workshop, monkeypatch):
    made = Paused(workshop, monkeypatch)
    yield made
    made.go_on()


def control(workshop):
    return workshop.app.ports.controls(timeout=None, label={})


def runs(workshop, stage):
    found = workshop.app.ports.register.recent_runs(99)
    return [run for run in reversed(found) if run.stage is stage]


def state(workshop, snapshot):
    return workshop.app.ports.register.snapshots_like(snapshot.id)[0].state


def job(workshop, stage, **values):
    policy = replace(workshop.policy, keep=KeepRules(last=99), **values)
    workshop.configure(policy)
    return {job.stage: job for job in policy.jobs(workshop.database)}[stage]


def lock_files(workshop):
    return {file.name for file in (workshop.app.settings.state / "locks").glob("snapshot-*")}


def test_a_drill_and_one_that_waits_for_it_keep_no_snapshot_waiting(workshop, paused):
    taken = workshop.take()
    paused.drill(taken)
    assert paused.begun.wait(10)
    paused.drill(taken)
    workshop.now += timedelta(days=1)
    assert workshop.take(wait=2.0).proven
    paused.go_on()
    assert paused.errors == []
    assert [run.outcome for run in runs(workshop, Stage.DRILL)] == [Outcome.SUCCEEDED] * 2


def test_what_a_drill_reads_is_not_deleted_and_the_run_says_so(workshop, paused):
    first = workshop.take()
    paused.drill(first)
    assert paused.begun.wait(10)
    for _ in range(4):
        workshop.now += timedelta(days=1)
        workshop.take()
    assert state(workshop, first) is SnapshotState.PRESENT
    (told, *_) = workshop.told(Event.RUN_WARNING)
    assert told["warning"] == f"kept for now: snapshot {first.id} is being read by a drill or a verification"
    assert first.id in runs(workshop, Stage.PRUNE)[-1].note
    paused.go_on()
    assert paused.errors == []
    workshop.now += timedelta(days=1)
    workshop.take()
    assert state(workshop, first) is SnapshotState.PRUNED
    assert lock_files(workshop) == set()


def test_a_snapshot_is_verified_by_several_at_once(workshop, paused):
    taken = workshop.take()
    paused.drill(taken)
    assert paused.begun.wait(10)
    assert workshop.app.verify(taken, level=ProofLevel.READABLE, by="b", wait=0).proven
    paused.go_on()
    assert paused.errors == []
    assert workshop.app.ports.register.snapshots_like(taken.id)[0].proof is ProofLevel.RESTORED
    assert lock_files(workshop) == set()


def test_a_drill_and_a_damage_that_is_found_meanwhile(workshop, paused):
    taken = workshop.take()
    paused.drill(taken)
    assert paused.begun.wait(10)
    file = workshop.app.ports.store.path(taken.path)
    whole = file.read_bytes()
    file.chmod(0o600)
    file.write_bytes(whole[:-1])
    with pytest.raises(Exception, match="SHA-256"):
        workshop.app.verify(taken, level=ProofLevel.STORED, by="b", wait=0)
    assert state(workshop, taken) is SnapshotState.DAMAGED
    paused.go_on()
    assert paused.errors == []
    assert state(workshop, taken) is SnapshotState.PRESENT


def test_who_holds_the_drills_up_is_told(workshop, paused):
    taken = workshop.take()
    paused.drill(taken)
    assert paused.begun.wait(10)
    (run,) = runs(workshop, Stage.DRILL)
    with pytest.raises(
        BusyError, match=f"drills: another run holds the lock: run {run.id}, drill of app by aysel, process"
    ):
        workshop.app.drill(taken, by="b", wait=0)
    assert runs(workshop, Stage.DRILL)[-1].code == "busy"


def test_snapshots_that_restore_for_their_proof_and_a_drill_never_wait_for_each_other_in_a_ring(workshop, paused):
    """The snapshot has the only place and wants the drills, the drill wants both."""
    taken = workshop.take()
    app = workshop.app
    ports = replace(app.ports, limit=1)
    workshop.app = replace(app, ports=ports)
    held = contextlib.ExitStack()
    held.enter_context(ports.locks.drill(control(workshop), wait=0))
    workshop.now += timedelta(days=1)
    policy = replace(workshop.policy, proof=ProofLevel.RESTORED)
    paused.start(lambda: workshop.take(policy=policy))
    _until(lambda: len(runs(workshop, Stage.SNAPSHOT)) == 2)
    paused.drill(taken)
    held.close()
    paused.go_on()
    assert paused.errors == []
    assert [run.outcome for run in runs(workshop, Stage.SNAPSHOT)] == [Outcome.SUCCEEDED] * 2
    assert [run.outcome for run in runs(workshop, Stage.DRILL)] == [Outcome.SUCCEEDED]


def test_a_snapshot_waits_for_other_drills_half_of_its_time_and_is_kept(workshop):
    policy = replace(workshop.policy, proof=ProofLevel.RESTORED, timeout=timedelta(seconds=3))
    with (
        workshop.app.ports.locks.drill(control(workshop), wait=0),
        pytest.raises(TimeoutExceededError, match="drills: another run holds the lock"),
    ):
        workshop.take(policy=policy)
    (kept,) = workshop.app.ports.register.snapshots()
    assert (kept.proof, kept.proven) == (ProofLevel.READABLE, False)
    assert workshop.app.drill(kept, by="aysel", wait=0).proven


def test_the_clock_of_a_drill_starts_when_its_turn_has_come(workshop, monkeypatch):
    taken = workshop.take()
    drill = job(workshop, Stage.DRILL, drills=Drills(schedule=SUNDAYS, max_duration=timedelta(seconds=30)))
    workshop.now = SUNDAY
    held = contextlib.ExitStack()
    held.enter_context(workshop.app.ports.locks.drill(control(workshop), wait=0))
    left = []
    rehearse = SqliteRehearser.rehearse

    def looked(*said):
        left.append(said[-1].remaining())
        return rehearse(*said)

    def go_on():
        workshop.now += timedelta(minutes=20)
        held.close()

    monkeypatch.setattr(SqliteRehearser, "rehearse", looked)
    threading.Timer(1.2, go_on).start()
    workshop.app.run_due(drill)
    (run,) = runs(workshop, Stage.DRILL)
    assert (run.outcome, run.snapshot) == (Outcome.SUCCEEDED, taken.id)
    assert run.started_at == SUNDAY + timedelta(minutes=20)
    assert left[0] > 29


@pytest.mark.parametrize("proof", [ProofLevel.READABLE, ProofLevel.RESTORED])
def test_a_pause_that_begins_while_a_drill_waits_holds(workshop, proof):
    pause = Window(begin=time(5), end=time(9), zone="UTC")
    drills = Drills(schedule=SUNDAYS, not_between=(pause,))
    drill = job(workshop, Stage.DRILL, drills=drills)
    if proof is ProofLevel.READABLE:
        workshop.take()
    workshop.now = SUNDAY
    held = contextlib.ExitStack()
    held.enter_context(workshop.app.ports.locks.drill(control(workshop), wait=0))

    def go_on():
        workshop.now += timedelta(hours=2)
        held.close()

    threading.Timer(0.5, go_on).start()
    if proof is ProofLevel.RESTORED:
        with pytest.raises(RefusedError, match="no drills between"):
            workshop.take(policy=replace(workshop.policy, proof=proof, drills=drills))
        return
    workshop.app.run_due(drill)
    (run,) = runs(workshop, Stage.DRILL)
    assert (run.outcome, run.code) == (Outcome.SKIPPED, "not-between")


@pytest.mark.parametrize("stage", [Stage.DRILL, Stage.VERIFY])
def test_what_was_pruned_while_a_round_waited_is_skipped(workshop, stage):
    gone = workshop.take()
    values = {"drills": Drills(schedule=NIGHTLY, sample=0), "rereading": Rereading(schedule=NIGHTLY, percent=100)}
    round_ = job(workshop, stage, **values)
    ports = replace(workshop.app.ports, limit=1)
    workshop.app = replace(workshop.app, ports=ports)
    held = contextlib.ExitStack()
    held.enter_context(ports.locks.slot(1, control(workshop), wait=0))

    def prune():
        ports.register.set_state(gone, SnapshotState.PRUNED)
        held.close()

    threading.Timer(0.4, prune).start()
    workshop.now += timedelta(minutes=1)
    workshop.app.run_due(round_)
    (run,) = runs(workshop, stage)
    assert (run.outcome, run.code, run.snapshot) == (Outcome.SKIPPED, "gone", gone.id)
    with pytest.raises(NotFoundError):
        workshop.app.drill(gone, by="aysel", wait=0)
    assert [run.outcome for run in runs(workshop, stage)] == [Outcome.SKIPPED]


def dead_drill(workshop, **values):
    said = {"stage": Stage.DRILL, "database": "app", "policy": "nightly", "by": "x", "started_at": T0}
    run = Run(id="dead", **{**said, **values})
    workshop.app.ports.register.start_run(run)
    return run


def test_a_dead_drill_is_settled_by_the_next_unless_somebody_works_on_its_database(workshop):
    taken, ports = workshop.take(), workshop.app.ports
    dead_drill(workshop)
    with ports.locks.database("app", control(workshop), wait=0):
        workshop.app.drill(taken, by="aysel", wait=0)
    assert [run.id for run in ports.register.open_runs()] == ["dead"]
    workshop.app.drill(taken, by="aysel", wait=0)
    assert ports.register.open_runs() == []


def test_a_server_that_cannot_be_asked_for_what_a_drill_left_is_a_warning(workshop):
    source = PostgresqlSource(parameters={"host": "127.0.0.1", "port": "1", "dbname": "far", "user": "x"})
    workshop.database = Database(name="app", environment="local", source=source, engine=EngineName.POSTGRESQL)
    workshop.configure(workshop.policy)
    workshop.app.sweep_servers()
    assert workshop.told(Event.RUN_WARNING) == []
    run = dead_drill(workshop)
    workshop.app.ports.register.finish_run(replace(run, finished_at=T0, outcome=Outcome.FAILED))
    workshop.app.sweep_servers()
    (told,) = workshop.told(Event.RUN_WARNING)
    assert "what run dead may have left is looked for again by the next drill: " in told["warning"]


def _until(true):
    pause = threading.Event()
    for _ in range(100):
        if true():
            return
        pause.wait(0.1)
    raise AssertionError
