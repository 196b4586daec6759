"""What stands beside live databases: dropped when accepted, when its time is over, when space runs short."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from amanat.domain.aside import Aside, AsideKind, Jump, expired
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, BusyError, ConfigurationError, NotFoundError, RefusedError
from amanat.domain.events import Event
from amanat.domain.model import Outcome
from amanat.domain.policy import Database
from amanat.domain.units import format_size
from amanat.ports import Ports
from amanat.services.beside import site as sites
from amanat.services.beside import swaps
from amanat.services.beside.site import Site
from amanat.services.runs import new_id

_LOOKING = timedelta(minutes=2)
_HOLDING_SECONDS = 5.0
_UNSEEN = timedelta(hours=36)


@dataclass(frozen=True, kw_only=True)
class Dropping:
    """``from_elsewhere``: whatever has its name here, though it was noted of another place."""

    by: str
    reason: str
    from_elsewhere: bool = False


@dataclass(frozen=True, kw_only=True)
class Accepting:
    """``wait``: seconds. ``from_elsewhere``: as in ``Dropping``."""

    database: Database
    by: str
    reason: str = ""
    wait: float = 0.0
    from_elsewhere: bool = False


def accept(ports: Ports, wanted: Accepting) -> list[Aside]:
    """Drop all that is kept of it; RefusedError if some of that is held. What was dropped.

    The error of one that cannot be dropped comes when the others are. A swap of a dead run of which nothing can be
    seen is given up, with a warning.
    """
    database = wanted.database
    with _locked(ports, database.name, wait=wanted.wait):
        swaps.settle(ports, database.name)
        kept = ports.register.asides.all(database.name)
        if held := [aside for aside in kept if aside.held]:
            raise RefusedError(
                f"{held[0].name} is held: {held[0].held}",
                hint=f"amanat release kept:{database.reference} --reason …",
            )
        if ports.locks.is_migrating(database.name):
            raise BusyError(
                f"a migration of {database.name} is under way, which may have to go back",
                hint="accept when it is over",
            )
        if not kept and database.name not in swaps.pending(ports):
            raise NotFoundError(f"nothing of {database.name} is kept", hint="`amanat status` shows what is")
        with _site(ports, database) as site:
            for warning in swaps.given_up(ports, site, from_elsewhere=wanted.from_elsewhere):
                _warn(ports, database.name, warning)
            failures = [_failure(ports, site, aside, _accepted(wanted)) for aside in kept]
    for failure in filter(None, failures):
        raise failure
    return kept


def _accepted(wanted: Accepting) -> Dropping:
    return Dropping(by=wanted.by, reason=wanted.reason or "accepted", from_elsewhere=wanted.from_elsewhere)


def hold(ports: Ports, database: str, *, reason: str, by: str) -> Aside:
    """The newest state before a swap is not dropped until it is released."""
    if not reason.strip():
        raise ConfigurationError("the reason is empty", hint='say why: --reason "until the release is checked"')
    with _locked(ports, database, wait=_HOLDING_SECONDS):
        aside = before(ports, database)
        entry = _entry(ports, aside, EntryKind.HOLD, by=by, reason=reason)
        ports.register.asides.hold(aside, reason.strip(), entry)
    return replace(aside, held=reason.strip())


def release(ports: Ports, database: str, *, reason: str, by: str) -> Aside:
    with _locked(ports, database, wait=_HOLDING_SECONDS):
        aside = before(ports, database)
        if not aside.held:
            raise NotFoundError(f"{aside.name} is not held", hint="`amanat status` shows what is")
        ports.register.asides.hold(aside, "", _entry(ports, aside, EntryKind.RELEASE, by=by, reason=reason))
    return replace(aside, held="")


def unwitnessed(ports: Ports) -> list[Jump]:
    """What the clock is ahead of every run that the register knows, where that is more than nights are apart: who
    looks now cannot tell that this time has passed.
    """
    seen, now = ports.register.last_seen(), ports.now()
    return [Jump(at=seen, by=now - seen)] if seen and now - seen > _UNSEEN else []


def expire(ports: Ports, *, by: str, jumps: Sequence[Jump]) -> list[Aside]:
    """Of every database; one that cannot be reached is told of, and looked at the next time. What was dropped."""
    names = sorted({aside.database for aside in ports.register.asides.all()})
    return [aside for name in names for aside in _looked_at(ports, name, by, jumps)]


@contextlib.contextmanager
def expiring(ports: Ports, database: str, *, by: str) -> Iterator[None]:
    """The same of one, when a run is over, which would itself bear witness to any clock; it costs nothing where no
    time is over.
    """
    jumps = unwitnessed(ports)
    yield
    if any(expired(ports.register.asides.all(database), ports.now(), jumps)):
        _looked_at(ports, database, by, jumps)


def _looked_at(ports: Ports, name: str, by: str, jumps: Sequence[Jump]) -> list[Aside]:
    database = ports.database_now(name)
    try:
        return _expired(ports, database, by, jumps) if database else []
    except BusyError:
        return []
    except AmanatError as exc:
        _warn(ports, name, f"what stands beside {name} cannot be looked at: {exc}")
        return []


def _expired(ports: Ports, database: Database, by: str, jumps: Sequence[Jump]) -> list[Aside]:
    with _locked(ports, database.name, wait=0), _site(ports, database) as site:
        due = [(aside, reason) for aside, reason in _reasons(ports, site, jumps) if reason]
        failures = [_failure(ports, site, aside, Dropping(by=by, reason=reason)) for aside, reason in due]
    for failure in filter(None, failures):
        _warn(ports, database.name, f"{failure.message} ({failure.hint})")
    return [aside for (aside, _), failure in zip(due, failures, strict=True) if not failure]


def _reasons(ports: Ports, site: Site, jumps: Sequence[Jump]) -> Iterator[tuple[Aside, str]]:
    """Why each is to go; empty: it stays."""
    known = ports.register.asides.all(site.database.name)
    over = {aside.name for aside in expired(known, ports.now(), jumps)}
    for aside in known:
        if site.size(aside.name) is None and aside.held:
            _warn(ports, aside.database, _missing(site, aside))
        elif site.size(aside.name) is None:
            yield aside, "it is not there any more: somebody else dropped it"
        elif aside.name in over:
            yield aside, "its time is over"
        else:
            yield aside, _short_of_space(ports, site, aside)


def _missing(site: Site, aside: Aside) -> str:
    why = site.foreign(aside) or "it is not there any more: somebody else dropped it"
    return f"{aside.name} is held ({aside.held}), and cannot be seen: {why}"


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


def _failure(ports: Ports, site: Site, aside: Aside, wanted: Dropping) -> AmanatError | None:
    try:
        drop(ports, site, aside, wanted)
    except AmanatError as exc:
        return exc
    return None


def drop(ports: Ports, site: Site, aside: Aside, wanted: Dropping) -> None:
    """The database first: a row without one is found, one without a row is not.

    RefusedError: what has its name here is not it. BusyError: a swap that is open will have it.
    """
    for swap in ports.register.asides.open_swaps():
        if swap.incoming == aside.name:
            raise BusyError(f"{aside.name} is about to be swapped in by run {swap.run}", hint="amanat reconcile")
    elsewhere = site.foreign(aside)
    if elsewhere and not wanted.from_elsewhere:
        raise RefusedError(f"{aside.name} is left alone: {elsewhere}", hint=swaps.ELSEWHERE)
    site.drop(aside.name)
    reason = "; ".join(filter(None, (wanted.reason, elsewhere)))
    ports.register.asides.remove(aside, _entry(ports, aside, EntryKind.DROP, by=wanted.by, reason=reason))


def of_kind(ports: Ports, database: str, kind: AsideKind) -> list[Aside]:
    """Newest first."""
    return [aside for aside in ports.register.asides.all(database) if aside.kind is kind]


def before(ports: Ports, database: str) -> Aside:
    """What was live before the newest swap; NotFoundError when nothing is kept, BusyError while one is open."""
    for swap in ports.register.asides.open_swaps():
        if swap.database == database:
            raise BusyError(
                f"the {swap.stage} of {database} by {swap.by}, run {swap.run}, is not over",
                hint="wait for it; if its process is gone, `amanat reconcile` finishes it or takes it back",
            )
    for aside in of_kind(ports, database, AsideKind.BEFORE):
        return aside
    raise NotFoundError(
        f"nothing of {database} is kept that could be swapped back",
        hint="it goes by `amanat accept`, or when the policy's undo_window is over: see the rollback log",
    )


def _entry(ports: Ports, aside: Aside, kind: EntryKind, *, by: str, reason: str) -> Entry:
    return Entry(
        at=ports.now(),
        by=by,
        kind=kind,
        database=aside.database,
        environment=aside.environment,
        purpose=reason.strip(),
        outcome=Outcome.SUCCEEDED,
        detail=f"{aside.name} ({aside.kind}, {format_size(aside.size_bytes)})",
    )


def _warn(ports: Ports, database: str, warning: str) -> None:
    ports.emit(Event.RUN_WARNING, database=database, warning=warning)


@contextlib.contextmanager
def _locked(ports: Ports, database: str, *, wait: float) -> Iterator[None]:
    control = ports.controls(timeout=None, label={})
    with ports.locks.database(database, control, wait=wait, holder="who holds or drops what stands beside it"):
        yield


@contextlib.contextmanager
def _site(ports: Ports, database: Database) -> Iterator[Site]:
    control = ports.controls(timeout=_LOOKING, label={"database": database.name})
    with sites.opened(ports, database, new_id(), control) as site:
        yield site
