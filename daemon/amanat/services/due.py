"""What a wake-up of the scheduler has to do for one job."""

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from amanat.domain.errors import BusyError, InterruptedRunError, YieldedError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, Run, Snapshot, Stage
from amanat.domain.policy import Job, Schedule
from amanat.domain.schedule import Due, due, previous_instant
from amanat.ports import Ports
from amanat.services import rounds, snapshot
from amanat.services.request import Request
from amanat.services.runs import new_id, record_skip

BY_SCHEDULER = "scheduler"


def run_due(ports: Ports, job: Job) -> Snapshot | None:
    """Run the slot that is due now, if any, and count the ones that are too late.

    The slot is accounted for once its run has ended in any way but an interruption, or by standing back: then
    it is due again at the next wake-up, within ``catch_up``; so it is where there is no snapshot yet to prove.
    Errors of the run are raised after that.
    """
    last = _last_slot(ports, job)
    now = due(job.schedule, ports.now(), last)
    if now.run is not None:
        return _run_slot(ports, job, now, now.run)
    if now.until and now.until != last:
        _account(ports, job, now)
    return None


def _key(job: Job) -> tuple[Stage, str, str]:
    return job.stage, job.policy.name, job.database.name


def _last_slot(ports: Ports, job: Job) -> datetime | None:
    """A clock that was ahead and is right again must not stop the schedule until time has caught up."""
    last, now = ports.register.last_slot(*_key(job)), ports.now()
    if last and last > now:
        last = previous_instant(job.schedule, now)
        ports.register.record_slot(*_key(job), last, missed=0)
    return last


def waiting_for(ports: Ports, job: Job) -> list[Job]:
    """The jobs that found nothing to prove, before ``job`` took a snapshot."""
    others = (other for other in job.policy.jobs(job.database) if other.stage is not job.stage)
    return [other for other in others if _newest_code(ports, other) == rounds.NO_SNAPSHOT]


def _newest_code(ports: Ports, job: Job) -> str:
    run = ports.register.newest_run(*_key(job), outcomes=tuple(Outcome))
    return run.code if run else ""


def _run_slot(ports: Ports, job: Job, now: Due, slot: datetime) -> Snapshot | None:
    if job.stage is not Stage.SNAPSHOT and rounds.has_nothing(ports, job, by=BY_SCHEDULER):
        return None
    try:
        taken = _ACTIONS[job.stage](ports, job, slot)
    except (InterruptedRunError, YieldedError):
        raise
    except Exception:
        _account(ports, job, now)
        raise
    _account(ports, job, now)
    return taken


def _snapshot(ports: Ports, job: Job, slot: datetime) -> Snapshot | None:
    if snapshot.is_served(ports.register.runs_of_slot(*_key(job), slot), job.policy):
        return None
    request = Request(
        database=job.database,
        policy=job.policy,
        by=BY_SCHEDULER,
        name=job.policy.name,
        purpose=f"scheduled {job.policy.name}",
        scheduled_at=slot,
        wait=job.policy.timeout.total_seconds(),
    )
    return snapshot.take(ports, request)


def _drill(ports: Ports, job: Job, _slot: datetime) -> None:
    rounds.drill(ports, job, by=BY_SCHEDULER)


def _reread(ports: Ports, job: Job, _slot: datetime) -> None:
    rounds.reread(ports, job, by=BY_SCHEDULER)


_ACTIONS: Mapping[Stage, Callable[[Ports, Job, datetime], Snapshot | None]] = MappingProxyType(
    {Stage.SNAPSHOT: _snapshot, Stage.DRILL: _drill, Stage.VERIFY: _reread}
)


def _account(ports: Ports, job: Job, now: Due) -> None:
    """Every slot up to ``until`` is dealt with: run, made good by the run, or missed for good.

    So are those that were skipped since the run was still going.
    """
    assert now.until  # noqa: S101 - there was at least one slot
    skip = ports.register.newest_run(*_key(job), outcomes=(Outcome.SKIPPED,))
    until = max(now.until, skip.scheduled_at) if skip and skip.scheduled_at else now.until
    ports.register.record_slot(*_key(job), until, missed=now.missed)
    if now.missed:
        ports.emit(
            Event.SLOT_MISSED,
            stage=job.stage,
            policy=job.policy.name,
            database=job.database.name,
            missed=now.missed,
            capped=now.capped,
        )


def begin_anew(ports: Ports, job: Job, *, before: Schedule) -> None:
    """Other instants hold from now on, and those that only the new schedule had are not made good."""
    if (before.cron, before.timezone) == (job.schedule.cron, job.schedule.timezone):
        return
    if ports.register.last_slot(*_key(job)) is not None:
        slot = previous_instant(job.schedule, ports.now())
        ports.register.record_slot(*_key(job), slot, missed=0)


def skip_overlap(ports: Ports, job: Job, slot: datetime) -> None:
    """The run before is still going: record that this slot was skipped, so that it is counted and shown.

    It is accounted for with that run: if that is interrupted, neither of the two has been served.
    """
    run = Run(
        id=new_id(),
        stage=job.stage,
        database=job.database.name,
        policy=job.policy.name,
        by=BY_SCHEDULER,
        scheduled_at=slot,
        started_at=ports.now(),
    )
    with contextlib.suppress(BusyError):  # that slot has its row already
        record_skip(ports, run, code="overlap", reason="the run before is still going")
