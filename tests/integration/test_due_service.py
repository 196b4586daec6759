"""What a wake-up does: the slot that is due runs once, late ones are made good or counted."""

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from amanat.domain.errors import InterruptedRunError, SourceError
from amanat.domain.model import Outcome, Run, Stage
from amanat.domain.policy import Retry, Schedule
from amanat.domain.schedule import jittered
from amanat.faces.scheduler.trigger import ScheduleTrigger
from amanat.services import due
from tests.support.workshop import NIGHTLY, T0, workshop

__all__ = ["workshop"]


def wake(workshop, at):
    workshop.now = at
    return workshop.app.run_due(workshop.job)


def state(workshop):
    register, key = workshop.app.ports.register, (Stage.SNAPSHOT, "nightly", "app")
    return register.last_slot(*key), register.missed_slots().get(key, 0)


def outcomes(workshop):
    runs = [run for run in workshop.app.ports.register.recent_runs(50) if run.stage is Stage.SNAPSHOT]
    return [(run.outcome, run.attempt, run.code) for run in reversed(runs)]


def test_a_policy_that_never_ran_is_due_at_once_and_only_once(workshop):
    taken = wake(workshop, T0 + timedelta(hours=5))
    assert taken.scheduled_at == T0
    assert wake(workshop, T0 + timedelta(hours=6)) is None
    assert state(workshop) == (T0, 0)


def test_each_slot_runs_once_however_often_somebody_wakes(workshop):
    wake(workshop, T0)
    taken = wake(workshop, T0 + timedelta(days=1))
    assert taken.scheduled_at == T0 + timedelta(days=1)
    assert wake(workshop, T0 + timedelta(days=1, seconds=1)) is None


def test_missed_slots_within_catch_up_run_once_and_older_ones_are_counted(workshop):
    wake(workshop, T0)
    taken = wake(workshop, T0 + timedelta(days=4, hours=11))
    assert taken.scheduled_at == T0 + timedelta(days=4)
    assert state(workshop) == (T0 + timedelta(days=4), 3)


def test_too_late_for_all_of_them_counts_them_all(workshop):
    wake(workshop, T0)
    assert wake(workshop, T0 + timedelta(days=2, hours=13)) is None
    assert state(workshop) == (T0 + timedelta(days=2), 2)
    assert wake(workshop, T0 + timedelta(days=2, hours=14)) is None
    assert state(workshop)[1] == 2


def test_a_failed_slot_is_accounted_for(workshop):
    gone = workshop.source.with_suffix(".gone")
    workshop.source.rename(gone)
    with pytest.raises(SourceError):
        wake(workshop, T0)
    gone.rename(workshop.source)
    assert wake(workshop, T0 + timedelta(hours=1)) is None
    assert outcomes(workshop) == [(Outcome.FAILED, 1, "source")]


def test_an_interrupted_slot_is_due_again_as_a_further_attempt(workshop):
    workshop.app.stop.set()
    with pytest.raises(InterruptedRunError):
        wake(workshop, T0)
    workshop.app.stop.clear()
    assert state(workshop) == (None, 0)
    assert wake(workshop, T0 + timedelta(minutes=5)).proven
    assert [item[0] for item in outcomes(workshop)] in (
        [Outcome.SUCCEEDED],
        [Outcome.INTERRUPTED, Outcome.SUCCEEDED],
    )


def skip(workshop, slot):
    """As the timer does while the run before, of ``T0``, still goes."""
    due.skip_overlap(workshop.app.ports, workshop.job, slot)


def test_an_overlap_is_a_skipped_row_and_never_a_second_one(workshop):
    slot = T0 + timedelta(days=1)
    skip(workshop, slot)
    skip(workshop, slot)
    wake(workshop, T0)
    assert sorted(outcomes(workshop)) == [(Outcome.SKIPPED, 1, "overlap"), (Outcome.SUCCEEDED, 1, "")]
    assert wake(workshop, slot + timedelta(minutes=1)) is None


def test_a_slot_skipped_for_a_run_that_was_interrupted_is_due_again(workshop):
    slot = T0 + timedelta(days=1)
    skip(workshop, slot)
    workshop.app.stop.set()
    with pytest.raises(InterruptedRunError):
        wake(workshop, T0)
    workshop.app.stop.clear()
    taken = wake(workshop, slot + timedelta(minutes=1))
    assert taken.scheduled_at == slot
    assert (Outcome.SUCCEEDED, 2, "") in outcomes(workshop)


def test_the_trigger_fires_at_each_jittered_instant_once():
    schedule = replace(NIGHTLY, jitter=timedelta(minutes=30))
    trigger = ScheduleTrigger(schedule, "nightly/app")
    fired = [trigger.get_next_fire_time(None, T0 - timedelta(hours=1))]
    for _ in range(20):
        fired.append(trigger.get_next_fire_time(fired[-1], fired[-1]))
    slots = [T0 + timedelta(days=number) for number in range(21)]
    assert fired == [jittered(schedule, slot, "nightly/app") for slot in slots]


def test_the_trigger_goes_on_across_the_autumn_change():
    schedule = Schedule(cron="30 2 * * *", timezone="Europe/Paris")
    trigger = ScheduleTrigger(schedule, "x")
    first = trigger.get_next_fire_time(None, datetime(2026, 10, 24, 12, tzinfo=UTC))
    second = trigger.get_next_fire_time(first, first)
    assert (first, second) == (
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 26, 1, 30, tzinfo=UTC),
    )


def test_a_changed_schedule_holds_from_now_on(workshop):
    """02:15 ran; at 05:00 it is moved to 02:30: today's 02:30 is neither run nor missed."""
    wake(workshop, T0)
    workshop.policy = replace(workshop.policy, schedule=replace(NIGHTLY, cron="30 2 * * *"))
    workshop.now = T0 + timedelta(hours=3)
    due.begin_anew(workshop.app.ports, workshop.job, before=NIGHTLY)
    assert workshop.app.run_due(workshop.job) is None
    taken = wake(workshop, T0 + timedelta(days=1, minutes=15))
    assert taken.scheduled_at == T0 + timedelta(days=1, minutes=15)
    assert state(workshop)[1] == 0


def test_more_catch_up_does_not_account_for_a_slot_that_is_still_open(workshop):
    workshop.app.stop.set()
    with pytest.raises(InterruptedRunError):
        wake(workshop, T0)
    workshop.app.stop.clear()
    workshop.policy = replace(workshop.policy, schedule=replace(NIGHTLY, catch_up=timedelta(hours=20)))
    due.begin_anew(workshop.app.ports, workshop.job, before=NIGHTLY)
    assert wake(workshop, T0 + timedelta(minutes=5)).proven


def test_a_clock_that_was_ahead_does_not_stop_the_schedule(workshop):
    wake(workshop, T0)
    wake(workshop, T0 + timedelta(days=40))
    assert wake(workshop, T0 + timedelta(days=1, hours=1)) is None
    assert wake(workshop, T0 + timedelta(days=2)).scheduled_at == T0 + timedelta(days=2)


def test_a_crash_during_backoff_leaves_the_other_attempts(workshop):
    policy = replace(workshop.policy, retry=Retry(attempts=3, backoff=timedelta(minutes=1)))
    workshop.policy = policy
    failed = Run(
        id="r1",
        stage=Stage.SNAPSHOT,
        database="app",
        policy="nightly",
        by="scheduler",
        scheduled_at=T0,
        started_at=T0,
    )
    workshop.app.ports.register.start_run(failed)
    workshop.app.ports.register.finish_run(replace(failed, finished_at=T0, outcome=Outcome.FAILED, code="source"))
    assert wake(workshop, T0 + timedelta(minutes=5)).proven
    assert outcomes(workshop) == [(Outcome.FAILED, 1, "source"), (Outcome.SUCCEEDED, 2, "")]


def test_a_slot_that_was_served_before_a_crash_is_only_accounted_for(workshop):
    wake(workshop, T0)
    with sqlite3.connect(workshop.store.parent / "state" / "register.sqlite") as connection:
        connection.execute("DELETE FROM slots")
    connection.close()
    assert wake(workshop, T0 + timedelta(minutes=1)) is None
    assert outcomes(workshop) == [(Outcome.SUCCEEDED, 1, "")]
    assert state(workshop) == (T0, 0)
