"""How long a database would take to be restored: told from restores that were measured, or not at all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median

from amanat.domain.model import EngineName, require_aware
from amanat.domain.units import format_duration, format_size

COUNTED = 5
"""How many restores are looked at, the newest: what was measured on the hardware of before tells nothing."""


@dataclass(frozen=True, kw_only=True)
class Restore:
    """One that was measured, of a snapshot of a whole database that had ``bytes`` then."""

    at: datetime
    bytes: int
    seconds: float

    def __post_init__(self) -> None:
        require_aware(self.at)


@dataclass(frozen=True, kw_only=True)
class History:
    """What is known of one database. ``bytes``: its size when its newest snapshot was taken."""

    database: str
    engine: EngineName
    bytes: int
    restores: tuple[Restore, ...] = ()


class Basis(StrEnum):
    """``measured``: restores of the database itself. ``estimated``: those of others of its engine."""

    MEASURED = "measured"
    ESTIMATED = "estimated"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """``seconds`` None: nothing was measured. ``explanation``: what it is told from, in words."""

    seconds: float | None = None
    basis: Basis = Basis.NONE
    explanation: str = "no drill has restored it yet"


UNKNOWN = Recovery()


def about(seconds: float) -> str:
    """No more exact than it is."""
    return f"about {format_duration(timedelta(seconds=seconds))}" if seconds >= 1 else "less than a second"


def recoveries(histories: Sequence[History]) -> Mapping[str, Recovery]:
    """By database."""
    return {history.database: _recovery(history, histories) for history in histories}


def _recovery(history: History, histories: Iterable[History]) -> Recovery:
    if own := _newest(history.restores):
        return Recovery(
            seconds=_scaled(own, history.bytes),
            basis=Basis.MEASURED,
            explanation=f"measured in {_told(own)}, the last on {own[0].at:%Y-%m-%d}",
        )
    alike = [each for each in histories if each.engine is history.engine]
    if others := _newest(restore for each in alike for restore in each.restores):
        return Recovery(
            seconds=_scaled(others, history.bytes),
            basis=Basis.ESTIMATED,
            explanation=f"estimated from {_told(others)} of other {history.engine} databases",
        )
    return UNKNOWN


def _newest(restores: Iterable[Restore]) -> list[Restore]:
    told = (restore for restore in restores if restore.bytes > 0)
    return sorted(told, key=lambda restore: (restore.at, restore.seconds), reverse=True)[:COUNTED]


def _scaled(restores: Sequence[Restore], size: int) -> float:
    """The median: one restore on a busy night must not double the estimate."""
    return size * median(restore.seconds / restore.bytes for restore in restores)


def _told(restores: Sequence[Restore]) -> str:
    sizes = {size: format_size(size) for size in sorted(restore.bytes for restore in restores)}
    least, most = next(iter(sizes.values())), list(sizes.values())[-1]
    return (
        f"{len(restores)} restore{'s' * (len(restores) > 1)} of {least if least == most else f'{least} to {most}'}"
    )
