"""Databases that stand beside a live one: what it was before a swap, and restores that may be swapped in."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
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
    """

    run: str
    database: str
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
    from. ``until``: when the outgoing one is dropped by itself.
    """

    run: str
    stage: Stage
    database: str
    environment: str
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


def expired(asides: Iterable[Aside], now: datetime) -> Iterator[Aside]:
    """Those whose time is over, and that nobody holds."""
    return (aside for aside in asides if aside.until <= now and not aside.held)
