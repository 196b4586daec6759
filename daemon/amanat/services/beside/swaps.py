"""What the register is told of exchanges, and what a crash left of them is finished or taken back."""

from collections.abc import Iterator
from datetime import timedelta

from amanat.domain.account import Account
from amanat.domain.aside import Aside, AsideKind, Swap
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, RefusedError, SourceError
from amanat.domain.events import Event
from amanat.domain.model import Outcome
from amanat.domain.policy import Database
from amanat.ports import Ports
from amanat.services.beside import site as sites
from amanat.services.beside.site import Site

ELSEWHERE = "see what the policy file says; if it is the same one, moved or upgraded: --from-elsewhere"

_SETTLING = timedelta(minutes=1)


def finish(ports: Ports, site: Site, swap: Swap, account: Account, outcome: Outcome = Outcome.SUCCEEDED) -> Aside:
    """What was live stands aside from now on."""
    outgoing = Aside(
        run=swap.run,
        database=swap.database,
        environment=swap.environment,
        place=swap.place,
        kind=AsideKind.BEFORE,
        name=swap.outgoing,
        snapshot=None,
        size_bytes=site.size(swap.outgoing) or 0,
        since=swap.at,
        until=swap.until,
    )
    ports.register.asides.finish_swap(swap, outgoing, entry(ports, swap, account, outcome))
    return outgoing


def entry(ports: Ports, swap: Swap, account: Account, outcome: Outcome) -> Entry:
    return Entry(
        at=ports.now(),
        by=swap.by,
        kind=EntryKind(swap.stage.value),
        database=swap.database,
        environment=swap.environment,
        policy=swap.policy,
        purpose=swap.purpose,
        outcome=outcome,
        snapshot=swap.snapshot,
        run=swap.run,
        detail=account.as_text(),
    )


def pending(ports: Ports) -> list[str]:
    """Databases of which dead runs have swaps that are open."""
    swaps = ports.register.asides.open_swaps()
    return sorted({swap.database for swap in swaps if not ports.locks.is_alive(swap.run)})


def settle(ports: Ports, database: str) -> list[str]:
    """Finish or take back what dead runs began to swap; the caller holds the database's lock. What was done."""
    configured = ports.database_now(database)
    swaps = [swap for swap in ports.register.asides.open_swaps() if swap.database == database]
    done: list[str] = []
    for swap in swaps:
        if configured is None or ports.locks.is_alive(swap.run):
            continue
        try:
            done.append(_concluded(ports, configured, swap))
        except AmanatError as exc:
            warning = f"the {swap.stage} of run {swap.run}, which died, cannot be settled yet: {exc}"
            ports.emit(Event.RUN_WARNING, database=database, warning=warning)
    return done


def _concluded(ports: Ports, database: Database, swap: Swap) -> str:
    control = ports.controls(timeout=_SETTLING, label={"database": database.name})
    with sites.opened(ports, database, f"{swap.run}-settle", control) as site:
        _require_seen(site, swap)
        what = _conclude(ports, site, swap)
    ports.emit(Event.RECONCILE_ACTED, what="swap", thing=what)
    return what


def _require_seen(site: Site, swap: Swap) -> None:
    """Where the names stand says nothing, unless they can be seen: SourceError."""
    if reason := site.foreign(swap) or _unseen(site, swap):
        raise SourceError(reason, hint="see the policy file; `amanat accept` gives it up, and all that is kept")


def _unseen(site: Site, swap: Swap) -> str:
    if any(site.size(name) is not None for name in (swap.incoming, swap.outgoing)):
        return ""
    return f"neither {swap.incoming} nor {swap.outgoing} is there"


def given_up(ports: Ports, site: Site, *, from_elsewhere: bool) -> Iterator[str]:
    """End what dead runs began to swap, and nobody can see; the caller holds the lock. What is told of each.

    RefusedError for one of another place, unless it is wanted.
    """
    for swap in ports.register.asides.open_swaps():
        if swap.database != site.database.name or ports.locks.is_alive(swap.run):
            continue
        elsewhere = site.foreign(swap)
        if elsewhere and not from_elsewhere:
            raise RefusedError(f"the {swap.stage} of run {swap.run} is not given up: {elsewhere}", hint=ELSEWHERE)
        if reason := elsewhere or _unseen(site, swap):
            account = Account(failure=f"its process died; whether it was done is not known: {reason}")
            ports.register.asides.finish_swap(swap, None, entry(ports, swap, account, Outcome.INTERRUPTED))
            yield f"the {swap.stage} of run {swap.run} is given up: {account.failure}"


def is_done(site: Site, swap: Swap) -> bool:
    """By where the names stand now; else what was begun of it is taken back."""
    return site.restorer.is_swapped(swap.incoming, swap.outgoing, site.place, site.control)


def is_open(ports: Ports, run: str) -> bool:
    """Whether it has begun one, and what became of it is not entered."""
    return run in {swap.run for swap in ports.register.asides.open_swaps()}


def abandon(ports: Ports, site: Site, swap: Swap, told: Entry | None) -> None:
    """One that was not done: nothing of it is left. ``told`` None: its run tells of that by itself."""
    ports.register.asides.finish_swap(swap, None, told)
    if swap.incoming not in {aside.name for aside in ports.register.asides.all(swap.database)}:
        site.drop(swap.incoming)


def _conclude(ports: Ports, site: Site, swap: Swap) -> str:
    if is_done(site, swap):
        told = f"it was done, and its run did not come to tell of it: what was live is {swap.outgoing}"
        finish(ports, site, swap, _account(swap, told), Outcome.INTERRUPTED)
        return f"{swap.stage} of {swap.database} finished: {told}"
    told = "its run ended before anything was swapped; the live database is as it was"
    abandon(ports, site, swap, entry(ports, swap, Account(failure=told), Outcome.INTERRUPTED))
    return f"{swap.stage} of {swap.database} taken back: {told}"


def _account(swap: Swap, told: str) -> Account:
    warning = "hooks of after_swap may not have run: see the log of that time"
    return Account(result=told, warnings=(warning,), undo=f"amanat undo {swap.database}")
