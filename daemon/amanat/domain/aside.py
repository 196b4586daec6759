"""Databases that stand beside a live one: what it was before a swap, and restores that may be swapped in."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from amanat.domain.model import Stage, require_aware


class AsideKind(StrEnum):
    """``before``: what was live until a swap; ``undo`` swaps it back. ``warm``: a proven restore, kept for one."""

    BEFORE = "before"
    WARM = "warm"


@dataclass(frozen=True, kw_only=True)
class Aside:
    """``run``: the one that made it stand there. ``name``: what its engine calls it, a database's name or a file's
    path. ``snapshot``: the one it was restored from; None: it is what an application made of it since.
    ``until``: when it is dropped by itself. ``held``: why it is not; empty: it is. ``mark``: of a warm one, what
    ``Restorer.mark`` said when it was proven.
    ``environment``, ``place``: of the live one beside which it stands; see ``domain.whereabouts``.
    """

    run: str
    database: str
    environment: str
    place: str
    kind: AsideKind
    name: str
    snapshot: str | None
    size_bytes: int
    since: datetime
    until: datetime
    held: str = ""
    mark: str = ""

    def __post_init__(self) -> None:
        require_aware(self.since, self.until)


@dataclass(frozen=True, kw_only=True)
class Swap:
    """An exchange of databases that was begun: after a crash, where the names stand says whether it was done.

    ``incoming`` becomes the live one, which becomes ``outgoing``. ``snapshot``: what the incoming one was restored
    from. ``until``: when the outgoing one is dropped by itself. ``place``: as of an ``Aside``.
    """

    run: str
    stage: Stage
    database: str
    environment: str
    place: str
    policy: str
    incoming: str
    outgoing: str
    snapshot: str | None
    by: str
    purpose: str
    at: datetime
    until: datetime

    def __post_init__(self) -> None:
        require_aware(self.at, self.until)


@dataclass(frozen=True, kw_only=True)
class Jump:
    """The clock went ahead by more than the time that passed: it was set, or the machine slept."""

    at: datetime
    by: timedelta


def expired(asides: Iterable[Aside], now: datetime, jumps: Collection[Jump] = ()) -> Iterator[Aside]:
    """Those whose time is over, and that nobody holds. What the clock jumped ahead is no time that they stood."""
    return (aside for aside in asides if aside.until + _leapt(aside, jumps) <= now and not aside.held)


def _leapt(aside: Aside, jumps: Iterable[Jump]) -> timedelta:
    return sum((jump.by for jump in jumps if aside.since <= jump.at), timedelta(0))


def foreign(one: Aside | Swap, environment: str, place: str) -> str:
    """Why it is none of what ``place`` has in this environment, as a sentence; empty: it is."""
    if one.place != place:
        return f"it is of {one.place}, and {one.database} is {place} now"
    if one.environment != environment:
        return f"it is of environment {one.environment}, and {one.database} is in {environment} now"
    return ""
