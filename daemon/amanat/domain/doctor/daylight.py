"""Which runs of a schedule fall into the next changes of the clock: skipped wall times, and repeated ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from amanat.domain.doctor.check import Check, Name
from amanat.domain.policy import Schedule
from amanat.domain.schedule import runs_every_hour, wall_times

_AHEAD = timedelta(days=400)
_COMING = 2  # changes: into summer time and out of it
_STEP = timedelta(hours=12)  # no zone changes twice within it
_EXACT = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class _Change:
    """``begin``, ``end``: the wall times that are skipped, or come twice."""

    begin: datetime
    end: datetime
    skipped: bool


def summer_time(schedule: Schedule, now: datetime) -> list[Check]:
    """A schedule that runs in every hour follows elapsed time, and is hit by no change."""
    zone = ZoneInfo(schedule.timezone)
    changes = list(islice(_changes(zone, now.astimezone(UTC)), _COMING))
    if runs_every_hour(schedule):
        return [_fine("it runs in every hour, by elapsed time")]
    hits = [check for change in changes for check in _hit(schedule, change)]
    if hits:
        return hits
    days = " or ".join(f"{change.begin:%Y-%m-%d}" for change in changes)
    return [_fine(f"no run falls into the change of {days}" if days else f"{zone.key} changes no clock ahead")]


def _hit(schedule: Schedule, change: _Change) -> Iterator[Check]:
    walls = wall_times(schedule, change.begin - _EXACT)
    times = [f"{wall:%H:%M}" for wall in takewhile(lambda wall: wall < change.end, walls)]
    if not times:
        return
    when = f"{', '.join(times[:3])}{' …' if len(times) > 3 else ''} on {change.begin:%Y-%m-%d}"  # noqa: PLR2004
    window = f"outside {change.begin:%H:%M} to {change.end:%H:%M}"
    if change.skipped:
        text = f"{when} does not exist in {schedule.timezone}: it runs once, at {change.end:%H:%M}"
    else:
        text = f"{when} comes twice in {schedule.timezone}: it runs the first time only"
    yield Check.warn(Name.SUMMER_TIME, text, f"if that matters, choose a time {window}")


def _changes(zone: ZoneInfo, now: datetime) -> Iterator[_Change]:
    at = now
    while at < now + _AHEAD:
        following = at + _STEP
        if _offset(zone, at) != _offset(zone, following):
            yield _change(zone, at, following)
        at = following


def _change(zone: ZoneInfo, low: datetime, high: datetime) -> _Change:
    """Between two instants with different offsets: halve until they are a second apart."""
    before, after = _offset(zone, low), _offset(zone, high)
    while high - low > _EXACT:
        middle = low + (high - low) / 2
        low, high = (middle, high) if _offset(zone, middle) == before else (low, middle)
    instant = (high + _EXACT / 2).replace(microsecond=0, tzinfo=None)
    begin, end = sorted((instant + before, instant + after))
    return _Change(begin=begin, end=end, skipped=after > before)


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _fine(found: str) -> Check:
    return Check(name=Name.SUMMER_TIME, found=found)
