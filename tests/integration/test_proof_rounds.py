"""What the daemon proves anew by itself: drills and re-reading, on schedules of their own."""

from dataclasses import replace
from datetime import timedelta

import pytest

from amanat.domain.errors import IntegrityError
from amanat.domain.model import Outcome, ProofLevel, SnapshotState, Stage
from amanat.domain.policy import Drills, KeepRules, Rereading, Schedule
from amanat.services import due
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]

SUNDAYS = Schedule(cron="0 4 * * sun", timezone="UTC", catch_up=timedelta(days=2))
SUNDAY = T0.replace(day=4, hour=4, minute=0)
assert SUNDAY.weekday() == 6


def with_rounds(workshop, **values):
    policy = replace(workshop.policy, keep=KeepRules(last=99), **values)
    workshop.configure(policy)
    jobs = {job.stage: job for job in policy.jobs(workshop.database)}
    return policy, jobs


def nights(workshop, policy, count):
    taken = []
    for night in range(count):
        workshop.now = T0 + timedelta(hours=night)
        taken.append(workshop.take(policy=policy))
    return taken


def wake(workshop, job, at=SUNDAY):
    workshop.now = at
    workshop.app.run_due(job)


def runs(workshop, stage):
    found = workshop.app.ports.register.recent_runs(99)
    return [run for run in reversed(found) if run.stage is stage]


def test_the_newest_and_a_sample_are_drilled_once_a_slot(workshop):
    policy, jobs = with_rounds(workshop, drills=Drills(schedule=SUNDAYS, newest=1, sample=2))
    taken = nights(workshop, policy, 5)
    wake(workshop, jobs[Stage.DRILL])
    drilled = [run.snapshot for run in runs(workshop, Stage.DRILL)]
    assert drilled[0] == taken[-1].id
    assert len(set(drilled)) == 3
    assert all(workshop.app.ports.register.snapshots_like(one)[0].proof is ProofLevel.RESTORED for one in drilled)
    wake(workshop, jobs[Stage.DRILL], SUNDAY + timedelta(days=1))
    assert len(runs(workshop, Stage.DRILL)) == 3
    wake(workshop, jobs[Stage.DRILL], SUNDAY + timedelta(days=7))
    assert len(runs(workshop, Stage.DRILL)) == 6


def test_the_rows_of_sqlite_are_hashed_for_the_drills_to_come(workshop):
    policy, _ = with_rounds(workshop, drills=Drills(schedule=SUNDAYS))
    (taken,) = nights(workshop, policy, 1)
    assert workshop.app.ports.store.read_manifest(taken.path).facts.rows


def test_without_a_snapshot_there_is_a_row_that_says_so_and_the_slot_stays_open(workshop):
    policy, jobs = with_rounds(workshop, drills=Drills(schedule=SUNDAYS))
    wake(workshop, jobs[Stage.DRILL])
    (run,) = runs(workshop, Stage.DRILL)
    assert (run.outcome, run.code) == (Outcome.SKIPPED, "no-snapshot")
    workshop.take(policy=policy)
    assert due.waiting_for(workshop.app.ports, jobs[Stage.SNAPSHOT]) == [jobs[Stage.DRILL]]
    wake(workshop, jobs[Stage.DRILL], SUNDAY + timedelta(hours=1))
    assert runs(workshop, Stage.DRILL)[-1].outcome is Outcome.SUCCEEDED
    assert due.waiting_for(workshop.app.ports, jobs[Stage.SNAPSHOT]) == []


def test_what_the_policy_forbids_is_skipped_with_its_reason(workshop):
    policy, jobs = with_rounds(workshop, drills=Drills(schedule=SUNDAYS, max_bytes=1))
    nights(workshop, policy, 2)
    wake(workshop, jobs[Stage.DRILL])
    assert [(run.outcome, run.code) for run in runs(workshop, Stage.DRILL)] == [(Outcome.SKIPPED, "too-large")] * 2


def test_a_damaged_one_is_told_of_and_the_others_are_proven_all_the_same(workshop):
    policy, jobs = with_rounds(workshop, rereading=Rereading(schedule=SUNDAYS, percent=100))
    taken = nights(workshop, policy, 3)
    file = workshop.app.ports.store.path(taken[0].path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError):
        wake(workshop, jobs[Stage.VERIFY])
    assert [run.outcome for run in runs(workshop, Stage.VERIFY)] == [Outcome.FAILED] + [Outcome.SUCCEEDED] * 2
    assert workshop.app.ports.register.snapshots_like(taken[0].id)[0].state is SnapshotState.DAMAGED
    slot = workshop.app.ports.register.last_slot(Stage.VERIFY, policy.name, "app")
    assert slot == SUNDAY


def test_a_share_is_read_each_time_until_all_had_their_turn(workshop):
    policy, jobs = with_rounds(workshop, rereading=Rereading(schedule=SUNDAYS, percent=30))
    taken = nights(workshop, policy, 4)
    for week in range(2):
        wake(workshop, jobs[Stage.VERIFY], SUNDAY + week * timedelta(days=7))
    read = [run.snapshot for run in runs(workshop, Stage.VERIFY)]
    assert read == [each.id for each in taken]
