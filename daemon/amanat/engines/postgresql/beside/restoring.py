"""Restores an archive into a new database beside the live one.

One that is to stand in for the live one has its own name from the start: that ends with the run's id, by which it
is found after a crash. One whose name the user chose gets it when it is whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amanat.domain.errors import RefusedError, SourceError
from amanat.engines.postgresql.connection import Session, Target, session
from amanat.engines.postgresql.rehearsing import database, making, preparing
from amanat.engines.postgresql.rehearsing.database import Like
from amanat.engines.postgresql.rehearsing.filling import Filling, Ready, filled
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control

_MOST_BYTES = 63  # of a name (manual, "Identifiers and Key Words")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """``live``: the one that it stands in for; None: for none."""

    name: str
    live: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """``worked_on``: what it is called until it is whole."""

    worked_on: str
    like: Like | None
    what: Filling
    ready: Ready


def require(server: Server, wanted: Filling, wish: Wish, place: Place, control: Control) -> None:
    """What keeps ``restore`` from beginning, as that raises it."""
    _prepared(server, wanted, wish, place, control)


def restore(server: Server, wanted: Filling, wish: Wish, place: Place, control: Control) -> Rehearsal:
    """It is dropped again if an error is raised, and for nothing else."""
    begun = _prepared(server, wanted, wish, place, control)
    worked_on, like, what, ready = begun.worked_on, begun.like, begun.what, begun.ready
    with making.made(server, worked_on, what.facts, place, control, like=like):
        found = filled(ready, what, control)
        unknown = _analyzed(ready.target, control)
        with server.maintenance(place, control) as asked:
            _handed_over(asked, worked_on, wish)
    return Rehearsal(comparison=found.comparison, seconds=found.seconds, warnings=(*found.warnings, *unknown))


def _prepared(server: Server, wanted: Filling, wish: Wish, place: Place, control: Control) -> _Prepared:
    _require_name(wish.name)
    worked_on = wish.name if wish.live else f"{database.PREFIX}{place.run}"
    with server.maintenance(place, control) as asked:
        _require_absent(asked, (wish.name, worked_on))
        like = database.like(asked, wish.live) if wish.live else None
        what, ready = preparing.prepared(asked, server, wanted, worked_on, place, like=like)
    return _Prepared(worked_on=worked_on, like=like, what=what, ready=ready)


def _require_name(name: str) -> None:
    if not name or "\0" in name or len(name.encode()) > _MOST_BYTES:
        raise RefusedError(
            f"{name!r} cannot be the name of a database: it has to have 1 to {_MOST_BYTES} bytes",
            hint="choose a shorter one" if name else "say a name",
        )


def _require_absent(asked: Session, names: Sequence[str]) -> None:
    for name in names:
        if database.exists(asked, name):
            raise RefusedError(
                f"there is a database {name} on the server, and nothing is restored over what exists",
                hint="say another name, or drop that one first",
            )


def _analyzed(own: Target, control: Control) -> tuple[str, ...]:
    """A restored database has no statistics. What the role may not analyze, the server passes over."""
    with session(own, control) as asked:
        asked.ask("SET lock_timeout = 0")  # autovacuum may be at a table; it is sent away after a second
        try:
            asked.ask("ANALYZE")
        except SourceError as exc:
            return (f"the query planner knows less than usual of it, run ANALYZE there: {exc.message}",)
    return ()


def _handed_over(asked: Session, worked_on: str, wish: Wish) -> None:
    if wish.live:
        database.close(asked, worked_on)
    else:
        database.rename(asked, worked_on, wish.name)
