"""When a policy is due: cron lines in time zones, and which instants a late wake-up still has to serve.

cronsim knows the calendar (Sunday is 0, the two day fields are ORed); it is asked for wall times without a
zone, and the step to instants is made here. Its own steps over zone changes lose instants: where the clock
shifts by half an hour (Australia/Lord_Howe), and for lines such as ``*/30 2 * * *`` when 02:xx is skipped.
Every instant handed out carries a fixed UTC offset: datetimes that share a ZoneInfo compare by wall clock,
which makes 02:30 equal to the 02:30 an hour later.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from amanat.domain.errors import ConfigurationError
from amanat.domain.model import require_aware
from amanat.domain.policy import Schedule

JUST_DUE = timedelta(seconds=60)
"""A slot this young is not missed even with ``catch_up`` 0: timers wake late, and starting takes time."""

MOST_SLOTS = 10_000
"""How many slots ``due`` and ``interval`` look at, at most: a week of minutes."""

_HOURS_A_DAY = 24
_LONGEST_REPEAT = timedelta(hours=3)  # the most a clock is set back: 2 h at Antarctica/Troll
_LONGEST_SEARCH = timedelta(days=50 * 366)  # cronsim's own horizon


@dataclass(frozen=True, kw_only=True)
class Due:
    """What a wake-up has to do about the slots since the last one.

    ``run``: the slot to run now. ``covered``: older slots that this one run makes good, newest first.
    ``missed``: how many more are too old; ``capped``: there were even more of them than ``MOST_SLOTS``.
    ``until``: every slot up to here is accounted for; hand it back as ``last`` next time.
    """

    run: datetime | None = None
    covered: tuple[datetime, ...] = ()
    missed: int = 0
    capped: bool = False
    until: datetime | None = None


def check_schedule(schedule: Schedule) -> None:
    """ConfigurationError for a bad cron line, one that never matches, or an unknown zone."""
    if next(next_instants(schedule, datetime(2025, 1, 1, tzinfo=UTC)), None) is None:
        raise ConfigurationError(f"the cron line {schedule.cron!r} never matches", hint="check its day fields")


def next_instants(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """The instants after ``after``, strictly increasing, in the policy's local time with its UTC offset.

    A cron line that names hours follows the wall clock: a repeated hour counts once, a time that the clock
    skips is due when the gap ends. One that runs in every hour follows elapsed time: a repeated hour
    counts twice, a skipped one not at all.
    """
    require_aware(after)
    zone = _zone(schedule)
    start = after.astimezone(zone).replace(tzinfo=None) - _LONGEST_REPEAT
    calendar = _calendar(schedule, start)
    instants = _by_elapsed_time(calendar, zone) if _is_hourly(calendar) else _by_wall_clock(calendar, zone)
    return (_local(instant, zone) for instant in _increasing(instants, after.astimezone(UTC)))


def wall_times(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """What the cron line matches after ``after``, a naive wall time, whether the zone has it or not."""
    return _calendar(schedule, after)


def runs_every_hour(schedule: Schedule) -> bool:
    """Then it follows elapsed time (see ``next_instants``)."""
    return _is_hourly(_calendar(schedule, datetime(2025, 1, 1)))  # noqa: DTZ001 - a wall time


def _is_hourly(calendar: CronSim) -> bool:
    return len(calendar.hours) == _HOURS_A_DAY


def previous_instants(schedule: Schedule, at: datetime) -> Iterator[datetime]:
    """The instants at or before ``at``, latest first: read in windows that grow while they are empty."""
    require_aware(at)
    end, span = at.astimezone(UTC), timedelta(hours=1)
    while span < _LONGEST_SEARCH:
        found = _between(schedule, end - span, end)
        yield from reversed(found)
        end -= span
        span = span if found else span * 2


def previous_instant(schedule: Schedule, at: datetime) -> datetime:
    """The latest instant at or before ``at``."""
    return next(previous_instants(schedule, at))


def interval(schedule: Schedule, at: datetime) -> timedelta:
    """The longest pause between coming instants: over at least 60 of them, and over at least nine days
    so that the weekend after a busy week counts too."""
    horizon = at.astimezone(UTC) + timedelta(days=9)
    longest = timedelta(0)
    for seen, (one, other) in enumerate(pairwise(islice(next_instants(schedule, at), MOST_SLOTS))):
        longest = max(longest, other - one)
        if seen >= 60 and other > horizon:  # noqa: PLR2004
            break
    return longest


def jittered(schedule: Schedule, slot: datetime, key: str) -> datetime:
    """When the run of ``slot`` starts: up to ``jitter`` later, seemingly at random, always the same."""
    require_aware(slot)
    seed = sha256(f"{key} {slot.astimezone(UTC).isoformat()}".encode()).digest()
    share = int.from_bytes(seed[:6]) / 2.0**48
    return (slot.astimezone(UTC) + share * schedule.jitter).astimezone(slot.tzinfo)


def due(schedule: Schedule, now: datetime, last: datetime | None) -> Due:
    """What is to be done now about the slots after ``last``, the newest one accounted for (None: never ran).

    Slots not older than ``catch_up`` are made good by one run of the newest; the newest one also counts
    when it is only just due. A policy that never ran is due at once.
    """
    require_aware(now, last)
    if last is None:
        slot = previous_instant(schedule, now)
        return Due(run=slot, until=slot)
    slots = _latest_first(schedule, now, last)
    if not slots:
        return Due(until=last)
    capped = len(slots) > MOST_SLOTS
    slots = slots[:MOST_SLOTS]
    fresh = [slot for slot in slots if now - slot <= schedule.catch_up]
    if not fresh and now - slots[0] <= JUST_DUE + schedule.jitter:
        fresh = slots[:1]
    return Due(
        run=fresh[0] if fresh else None,
        covered=tuple(fresh[1:]),
        missed=len(slots) - len(fresh),
        capped=capped,
        until=slots[0],
    )


def _latest_first(schedule: Schedule, now: datetime, last: datetime) -> list[datetime]:
    """The slots after ``last`` up to ``now``, and no more than one over the limit."""
    slots: list[datetime] = []
    for slot in islice(previous_instants(schedule, now), MOST_SLOTS + 1):
        if slot <= last:
            break
        slots.append(slot)
    return slots


def _between(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    found: list[datetime] = []
    for instant in next_instants(schedule, start):
        if instant > end:
            break
        found.append(instant)
    return found


def _zone(schedule: Schedule) -> ZoneInfo:
    try:
        return ZoneInfo(schedule.timezone)
    except (OSError, ValueError, KeyError) as exc:  # a folder of zones, a path, an unknown key
        raise ConfigurationError(
            f"unknown time zone {schedule.timezone!r}", hint="write an IANA name such as Europe/Paris or UTC"
        ) from exc


def _calendar(schedule: Schedule, start: datetime) -> CronSim:
    """Wall times after the naive ``start`` that the cron line matches."""
    try:
        return CronSim(schedule.cron, start)
    except CronSimError as exc:
        raise ConfigurationError(
            f"cannot understand the cron line {schedule.cron!r}: {exc}",
            hint='write "minute hour day-of-month month day-of-week", such as "15 2 * * *"',
        ) from exc


def _by_wall_clock(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    for wall in walls:
        there = wall
        while not _exists(there, zone):
            there += timedelta(minutes=1)
        yield _instant(there, zone, fold=0)


def _by_elapsed_time(walls: Iterable[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Both instants of a repeated wall time; the second ones wait until the clock has been set back."""
    waiting: deque[datetime] = deque()
    for wall in walls:
        first, second = _instant(wall, zone, fold=0), _instant(wall, zone, fold=1)
        while waiting and waiting[0] < first:
            yield waiting.popleft()
        if _exists(wall, zone):
            yield first
        if second > first:
            waiting.append(second)


def _increasing(instants: Iterable[datetime], after: datetime) -> Iterator[datetime]:
    latest = after
    for instant in instants:
        if instant > latest:
            latest = instant
            yield instant


def _instant(wall: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    return _instant(wall, zone, fold=0).astimezone(zone).replace(tzinfo=None) == wall


def _local(instant: datetime, zone: ZoneInfo) -> datetime:
    local = instant.astimezone(zone)
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta(0)), fold=0)
