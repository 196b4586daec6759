"""Swap back what a rollback swapped out; what is undone is kept the same way, so that undo can be undone."""

from dataclasses import dataclass, replace
from functools import partial

from amanat.domain.account import Account
from amanat.domain.aside import Aside, Swap
from amanat.domain.errors import RefusedError
from amanat.domain.hooks import Moment
from amanat.domain.model import MANUAL_POLICY, Run, Stage
from amanat.domain.policy import MANUAL, Database
from amanat.ports import Ports
from amanat.services import reconcile
from amanat.services.beside import asides, site, swaps
from amanat.services.beside.exchange import Course, Done, failing, perform
from amanat.services.beside.site import Site
from amanat.services.runs import ActiveRun, admitted, new_id, recorded, warn


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """``kept``: what was shown, by its name. ``wait``: seconds, as in ``Request``.

    ``from_elsewhere``: though it was noted of another place.
    """

    database: Database
    kept: str
    by: str
    purpose: str = ""
    wait: float = 0.0
    from_elsewhere: bool = False


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
        kept = _shown(ports, wanted)
        with recorded(ports, replace(run, started_at=ports.now())) as active:
            return _undone(ports, wanted, kept, active)


def _shown(ports: Ports, wanted: Wanted) -> Aside:
    kept = asides.before(ports, wanted.database.name)
    if kept.name != wanted.kept:
        raise RefusedError(
            f"{wanted.kept} was to be swapped back, and something was swapped since: now it would be {kept.name}",
            hint="see what was done: the rollback log, or `amanat status`; then say undo again",
        )
    return kept


def _require_here(site: Site, kept: Aside, *, from_elsewhere: bool) -> tuple[str, ...]:
    """What is to be warned of."""
    elsewhere = site.foreign(kept)
    if elsewhere and not from_elsewhere:
        raise RefusedError(f"{kept.name} is not swapped back: {elsewhere}", hint=swaps.ELSEWHERE)
    return (f"swapped back all the same: {elsewhere}",) if elsewhere else ()


def _undone(ports: Ports, wanted: Wanted, kept: Aside, active: ActiveRun) -> Done:
    database, run = wanted.database, active.run
    control = ports.controls(timeout=MANUAL.timeout, label={"database": database.name, "policy": run.policy})
    with site.opened(ports, database, run.id, control, warn=partial(warn, ports, active)) as place:
        warnings = _require_here(place, kept, from_elsewhere=wanted.from_elsewhere)
        names, now = place.names, ports.now()
        swap = Swap(
            run=run.id,
            stage=run.stage,
            database=database.name,
            environment=database.environment,
            place=place.whereabouts,
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
            undo=f"amanat undo {database.reference}",
            warnings=warnings,
        )
        course = Course(ports=ports, site=place, swap=swap, active=active)
        with failing(course, account):
            place.restorer.require_swap(None, place.place, control)
            account = account.with_steps(*course.run_hooks(Moment.BEFORE_RESTORE))
        return perform(course, account)
