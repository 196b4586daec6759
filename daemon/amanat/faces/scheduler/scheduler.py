"""The jobs of the daemon: what policies say is due, and the look for losses."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError

from amanat.app import App
from amanat.domain.aside import Jump
from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.domain.policy import Configuration, Job, Schedule
from amanat.domain.schedule import previous_instant
from amanat.faces.scheduler.chain_watch import ChainWatch
from amanat.faces.scheduler.loop import Loop
from amanat.faces.scheduler.trigger import PauseTrigger, ScheduleTrigger
from amanat.host import clock, memory
from amanat.services import due
from amanat.services.beside import asides

_LOOK = "look for losses"
_LOOK_PAUSE = timedelta(minutes=10)
_AUDIT = "look at the register"
_SWEEP = "look for what drills left"
_AUDIT_PAUSE = timedelta(days=1)
_JUMP_SECONDS = 60.0  # a clock that is set by less disturbs no schedule
_MOST_THREADS = 64  # waiting runs hold a thread each; how many work at once is decided by locks


class Scheduler:
    """``beat`` is called in the scheduler's own loop: when the loop hangs, it is not."""

    def __init__(self, app: App, watch: ChainWatch, *, beat: Callable[[], None], every_seconds: float) -> None:
        self._app = app
        self._watch = watch
        self._active = 0
        self._idle = threading.Condition()
        self._beat = beat
        self._clocks = _wall_minus_monotonic()
        self._jumps = asides.unwitnessed(app.ports)
        self._scheduler = Loop(
            on_round=self._come_round,
            every_seconds=every_seconds,
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(_MOST_THREADS)},
            # a late backup is better than none: how late is the policy's catch_up, decided in domain.schedule
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_job(self._look, PauseTrigger(_LOOK_PAUSE), id=_LOOK)
        self._scheduler.add_job(self._sweep, id=_SWEEP)  # once: servers may take long to answer
        pause = PauseTrigger(_AUDIT_PAUSE)
        self._scheduler.add_job(watch.look_at_all, pause, id=_AUDIT, next_run_time=clock.now())
        self._scheduler.add_listener(self._on_overlap, EVENT_JOB_MAX_INSTANCES)

    def start(self) -> None:
        self._scheduler.start()

    def drain(self) -> None:
        """Start no more runs, wait for those that go on, and end; the loop beats until they have ended."""
        for job_id in self._schedules():
            self._scheduler.remove_job(job_id)
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0)
        self._scheduler.shutdown(wait=True)

    def apply(self, configuration: Configuration) -> None:
        """Make the jobs those of ``configuration``; a job whose schedule is the same keeps its timing."""
        wanted = {job.id: job for job in configuration.jobs()}
        current = self._schedules()
        for job_id in current.keys() - wanted.keys():
            self._scheduler.remove_job(job_id)
            self._app.ports.emit(Event.SCHEDULE_CHANGED, job=job_id, change="removed")
        for job_id, job in wanted.items():
            before = current.get(job_id)
            if before != job.schedule:
                if before:
                    due.begin_anew(self._app.ports, job, before=before)
                self._add(job, change="changed" if before else "added")

    def _schedules(self) -> dict[str, Schedule]:
        """Of the jobs of policies."""
        return {
            job.id: job.trigger.schedule
            for job in self._scheduler.get_jobs()
            if isinstance(job.trigger, ScheduleTrigger)
        }

    def _add(self, job: Job, *, change: str) -> None:
        """Runs at once too: what is due then, if anything, the register knows."""
        self._scheduler.add_job(
            self._run,
            ScheduleTrigger(job.schedule, job.id),
            id=job.id,
            args=(job.id,),
            next_run_time=clock.now(),
            replace_existing=True,
        )
        self._app.ports.emit(Event.SCHEDULE_CHANGED, job=job.id, change=change)

    def _come_round(self) -> None:
        self._beat()
        jumped = _wall_minus_monotonic() - self._clocks
        if abs(jumped) > _JUMP_SECONDS:
            self._clocks += jumped
            self._app.ports.emit(Event.CLOCK_JUMPED, seconds=round(jumped))
            if jumped < 0:  # ahead, whatever is due by then fires at once
                self._plan_anew()
            else:
                ahead = timedelta(seconds=jumped)
                self._jumps.append(Jump(at=clock.now() - ahead, by=ahead))

    def _plan_anew(self) -> None:
        """The clock was set back: what was the next firing may now be years away."""
        for job in self._scheduler.get_jobs():
            with contextlib.suppress(JobLookupError):  # a reload has just removed it
                job.reschedule(job.trigger)

    def _run(self, job_id: str) -> None:
        """The configuration in force now decides; failures are recorded and logged at the run's edge."""
        job = self._app.configuration.job(job_id)
        if job is None:
            return
        label = {"policy": job.policy.name, "database": job.database.name}
        try:
            with self._counted():
                if self._app.run_due(job):
                    self._wake_what_waited(job)
                self._watch.look_at_the_tail()
        except AmanatError as exc:
            if exc.kind in {"register", "configuration"}:  # no row could tell of these
                self._app.ports.emit(Event.RUN_WARNING, **label, warning=str(exc))
        except Exception:  # noqa: BLE001 - the scheduler must go on; the trace is in the log
            self._app.ports.emit(Event.BUG, **label, exc_info=True)

    def _wake_what_waited(self, job: Job) -> None:
        """The first drill follows the first snapshot, and not a week later."""
        for other in due.waiting_for(self._app.ports, job):
            with contextlib.suppress(JobLookupError):  # a reload has just removed it
                self._scheduler.modify_job(other.id, next_run_time=clock.now())

    def _look(self) -> None:
        """Files that somebody removed must not be found out on the day they are needed."""
        try:
            self._app.record_losses(by=due.BY_SCHEDULER)
            self._app.expire(by=due.BY_SCHEDULER, jumps=tuple(self._jumps))
            self._watch.look_at_the_tail()
        except AmanatError as exc:
            self._app.ports.emit(Event.RUN_WARNING, warning=f"looking for losses: {exc}")

    def _sweep(self) -> None:
        try:
            self._app.sweep_servers()
        except AmanatError as exc:
            self._app.ports.emit(Event.RUN_WARNING, warning=f"looking for what drills left: {exc}")

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._active += 1
        try:
            yield
        finally:
            memory.give_back()
            with self._idle:
                self._active -= 1
                self._idle.notify_all()

    def _on_overlap(self, event: JobSubmissionEvent) -> None:
        """APScheduler skipped a firing since the run before still goes: count it and show it."""
        if job := self._app.configuration.job(event.job_id):
            slot = previous_instant(job.schedule, event.scheduled_run_times[-1])
            due.skip_overlap(self._app.ports, job, slot)


def _wall_minus_monotonic() -> float:
    """Stays the same to within drift, until the clock is set or the machine sleeps."""
    return clock.now().timestamp() - clock.monotonic()
