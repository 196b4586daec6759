"""The scheduler's real loop under a clock that is set: it beats on, fires once, and starts no hour late."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import apscheduler.schedulers.base as apscheduler_base
import pytest
from apscheduler.job import Job
from apscheduler.triggers.base import BaseTrigger

from amanat.domain.aside import Aside, AsideKind
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.events import Event
from amanat.domain.model import Outcome
from amanat.domain.policy import Schedule
from amanat.faces.scheduler.chain_watch import ChainWatch
from amanat.faces.scheduler.scheduler import Scheduler
from amanat.faces.scheduler.trigger import PauseTrigger, ScheduleTrigger
from amanat.faces.service import Daemon
from amanat.host import clock
from amanat.observability.metrics import DaemonState
from tests.support.cli import wait_for
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]

BEAT = 0.05
EVERY_MINUTE = Schedule(cron="* * * * *", timezone="UTC")


class Wall:
    """The host's clock, which somebody sets; ``time.monotonic`` goes on."""

    def __init__(self):
        self.offset = timedelta(0)

    def now(self, zone=UTC):
        return datetime.now(UTC).astimezone(zone) + self.offset


@pytest.fixture
def wall(monkeypatch):
    made = Wall()
    shifted = type("datetime", (datetime,), {"now": staticmethod(made.now)})
    monkeypatch.setattr(apscheduler_base, "datetime", shifted)
    monkeypatch.setattr(clock, "now", made.now)
    return made


class Beats:
    """``beat`` is called in the loop; ``more`` waits for so many further calls."""

    def __init__(self):
        self.count = 0
        self.thread = ""

    def beat(self):
        self.count += 1
        self.thread = threading.current_thread().name

    def more(self, number):
        wanted = self.count + number
        wait_for(f"{number} more beats", lambda: self.count >= wanted, timeout=5)


@pytest.fixture
def beats():
    return Beats()


@pytest.fixture
def scheduler(workshop, wall, beats):
    watch = ChainWatch(workshop.app.ports, DaemonState())
    made = Scheduler(workshop.app, watch, beat=beats.beat, every_seconds=BEAT)
    made.apply(workshop.app.configuration)
    made.start()
    wait_for("the first run", lambda: workshop.told(Event.RUN_FINISHED))
    yield made
    made.drain()


def next_runs(scheduler):
    return {job.id: job.next_run_time for job in scheduler._scheduler.get_jobs()}


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=4000), timedelta(days=-4000)])
def test_the_loop_beats_on_whatever_the_clock_says(scheduler, wall, beats, jump):
    wall.offset = jump
    beats.more(5)
    assert beats.thread == "APScheduler"


def test_a_loop_that_hangs_does_not_beat(scheduler, beats):
    beats.more(1)
    with scheduler._scheduler._jobstores_lock:
        beats.more(1)
        before = beats.count
        threading.Event().wait(BEAT * 6)
        assert beats.count <= before + 1
    beats.more(2)


@pytest.mark.parametrize("jump", [timedelta(days=-4000), timedelta(days=4000)])
def test_after_a_jump_every_job_is_near_again_and_it_is_told(workshop, scheduler, wall, beats, jump):
    wall.offset = jump
    (told,) = wait_for("the word of it", lambda: workshop.told(Event.CLOCK_JUMPED))
    assert told["seconds"] == pytest.approx(jump.total_seconds(), abs=5)
    soon = wall.now() + timedelta(days=1, minutes=1)
    wait_for("near times", lambda: all(wall.now() < at < soon for at in next_runs(scheduler).values()))
    beats.more(3)
    assert len(workshop.told(Event.CLOCK_JUMPED)) == 1


def test_a_clock_that_is_set_right_by_seconds_disturbs_nobody(workshop, scheduler, wall, beats):
    before = next_runs(scheduler)
    wall.offset = timedelta(seconds=-20)
    beats.more(3)
    assert next_runs(scheduler) == before
    assert workshop.told(Event.CLOCK_JUMPED) == []


def stands_aside(workshop):
    """From now on for a day."""
    path = workshop.source.with_name("app.sqlite.before-x")
    workshop.fill(path)
    kept = Aside(
        run="x",
        database="app",
        environment="local",
        place=f"path {workshop.source}",
        kind=AsideKind.BEFORE,
        name=str(path),
        snapshot=None,
        size_bytes=1,
        since=workshop.now,
        until=workshop.now + timedelta(days=1),
    )
    told = Entry(
        at=workshop.now, by="x", kind=EntryKind.WARM, database="app", outcome=Outcome.SUCCEEDED, detail="told"
    )
    workshop.app.ports.register.asides.add(kept, told)
    return path


def test_what_stands_aside_does_not_go_for_time_that_nobody_lived_through(workshop, scheduler, wall, beats):
    path = stands_aside(workshop)
    wall.offset = timedelta(days=2)
    workshop.now += timedelta(days=2)
    wait_for("the word of it", lambda: workshop.told(Event.CLOCK_JUMPED))
    beats.more(1)
    scheduler._look()
    assert path.exists()
    workshop.now += timedelta(days=1)
    wait_for("its end", lambda: scheduler._look() or not path.exists())


class Counted(BaseTrigger):
    def __init__(self, trigger):
        self.trigger = trigger
        self.asked = Counter()

    def get_next_fire_time(self, previous_fire_time, now):
        self.asked["times"] += 1
        return self.trigger.get_next_fire_time(previous_fire_time, now)


@pytest.mark.parametrize(
    "trigger", [ScheduleTrigger(EVERY_MINUTE, "x"), PauseTrigger(timedelta(minutes=10))], ids=["cron", "pause"]
)
def test_years_of_firings_are_not_listed_one_by_one(trigger, scheduler):
    counted = Counted(trigger)
    job = Job(scheduler._scheduler, id="x", func=print, args=(), kwargs={}, trigger=counted, executor="default",
              misfire_grace_time=None, coalesce=True, name="x", max_instances=1, next_run_time=T0)  # fmt: skip
    now = T0 + timedelta(days=4000)
    assert job._get_run_times(now) == [T0]
    assert counted.asked["times"] == 1
    assert now < trigger.get_next_fire_time(T0, now) <= now + timedelta(minutes=10)


def scheduler_check(daemon):
    (found,) = [check for check in daemon.checks() if check.name == "scheduler"]
    return found


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(days=4000)])
def test_readiness_goes_by_elapsed_time(workshop, wall, monkeypatch, jump):
    daemon = Daemon(workshop.app)
    assert scheduler_check(daemon).found == "has not started"
    daemon._beat()
    wall.offset = jump
    assert scheduler_check(daemon).ok
    later = clock.monotonic() + 61
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    assert not scheduler_check(daemon).ok
    assert scheduler_check(daemon).found == "came round 61 s ago"


def test_a_watchdog_that_cannot_be_reached_does_not_end_the_loop(workshop, monkeypatch, tmp_path):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    Daemon(workshop.app)._beat()
    (told,) = workshop.told(Event.RUN_WARNING)
    assert "gone cannot be reached" in told["warning"]
