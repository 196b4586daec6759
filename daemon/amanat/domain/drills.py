"""Which snapshots are proven anew by schedule, and when a drill is not to be: pure decisions."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from amanat.domain.model import Snapshot, SnapshotState
from amanat.domain.policy import Drills, Window
from amanat.domain.units import format_size

_DAY = timedelta(days=1)


def chosen(
    snapshots: Iterable[Snapshot],
    wanted: Drills,
    now: datetime,
    *,
    drilled: Mapping[str, datetime],
    draw: Callable[[], float],
) -> tuple[Snapshot, ...]:
    """The newest, and some of the others at random, weighted by how long ago each was last drilled.

    ``drilled``: snapshot id → when it was last. ``draw``: uniform in (0, 1). Weighted sampling without replacement
    by keys u^(1/w) (Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006).
    """
    there = sorted(_present(snapshots), key=lambda each: (each.taken_at, each.id), reverse=True)
    newest, older = there[: wanted.newest], there[wanted.newest :]

    def key(snapshot: Snapshot) -> float:
        since = now - drilled.get(snapshot.id, snapshot.taken_at)
        return math.pow(draw(), 1 / max(since.total_seconds(), 1.0))

    return (*newest, *sorted(older, key=key, reverse=True)[: wanted.sample])


def longest_unread(snapshots: Iterable[Snapshot], percent: int) -> tuple[Snapshot, ...]:
    """As many as come to ``percent`` of the bytes, at least one: so each has its turn."""
    there = sorted(_present(snapshots), key=_last_read)
    return tuple(takewhile(_Until(sum(each.size_bytes for each in there) * percent / 100), there))


def _last_read(snapshot: Snapshot) -> tuple[datetime, str]:
    return snapshot.read_at or snapshot.proof_at or snapshot.taken_at, snapshot.id


class _Until:
    """True until the bytes of those before reach ``limit``."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._bytes = 0

    def __call__(self, snapshot: Snapshot) -> bool:
        before, self._bytes = self._bytes, self._bytes + snapshot.size_bytes
        return before == 0 or before < self._limit


def _present(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    return [snapshot for snapshot in snapshots if snapshot.state is SnapshotState.PRESENT]


def excuse(wanted: Drills | None, source_bytes: int, now: datetime) -> tuple[str, str]:
    """(word, sentence) of why a database of that size is not drilled now; empty: it is."""
    if wanted is None:
        return "", ""
    if wanted.max_bytes is not None and source_bytes > wanted.max_bytes:
        sizes = f"{format_size(source_bytes)}, drills.max_size is {format_size(wanted.max_bytes)}"
        return "too-large", f"the database has {sizes}"
    for window in wanted.not_between:
        if _is_within(window, now):
            return "not-between", f"no drills between {window.begin:%H:%M} and {window.end:%H:%M} ({window.zone})"
    return "", ""


def time_left(wanted: Drills | None, now: datetime) -> timedelta | None:
    """How long a drill that begins now may take; None: as long as it likes."""
    if wanted is None:
        return None
    pauses = (_until(window, now) for window in wanted.not_between)
    return min((*pauses, *([wanted.max_duration] if wanted.max_duration else [])), default=None)


def _is_within(window: Window, now: datetime) -> bool:
    at = now.astimezone(ZoneInfo(window.zone)).time()
    if window.begin < window.end:
        return window.begin <= at < window.end
    return at >= window.begin or at < window.end


def _until(window: Window, now: datetime) -> timedelta:
    """Until it begins next."""
    local = now.astimezone(ZoneInfo(window.zone))
    days: Sequence[datetime] = (local, local + _DAY)
    begins = (datetime.combine(day.date(), window.begin, tzinfo=local.tzinfo).astimezone(UTC) for day in days)
    return min(begin for begin in begins if begin > now) - now.astimezone(UTC)
