"""What a wake-up of the scheduler has to do for one policy and database."""

import contextlib
from datetime import datetime

from amanat.domain.errors import BusyError, InterruptedRunError, YieldedError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, Run, Snapshot, Stage
from amanat.domain.policy import Database, Policy, Schedule
from amanat.domain.schedule import Due, due, previous_instant
from amanat.ports import Ports
from amanat.services import snapshot
from amanat.services.request import Request
from amanat.services.runs import new_id, record_skip

BY_SCHEDULER = "scheduler"


def run_due(ports: Ports, policy: Policy, database: Database) -> Snapshot | None:
    """Run the slot that is due now, if any, and count the ones that are too late.

    The slot is accounted for once its run has ended in any way but an interruption, or by standing back: then
    it is due again at the next wake-up, within ``catch_up``. Errors of the run are raised after that.
    """
    assert policy.schedule  # noqa: S101 - the scheduler only knows scheduled policies
    last = _last_slot(ports, policy, database)
    now = due(policy.schedule, ports.now(), last)
    if now.run is not None:
        return _run_slot(ports, policy, database, now)
    if now.until and now.until != last:
        _account(ports, policy, database, now)
    return None


def _last_slot(ports: Ports, policy: Policy, database: Database) -> datetime | None:
    """A clock that was ahead and is right again must not stop the schedule until time has caught up."""
    assert policy.schedule  # noqa: S101 - the scheduler only knows scheduled policies
    last, now = ports.register.last_slot(policy.name, database.name), ports.now()
    if last and last > now:
        last = previous_instant(policy.schedule, now)
        ports.register.record_slot(policy.name, database.name, last, missed=0)
    return last


def _run_slot(ports: Ports, policy: Policy, database: Database, now: Due) -> Snapshot | None:
    assert now.run  # noqa: S101 - the caller has looked
    earlier = ports.register.runs_of_slot(Stage.SNAPSHOT, policy.name, database.name, now.run)
    if snapshot.is_served(earlier, policy):
        _account(ports, policy, database, now)
        return None
    request = Request(
        database=database,
        policy=policy,
        by=BY_SCHEDULER,
        name=policy.name,
        purpose=f"scheduled {policy.name}",
        scheduled_at=now.run,
        wait=policy.timeout.total_seconds(),
    )
    try:
        taken = snapshot.take(ports, request)
    except (InterruptedRunError, YieldedError):
        raise
    except Exception:
        _account(ports, policy, database, now)
        raise
    _account(ports, policy, database, now)
    return taken


def _account(ports: Ports, policy: Policy, database: Database, now: Due) -> None:
    """Every slot up to ``until`` is dealt with: run, made good by the run, or missed for good.

    So are those that were skipped since the run was still going.
    """
    assert now.until  # noqa: S101 - there was at least one slot
    skip = ports.register.newest_run(Stage.SNAPSHOT, policy.name, database.name, outcomes=(Outcome.SKIPPED,))
    until = max(now.until, skip.scheduled_at) if skip and skip.scheduled_at else now.until
    ports.register.record_slot(policy.name, database.name, until, missed=now.missed)
    if now.missed:
        ports.emit(
            Event.SLOT_MISSED, policy=policy.name, database=database.name, missed=now.missed, capped=now.capped
        )


def begin_anew(ports: Ports, policy: Policy, database: Database, *, before: Schedule) -> None:
    """Other instants hold from now on, and those that only the new schedule had are not made good."""
    assert policy.schedule  # noqa: S101 - the scheduler only knows scheduled policies
    if (before.cron, before.timezone) == (policy.schedule.cron, policy.schedule.timezone):
        return
    if ports.register.last_slot(policy.name, database.name) is not None:
        slot = previous_instant(policy.schedule, ports.now())
        ports.register.record_slot(policy.name, database.name, slot, missed=0)


def skip_overlap(ports: Ports, policy: Policy, database: Database, slot: datetime) -> None:
    """The run before is still going: record that this slot was skipped, so that it is counted and shown.

    It is accounted for with that run: if that is interrupted, neither of the two has been served.
    """
    run = Run(
        id=new_id(),
        stage=Stage.SNAPSHOT,
        database=database.name,
        policy=policy.name,
        by=BY_SCHEDULER,
        scheduled_at=slot,
        started_at=ports.now(),
    )
    with contextlib.suppress(BusyError):  # that slot has its row already
        record_skip(ports, run, code="overlap", reason="the run before is still going")
