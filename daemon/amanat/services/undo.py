"""Swap back what a rollback swapped out; what is undone is kept the same way, so that undo can be undone."""

from dataclasses import dataclass, replace
from functools import partial

from amanat.domain.account import Account
from amanat.domain.aside import Aside, Swap
from amanat.domain.hooks import Moment
from amanat.domain.model import MANUAL_POLICY, Run, Stage
from amanat.domain.policy import MANUAL, Database
from amanat.ports import Ports
from amanat.services import asides, reconcile, site
from amanat.services.exchange import Course, Done, failing, perform
from amanat.services.runs import ActiveRun, admitted, new_id, recorded, warn


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """``wait``: seconds, as in ``Request``."""

    database: Database
    by: str
    purpose: str = ""
    wait: float = 0.0


def undo(ports: Ports, wanted: Wanted) -> Done:
    run = Run(
        id=new_id(),
        stage=Stage.UNDO,
        database=wanted.database.name,
        policy=MANUAL_POLICY,
        by=wanted.by,
        purpose=wanted.purpose,
        started_at=ports.now(),
    )
    with admitted(ports, run, wait=wanted.wait):
        reconcile.settle(ports, run.database)
        kept = asides.before(ports, run.database)
        with recorded(ports, replace(run, started_at=ports.now())) as active:
            return _undone(ports, wanted, kept, active)


def _undone(ports: Ports, wanted: Wanted, kept: Aside, active: ActiveRun) -> Done:
    database, run = wanted.database, active.run
    control = ports.controls(timeout=MANUAL.timeout, label={"database": database.name, "policy": run.policy})
    with site.opened(ports, database, run.id, control, warn=partial(warn, ports, active)) as place:
        names, now = place.names, ports.now()
        swap = Swap(
            run=run.id,
            stage=run.stage,
            database=database.name,
            environment=database.environment,
            policy=run.policy,
            incoming=kept.name,
            outgoing=names.before,
            snapshot=None,
            by=wanted.by,
            purpose=wanted.purpose,
            at=now,
            until=now + (kept.until - kept.since),
        )
        account = Account(
            origin=f"{names.live} as it was at {now:%Y-%m-%d %H:%M:%S} UTC",
            result=f"{kept.name}, live until {kept.since:%Y-%m-%d %H:%M:%S} UTC, is so again as {names.live}",
            undo=f"amanat undo {database.name}",
        )
        course = Course(ports=ports, site=place, swap=swap, active=active)
        with failing(course, account):
            place.restorer.require_swap(None, place.place, control)
            account = account.with_steps(*course.run_hooks(Moment.BEFORE_RESTORE))
        return perform(course, account)
