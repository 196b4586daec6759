"""Runs give way to a migration: none begins while it is marked, and none that is under way holds it up for long."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from amanat import deferred
from amanat.domain.comparison import Comparison
from amanat.domain.errors import BusyError, YieldedError
from amanat.domain.model import Outcome, ProofLevel, Stage
from amanat.domain.policy import Retry
from amanat.engines.sqlite import SqliteRehearser
from amanat.host import clock
from amanat.host.control import RunControl
from amanat.host.locks import Locks
from amanat.ports.engine import Rehearsal
from tests.support.cli import wait_for
from tests.support.workshop import workshop

__all__ = ["workshop"]

SECOND = timedelta(seconds=1)


@pytest.fixture
def mark(workshop):
    """Somebody else's migration, until it is closed."""
    with contextlib.ExitStack() as stack:
        stack.marked = lambda: stack.enter_context(
            Locks(workshop.app.settings.state / "locks").migration("app", RunControl(), wait=5, holder="run abc")
        )
        yield stack


class Slow:
    """The engine, but for its ``take``: that calls ``begun``, and then works for ten seconds."""

    def __init__(self, workshop, *, begun=lambda: None):
        self._workshop = workshop
        self.begun = begun
        self.attempts = 0
        ports = replace(workshop.app.ports, engine_of=self._engine_of)
        workshop.app = replace(workshop.app, ports=ports)

    def _engine_of(self, database):
        engine = deferred.engine_of(database)
        take = engine.take

        def slowly(order, control):
            self.attempts += 1
            if self.attempts == 1:
                self.begun()
                for _ in range(10):
                    self._workshop.now += SECOND
                    control.check()
            return take(order, control)

        engine.take = slowly
        return engine


def configure(workshop, **values):
    workshop.policy = replace(workshop.policy, **{"retry": Retry(backoff=timedelta(0)), **values})
    workshop.configure(workshop.policy)


def runs(workshop, stage=Stage.SNAPSHOT):
    found = workshop.app.ports.register.recent_runs(50)
    return [run for run in reversed(found) if run.stage is stage]


def outcomes(workshop, stage=Stage.SNAPSHOT):
    return [run.outcome for run in runs(workshop, stage)]


def test_a_snapshot_does_not_begin_and_its_row_names_the_migration(workshop, mark):
    mark.marked()
    with pytest.raises(BusyError, match="a migration of app is under way: run abc"):
        workshop.take(wait=0.3)
    (run,) = runs(workshop)
    assert (run.outcome, run.code) == (Outcome.SKIPPED, "busy")
    assert "a migration of app" in run.reason
    with workshop.app.locks.database("app", RunControl(), wait=0):  # the migration's own needs it
        pass


def test_it_begins_when_the_migration_is_over(workshop, mark):
    mark.marked()
    timer = threading.Timer(0.5, mark.close)
    timer.start()
    assert workshop.take(wait=10).proven
    timer.join()
    assert outcomes(workshop) == [Outcome.SUCCEEDED]


def test_what_the_migration_itself_takes_goes_on(workshop):
    with workshop.app.locks.migration("app", RunControl(), wait=0):
        assert workshop.take().proven


def is_locked(locks):
    with contextlib.suppress(BusyError), locks.database("app", RunControl(), wait=0):
        return False
    return True


def test_who_waits_for_another_run_lets_go_of_the_database_when_a_migration_begins(workshop, mark):
    """It has the database's lock already, and waits for one of the host's places."""
    ports = replace(workshop.app.ports, now=clock.now)
    workshop.app, others = replace(workshop.app, ports=ports), Locks(workshop.app.settings.state / "locks")
    with contextlib.ExitStack() as places, ThreadPoolExecutor(1) as beside:
        for _ in range(ports.limit):
            places.enter_context(others.slot(ports.limit, RunControl(), wait=0))
        taking = beside.submit(lambda: workshop.take(wait=3))
        wait_for("its lock", lambda: is_locked(others))
        mark.marked()
        with others.database("app", RunControl(), wait=2), pytest.raises(BusyError, match="a migration of app"):
            taking.result()


@pytest.mark.parametrize("restores", [True, False])
def test_a_verification_waits_if_it_restores(workshop, mark, restores):
    taken = workshop.take()
    mark.marked()
    level = ProofLevel.RESTORED if restores else ProofLevel.READABLE
    expected = pytest.raises(BusyError, match="a migration of app") if restores else contextlib.nullcontext()
    with expected:
        workshop.app.verify(taken, level=level, by="aysel", wait=0)


def test_a_drill_waits_and_pruning_does_not(workshop, mark):
    taken = workshop.take()
    mark.marked()
    with pytest.raises(BusyError, match="a migration of app"):
        workshop.app.drill(taken, by="aysel", wait=0)
    assert outcomes(workshop, Stage.DRILL) == [Outcome.SKIPPED]
    assert workshop.app.prune(database="app", by="aysel", confirmed="", wait=0)


@pytest.mark.parametrize("after", [timedelta(0), 3 * SECOND])
def test_a_snapshot_under_way_yields_when_its_time_is_over_and_is_taken_after_the_migration(workshop, mark, after):
    configure(workshop, yield_after=after)
    slow = Slow(workshop, begun=mark.marked)
    timer = threading.Timer(0.7, mark.close)
    timer.start()
    assert workshop.take(wait=0.1).proven  # who stood back waits for as long as the policy's timeout
    timer.join()
    first, second = runs(workshop)
    assert (first.outcome, second.outcome) == (Outcome.YIELDED, Outcome.SUCCEEDED)
    assert after + SECOND <= first.finished_at - first.started_at <= after + 2 * SECOND
    assert "gave way to a migration of app" in first.reason
    assert slow.attempts == 2


def test_a_migration_that_is_over_in_time_costs_nothing(workshop, mark):
    configure(workshop, yield_after=5 * SECOND)
    Slow(workshop, begun=lambda: (mark.marked(), mark.close()))
    assert workshop.take().proven
    assert outcomes(workshop) == [Outcome.SUCCEEDED]


def test_a_policy_that_never_yields_goes_on(workshop, mark):
    configure(workshop, yield_after=None)
    Slow(workshop, begun=mark.marked)
    assert workshop.take().proven


def test_a_migration_that_outlasts_the_timeout_is_named(workshop, mark):
    configure(workshop, yield_after=timedelta(0), timeout=2 * SECOND)
    Slow(workshop, begun=mark.marked)
    with pytest.raises(BusyError, match="a migration of app is under way"):
        workshop.take()
    assert outcomes(workshop) == [Outcome.YIELDED, Outcome.SKIPPED]


@pytest.fixture
def slow_drill(workshop, mark, monkeypatch):
    """The migration begins in the middle of it."""

    def rehearse(self, artefact, facts, checks, place, control):
        mark.marked()
        for _ in range(10):
            workshop.now += SECOND
            control.check()
        return Rehearsal(comparison=Comparison(differences=()), seconds=1.0)

    monkeypatch.setattr(SqliteRehearser, "rehearse", rehearse)


@pytest.mark.usefixtures("slow_drill")
def test_a_drill_under_way_yields_and_proves_nothing(workshop):
    configure(workshop, yield_after=3 * SECOND)
    taken = workshop.take()
    with pytest.raises(YieldedError):
        workshop.app.drill(taken, by="aysel", wait=0)
    assert outcomes(workshop, Stage.DRILL) == [Outcome.YIELDED]
    (row,) = workshop.app.ports.register.snapshots()
    assert (row.proof, row.state) == (taken.proof, "present")


@pytest.mark.usefixtures("slow_drill")
def test_a_snapshot_that_yields_in_its_proof_leaves_nothing(workshop):
    configure(workshop, proof=ProofLevel.RESTORED, timeout=7 * SECOND)
    with pytest.raises(BusyError):
        workshop.take(wait=0)
    assert outcomes(workshop) == [Outcome.YIELDED, Outcome.SKIPPED]
    assert workshop.files() == []
