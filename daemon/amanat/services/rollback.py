"""Roll a database back to a snapshot: restored beside, compared, swapped in; what was live is kept."""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from amanat.domain.account import Account
from amanat.domain.aside import Aside, AsideKind, Swap
from amanat.domain.errors import AnswerError, ProofError, RefusedError
from amanat.domain.hooks import Moment
from amanat.domain.model import Run, Scope, Snapshot, Stage
from amanat.domain.policy import MANUAL, Database
from amanat.ports import Ports
from amanat.ports.engine import Rehearsal
from amanat.ports.restoring import RestoreOrder
from amanat.services import reconcile, restore
from amanat.services.beside import asides, site, target
from amanat.services.beside.exchange import Course, Done, failing, perform
from amanat.services.beside.site import Site
from amanat.services.rehearse import policy_of
from amanat.services.runs import ActiveRun, admitted, new_id, recorded, warn

_SHOWN = 5
_LOOKING = timedelta(minutes=1)
_COUNTING_SECONDS = 5.0
_COUNTING_WARM_SECONDS = 0.5  # of the three that all of it may take, whatever the size


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """What a rollback would do. ``lost``: what was written since, as lines. ``warm``: what would be swapped in.
    ``newer``: a proven one that was passed over. ``elsewhere``: how the snapshot is of another database, as lines.
    ``kept``: what the last swap left aside.
    """

    database: Database
    snapshot: Snapshot
    age: timedelta
    lost: tuple[str, ...]
    warm: Aside | None
    newer: Snapshot | None
    elsewhere: tuple[str, ...]
    kept: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """``wait``: seconds, as in ``Request``."""

    prospect: Prospect
    by: str
    purpose: str
    wait: float = 0.0


def look(ports: Ports, database: Database, to: str, *, from_elsewhere: bool = False) -> Prospect:
    """``to``: a snapshot, a policy whose newest one is meant, or empty. Changes nothing.

    RefusedError for a snapshot of another database, unless it may be ``from_elsewhere``.
    """
    kept = _kept(ports, database.name)
    snapshot = target.choose(ports, database, to)
    control = ports.controls(timeout=_LOOKING, label={"database": database.name})
    with site.opened(ports, database, new_id(), control) as place:
        warm = _warm(ports, snapshot, place)
        facts = ports.store.read_manifest(snapshot.path).facts
        elsewhere = target.elsewhere(facts, place)
        if not from_elsewhere:
            target.require_none(snapshot, elsewhere)
        seconds = _COUNTING_WARM_SECONDS if warm else _COUNTING_SECONDS
        lost = tuple(place.restorer.changes(facts, place.place, control, seconds=seconds).describe())
    age = ports.now() - snapshot.taken_at
    newest = ports.register.newest_snapshot(database=database.name, scope=Scope(), proven=True)
    newer = newest if newest and newest.taken_at > snapshot.taken_at else None
    return Prospect(
        database=database,
        snapshot=snapshot,
        age=age,
        lost=lost,
        warm=warm,
        newer=newer,
        elsewhere=elsewhere,
        kept=kept,
    )


def rollback(ports: Ports, wanted: Wanted) -> Done:
    """Errors before the swap leave the live database as it was. One of a hook after it comes after the fact."""
    prospect = wanted.prospect
    run = Run(
        id=new_id(),
        stage=Stage.ROLLBACK,
        database=prospect.database.name,
        policy=prospect.snapshot.policy,
        by=wanted.by,
        purpose=wanted.purpose,
        started_at=ports.now(),
        snapshot=prospect.snapshot.id,
    )
    reading = ports.locks.reading(prospect.snapshot.id, ports.controls(timeout=None, label={}))
    with admitted(ports, run, wait=wanted.wait), reading:
        reconcile.settle(ports, run.database)
        target.require_fit(ports, prospect.snapshot, prospect.database)
        _require_unswapped(ports, prospect)
        with recorded(ports, replace(run, started_at=ports.now())) as active:
            active.snapshot = prospect.snapshot.id
            return _rolled_back(ports, wanted, active)


def _kept(ports: Ports, database: str) -> str:
    return next((aside.name for aside in asides.of_kind(ports, database, AsideKind.BEFORE)), "")


def _require_unswapped(ports: Ports, prospect: Prospect) -> None:
    kept = _kept(ports, prospect.database.name)
    if kept not in {"", prospect.kept}:
        raise RefusedError(
            f"{prospect.database.name} was swapped since it was looked at: {kept} is kept now, and "
            f"{prospect.kept or 'nothing'} was then",
            hint="see what was done: the rollback log, or `amanat status`; then say rollback again",
        )


def _rolled_back(ports: Ports, wanted: Wanted, active: ActiveRun) -> Done:
    database, snapshot = wanted.prospect.database, wanted.prospect.snapshot
    control = ports.controls(timeout=MANUAL.timeout, label={"database": database.name, "policy": snapshot.policy})
    with site.opened(ports, database, active.run.id, control, warn=partial(warn, ports, active)) as place:
        facts = ports.store.read_manifest(snapshot.path).facts
        target.require_none(snapshot, set(target.elsewhere(facts, place)).difference(wanted.prospect.elsewhere))
        names, now, warm = place.names, ports.now(), _warm(ports, snapshot, place)
        swap = Swap(
            run=active.run.id,
            stage=active.run.stage,
            database=database.name,
            environment=database.environment,
            place=place.whereabouts,
            policy=snapshot.policy,
            incoming=warm.name if warm else names.beside,
            outgoing=names.before,
            snapshot=snapshot.id,
            by=wanted.by,
            purpose=wanted.purpose,
            at=now,
            until=now + policy_of(ports, snapshot.policy, database.name).undo_window,
        )
        account = Account(
            origin=f"{names.live} as it was at {now:%Y-%m-%d %H:%M:%S} UTC",
            result=f"{restore.describe(snapshot)}, live as {names.live}",
            lost=wanted.prospect.lost,
            undo=f"amanat undo {database.reference}",
            warnings=tuple(f"the snapshot is of another database: {each}" for each in wanted.prospect.elsewhere),
        )
        course = Course(ports=ports, site=place, swap=swap, active=active)
        with failing(course, account):
            account = _beside(course, snapshot, warm, account)
        return perform(course, account)


def _beside(course: Course, snapshot: Snapshot, warm: Aside | None, account: Account) -> Account:
    """With all that is to be swapped in standing beside the live one, and compared. Hooks that put an application
    down run when all is seen that can be seen without them.
    """
    place = course.site
    order = None if warm else _order(course, snapshot)
    place.restorer.require_swap(order, place.place, place.control)
    account = account.with_steps(*course.run_hooks(Moment.BEFORE_RESTORE))
    if order:
        return _restored(course, snapshot, order, account)
    assert warm  # noqa: S101 - else there is an order
    step = f"took {warm.name}, restored and compared at {warm.since:%Y-%m-%d %H:%M:%S} UTC"
    return replace(account.with_steps(step), checks=("it was compared when it was restored",))


def _order(course: Course, snapshot: Snapshot) -> RestoreOrder:
    """Of a snapshot whose bytes are what was written."""
    ports, swap = course.ports, course.swap
    policy = policy_of(ports, swap.policy, swap.database)
    return RestoreOrder(
        artefact=ports.store.path(snapshot.path),
        facts=restore.read(ports, snapshot, course.site),
        name=swap.incoming,
        checks=(*policy.checks, *policy.before_swap),
        stands_in=True,
    )


def _restored(course: Course, snapshot: Snapshot, order: RestoreOrder, account: Account) -> Account:
    place, swap = course.site, course.swap
    rehearsal = place.restorer.restore(order, place.place, place.control)
    course.active.restore_seconds = rehearsal.seconds
    _judge(snapshot, swap, rehearsal, place)
    asked = tuple(f"{check.sql}: as expected ({check.expect})" for check in order.checks)
    return replace(
        account.with_steps(f"restored {order.artefact} into {swap.incoming}"),
        checks=(*restore.checked(rehearsal, order), *asked),
        warnings=(*account.warnings, *course.active.warnings, *rehearsal.warnings),
    )


def _judge(snapshot: Snapshot, swap: Swap, rehearsal: Rehearsal, place: Site) -> None:
    """Only what is the snapshot's content goes live; a server that has changed since is no obstacle."""
    compared = rehearsal.comparison
    if not compared.differences or compared.is_drift:
        return
    place.drop(swap.incoming)
    told = "; ".join(each.describe() for each in compared.differences[:_SHOWN])
    error = AnswerError if compared.is_answer else ProofError
    raise error(
        f"{snapshot.id} was restored beside {swap.database}, and not swapped in: {told}",
        hint="the live database is as it was; choose another snapshot: --to, and `amanat list`",
    )


def _warm(ports: Ports, snapshot: Snapshot, place: Site) -> Aside | None:
    """That of this very snapshot, if it still stands there as it was proven."""
    for aside in asides.of_kind(ports, snapshot.database, AsideKind.WARM):
        is_wanted = aside.snapshot == snapshot.id and not place.foreign(aside)
        if is_wanted and place.size(aside.name) is not None:
            if aside.mark == place.restorer.mark(aside.name, place.place, place.control):
                return aside
            place.place.warn(f"{aside.name} was changed since it was proven, and is not used: {snapshot.id} is")
    return None
