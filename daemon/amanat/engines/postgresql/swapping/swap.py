"""The swap: one transaction that gives a database beside the live one its properties and its name.

Whoever is connected when it begins is ended, whoever connects meanwhile waits. Until COMMIT all is as it
was, for a crash too: then the server takes it back by itself.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import LiteralString

from psycopg import sql

from amanat.domain.errors import BusyError, SourceError, YieldedError
from amanat.domain.model import Facts
from amanat.engines.postgresql.connection import Session, session
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.engines.postgresql.swapping import elsewhere, others, properties, requirements, staying
from amanat.engines.postgresql.swapping.naming import names
from amanat.engines.postgresql.swapping.properties import Properties, Setting
from amanat.host import clock
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from amanat.ports.restoring import Swapped
from amanat.ports.run import Control

__all__ = ["is_swapped", "names", "require", "swap"]

_PAUSES = (1.0, 2.0, 4.0, 8.0, 14.0)  # seconds between attempts: others may be in the way for a moment only
_LONGEST = timedelta(minutes=2)  # of all of them; a stop is heard between two, never within one
_ENDING_SECONDS = 15.0
# For a COMMIT that is not lost with the server, and waits for no standby. Others wait behind this transaction: a
# process that was stopped, or a machine that was lost, must not hold them up for long.
_BEGIN: tuple[LiteralString, ...] = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
    "SET LOCAL synchronous_commit = 'local'",
    "SET LOCAL idle_in_transaction_session_timeout = '5s'",
    "SET LOCAL lock_timeout = '1s'",
    "SET LOCAL statement_timeout = '2s'",
)


@dataclass(frozen=True, kw_only=True)
class _Exchange:
    live: str
    incoming: str
    outgoing: str

    @property
    def both(self) -> tuple[str, str]:
        """The databases, as they are called before it."""
        return self.live, self.incoming


@dataclass(frozen=True, kw_only=True)
class _Script:
    """Executes SQL, and keeps what it was."""

    asked: Session
    statements: list[str] = field(default_factory=list)

    def run(self, statement: LiteralString | sql.Composed) -> None:
        self.asked.ask(statement)
        self.statements.append(statement if isinstance(statement, str) else statement.as_string())


def require(server: Server, facts: Facts | None, place: Place, control: Control) -> None:
    """As ``ports.Restorer.require_swap``."""
    live = elsewhere.live_name(server, place, control)
    with session(elsewhere.found(server, [live], place, control), control) as asked:
        requirements.require(asked, live, facts)
        for warning in staying.warnings(asked, live, names(live, place.run).before):
            place.warn(f"once it is swapped: {warning}")


def swap(server: Server, incoming: str, outgoing: str, place: Place, control: Control) -> Swapped:
    """As ``ports.Restorer.swap``."""
    live = elsewhere.live_name(server, place, control)
    exchange = _Exchange(live=live, incoming=incoming, outgoing=outgoing)
    reached = elsewhere.found(server, [live, incoming, outgoing], place, control)
    limited = RunControl(timeout=_LONGEST)
    with session(reached, limited) as asked, session(reached, limited) as looking:
        for pause in _PAUSES:
            with contextlib.suppress(BusyError):
                return _attempt(asked, looking, exchange)
            control.wait(pause)
        return _attempt(asked, looking, exchange)


def is_swapped(server: Server, incoming: str, outgoing: str, place: Place, control: Control) -> bool:
    """As ``ports.Restorer.is_swapped``. What a dead process sent last, the server may still be doing: BusyError if
    that takes longer than it can.
    """
    with session(elsewhere.found(server, [incoming, outgoing], place, control), control) as asked:
        until = clock.monotonic() + _ENDING_SECONDS
        while others.are_renamed_now(asked, [incoming, outgoing]):
            if clock.monotonic() > until:
                raise BusyError(f"database {incoming} is being renamed by another session", hint="see who does")
            control.wait(0.1)
        there = {name for (name,) in asked.ask("SELECT datname::text FROM pg_database")}
        return outgoing in there and incoming not in there


def _attempt(asked: Session, looking: Session, exchange: _Exchange) -> Swapped:
    _require_endable(looking, exchange)
    (locker,) = asked.ask("SELECT pg_backend_pid()")[0]
    with others.kept_out(looking, locker) as them:
        try:
            return _exchanged(_Script(asked=asked), exchange)
        except YieldedError as exc:
            asked.ask("ROLLBACK")
            failure = exc
    in_the_way = them.still_there or others.locking(looking, exchange.both) or [failure.message]
    raise _busy(exchange, in_the_way) from failure


def _require_endable(asked: Session, exchange: _Exchange) -> None:
    """Before anybody is ended in vain."""
    there = [other.description for other in others.unendable(asked, exchange.both)]
    if in_the_way := [*there, *others.prepared(asked, exchange.both)]:
        raise _busy(exchange, in_the_way)


def _busy(exchange: _Exchange, in_the_way: Sequence[str]) -> BusyError:
    return BusyError(
        f"database {exchange.live} was not swapped: in the way is {', '.join(in_the_way)}",
        hint="see what that is, end it, and try again",
    )


def _exchanged(script: _Script, exchange: _Exchange) -> Swapped:
    for statement in _BEGIN:
        script.run(statement)
    live = properties.read(script.asked, exchange.live)
    incoming = properties.read(script.asked, exchange.incoming)
    lacking = _carry_over(script, live, incoming, exchange)
    if lacking:
        script.run(properties.note(lacking, exchange.live))
    warnings = [
        *staying.warnings(script.asked, exchange.live, exchange.outgoing),
        *staying.moved(live, incoming, exchange.live),
        *lacking.values(),
    ]
    began = clock.monotonic()
    for renaming in _renamed(exchange, live):
        script.run(renaming)
    script.run("COMMIT")
    seconds = clock.monotonic() - began
    return Swapped(seconds=seconds, statements=tuple(script.statements), warnings=tuple(warnings))


def _carry_over(
    script: _Script, live: Properties, incoming: Properties, exchange: _Exchange
) -> dict[Setting, str]:
    """A warning for each setting that the role may not give; all else it has to."""
    for statement in properties.carried(live, incoming, exchange.incoming):
        script.run(statement)
    tried = properties.settings(live, incoming, exchange.incoming)
    later = properties.settings(live, incoming, exchange.live)
    lacking = {}
    for (setting, statement), (_, by_hand) in zip(tried, later, strict=True):
        script.asked.ask("SAVEPOINT setting")
        try:
            script.run(statement)
        except SourceError as exc:
            script.asked.ask("ROLLBACK TO SAVEPOINT setting")
            lacking[setting] = (
                f"a setting of the database was not carried over: {by_hand.as_string()} ({exc.message})"
            )
    return lacking


def _renamed(exchange: _Exchange, live: Properties) -> Iterator[sql.Composed]:
    """The one that goes out is closed, and no template: it can be dropped."""
    name, incoming, outgoing = map(sql.Identifier, (exchange.live, exchange.incoming, exchange.outgoing))
    yield sql.SQL("ALTER DATABASE {} RENAME TO {}").format(name, outgoing)
    yield sql.SQL("ALTER DATABASE {} RENAME TO {}").format(incoming, name)
    yield sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(outgoing)
    if live.is_template:
        yield sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(outgoing)
