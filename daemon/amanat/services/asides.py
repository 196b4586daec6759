"""What stands beside live databases: dropped when accepted, when its time is over, when space runs short."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from amanat.domain.aside import Aside, AsideKind, expired
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, BusyError, ConfigurationError, NotFoundError, RefusedError
from amanat.domain.events import Event
from amanat.domain.model import Outcome
from amanat.domain.policy import Database
from amanat.domain.units import format_size
from amanat.ports import Ports
from amanat.services import site as sites
from amanat.services import swaps
from amanat.services.runs import new_id
from amanat.services.site import Site

_LOOKING = timedelta(minutes=2)


def accept(ports: Ports, database: Database, *, by: str, reason: str, wait: float) -> list[Aside]:
    """Drop all that is kept of it; RefusedError if some of that is held. What was dropped.

    The error of one that cannot be dropped comes when the others are.
    """
    with _locked(ports, database.name, wait=wait):
        swaps.settle(ports, database.name)
        kept = ports.register.asides.all(database.name)
        if held := [aside for aside in kept if aside.held]:
            raise RefusedError(
                f"{held[0].name} is held: {held[0].held}", hint=f"amanat release kept:{database.name} --reason …"
            )
        if ports.locks.is_migrating(database.name):
            raise BusyError(
                f"a migration of {database.name} is under way, which may have to go back",
                hint="accept when it is over",
            )
        if not kept:
            raise NotFoundError(f"nothing of {database.name} is kept", hint="`amanat status` shows what is")
        with _site(ports, database) as site:
            failures = [_failure(ports, site, aside, by=by, reason=reason or "accepted") for aside in kept]
    for failure in filter(None, failures):
        raise failure
    return kept


def hold(ports: Ports, database: str, *, reason: str, by: str) -> Aside:
    """The newest state before a swap is not dropped until it is released."""
    aside = before(ports, database)
    if not reason.strip():
        raise ConfigurationError("the reason is empty", hint='say why: --reason "until the release is checked"')
    ports.register.asides.hold(aside, reason.strip(), _entry(ports, aside, EntryKind.HOLD, by=by, reason=reason))
    return replace(aside, held=reason.strip())


def release(ports: Ports, database: str, *, reason: str, by: str) -> Aside:
    aside = before(ports, database)
    if not aside.held:
        raise NotFoundError(f"{aside.name} is not held", hint="`amanat status` shows what is")
    ports.register.asides.hold(aside, "", _entry(ports, aside, EntryKind.RELEASE, by=by, reason=reason))
    return replace(aside, held="")


def expire(ports: Ports, *, by: str) -> list[Aside]:
    """Of every database; one that cannot be reached is told of, and looked at the next time. What was dropped."""
    dropped: list[Aside] = []
    for name in sorted({aside.database for aside in ports.register.asides.all()}):
        if database := ports.database_now(name):
            try:
                dropped += _expired(ports, database, by)
            except BusyError:
                continue
            except AmanatError as exc:
                warning = f"what stands beside {name} cannot be looked at: {exc}"
                ports.emit(Event.RUN_WARNING, database=name, warning=warning)
    return dropped


def _expired(ports: Ports, database: Database, by: str) -> list[Aside]:
    with _locked(ports, database.name, wait=0), _site(ports, database) as site:
        due = [(aside, reason) for aside, reason in _reasons(ports, site) if reason]
        failures = [_failure(ports, site, aside, by=by, reason=reason) for aside, reason in due]
    for failure in filter(None, failures):
        warning = f"{failure.message} ({failure.hint})"
        ports.emit(Event.RUN_WARNING, database=database.name, warning=warning)
    return [aside for (aside, _), failure in zip(due, failures, strict=True) if not failure]


def _reasons(ports: Ports, site: Site) -> Iterator[tuple[Aside, str]]:
    """Why each is to go; empty: it stays."""
    known = ports.register.asides.all(site.database.name)
    over = {aside.name for aside in expired(known, ports.now())}
    for aside in known:
        if site.size(aside.name) is None:
            yield aside, "it is not there any more: somebody else dropped it"
        elif aside.name in over:
            yield aside, "its time is over"
        else:
            yield aside, _short_of_space(ports, site, aside)


def _short_of_space(ports: Ports, site: Site, aside: Aside) -> str:
    if aside.kind is not AsideKind.WARM or aside.held:
        return ""
    found = ports.register.snapshots_like(aside.snapshot or "")
    policy = ports.policy_now(found[0].policy) if found else None
    warm = policy.warm if policy else None
    wanted = warm.min_free if warm and warm.min_free is not None else aside.size_bytes
    free = site.restorer.free_bytes(site.place, site.control)
    if free is None or free >= wanted:
        return ""
    return f"space runs short: {format_size(free)} are free, and {format_size(wanted)} should be"


def _failure(ports: Ports, site: Site, aside: Aside, *, by: str, reason: str) -> AmanatError | None:
    try:
        drop(ports, site, aside, by=by, reason=reason)
    except AmanatError as exc:
        return exc
    return None


def drop(ports: Ports, site: Site, aside: Aside, *, by: str, reason: str) -> None:
    """The database first: a row without one is found, one without a row is not."""
    if aside.name in {swap.incoming for swap in ports.register.asides.open_swaps()}:
        return  # somebody is about to swap it in
    site.drop(aside.name)
    ports.register.asides.remove(aside, _entry(ports, aside, EntryKind.DROP, by=by, reason=reason))


def before(ports: Ports, database: str) -> Aside:
    """What was live before the newest swap; NotFoundError when nothing is kept, BusyError while one is open."""
    for swap in ports.register.asides.open_swaps():
        if swap.database == database:
            raise BusyError(
                f"the {swap.stage} of {database} by {swap.by}, run {swap.run}, is not over",
                hint="wait for it; if its process is gone, `amanat reconcile` finishes it or takes it back",
            )
    for aside in ports.register.asides.all(database):
        if aside.kind is AsideKind.BEFORE:
            return aside
    raise NotFoundError(
        f"nothing of {database} is kept that could be swapped back",
        hint="it goes by `amanat accept`, or when the policy's undo_window is over: see the rollback log",
    )


def _entry(ports: Ports, aside: Aside, kind: EntryKind, *, by: str, reason: str) -> Entry:
    database = ports.database_now(aside.database)
    return Entry(
        at=ports.now(),
        by=by,
        kind=kind,
        database=aside.database,
        environment=database.environment if database else "",
        purpose=reason.strip(),
        outcome=Outcome.SUCCEEDED,
        detail=f"{aside.name} ({aside.kind}, {format_size(aside.size_bytes)})",
    )


@contextlib.contextmanager
def _locked(ports: Ports, database: str, *, wait: float) -> Iterator[None]:
    control = ports.controls(timeout=None, label={})
    with ports.locks.database(database, control, wait=wait, holder="who drops what stands beside it"):
        yield


@contextlib.contextmanager
def _site(ports: Ports, database: Database) -> Iterator[Site]:
    control = ports.controls(timeout=_LOOKING, label={"database": database.name})
    with sites.opened(ports, database, new_id(), control) as site:
        yield site
