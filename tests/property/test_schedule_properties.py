"""Schedules over every zone change of 2025–2028 in ten zones, against a minute-by-minute reading of the clock."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amanat.domain.policy import Schedule
from amanat.domain.schedule import due, next_instants, previous_instant

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
AROUND = timedelta(hours=5)

# Whole hours, half an hour, two hours, 45 minutes off, changes at midnight, and around Ramadan.
ZONES = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Australia/Lord_Howe",
    "Europe/Paris",
    "Pacific/Chatham",
]

Clock = tuple[frozenset[int], frozenset[int]]  # minutes and hours of a cron line

CLOCKS: list[Clock] = [
    (frozenset({30}), frozenset({2})),
    (frozenset({0}), frozenset({0})),
    (frozenset({0, 30}), frozenset({1, 2, 3, 23})),
    (frozenset(range(0, 60, 15)), frozenset(range(24))),
    (frozenset({45}), frozenset(range(24))),
    (frozenset({15}), frozenset(range(24))),
    (frozenset({5}), frozenset(range(0, 24, 2))),
]


def schedule_of(clock: Clock, zone: str) -> Schedule:
    minutes, hours = (",".join(map(str, sorted(part))) for part in clock)
    return Schedule(cron=f"{minutes} {hours if len(clock[1]) < 24 else '*'} * * *", timezone=zone)


@cache
def changes(zone: str) -> list[datetime]:
    """The first instants with a new offset, in UTC, found by halving the days on which the offset differs."""
    days = [datetime(2025, 1, 1, tzinfo=UTC) + DAY * number for number in range(4 * 365 + 2)]
    return [
        change(one, other, ZoneInfo(zone))
        for one, other in pairwise(days)
        if offset(one, zone) != offset(other, zone)
    ]


def change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    while after - before > MINUTE:
        middle = before + (after - before) // 2
        middle = middle.replace(second=0)
        same = middle.astimezone(zone).utcoffset() == before.astimezone(zone).utcoffset()
        before, after = (middle, after) if same else (before, middle)
    return after


def offset(instant: datetime, zone: str) -> timedelta | None:
    return instant.astimezone(ZoneInfo(zone)).utcoffset()


def instants(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    return list(takewhile(lambda instant: instant <= end, next_instants(schedule, start)))


@cache
def clock_readings(zone: str, moment: datetime) -> list[tuple[datetime, datetime]]:
    """Each UTC minute around ``moment`` with what a clock on the wall shows then."""
    count = 2 * AROUND // MINUTE
    minutes = [moment - AROUND + MINUTE * number for number in range(1, count + 1)]
    return [(minute, minute.astimezone(ZoneInfo(zone))) for minute in minutes]


def expected(clock: Clock, zone: str, moment: datetime) -> list[datetime]:
    """Read off the clock: every hour → whenever it matches; named hours → at its first showing, or after a gap."""
    readings = clock_readings(zone, moment)
    hits = {minute for minute, wall in readings if matches(clock, wall) and (len(clock[1]) == 24 or not wall.fold)}
    if len(clock[1]) < 24 and any(matches(clock, wall) for wall in skipped(zone, moment)):
        hits.add(moment)
    return sorted(hits)


def skipped(zone: str, moment: datetime) -> list[datetime]:
    """The wall times that no clock shows because it was set ahead at ``moment``."""
    last = (moment - MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    first = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return [last + MINUTE * number for number in range(1, (first - last) // MINUTE)]


def matches(clock: Clock, wall: datetime) -> bool:
    return wall.minute in clock[0] and wall.hour in clock[1]


def assert_true_to_the_clock(clock: Clock, zone: str, moment: datetime) -> None:
    found = instants(schedule_of(clock, zone), moment - AROUND, moment + AROUND)
    assert found == expected(clock, zone, moment)
    assert all(one < other for one, other in pairwise(found))


@pytest.mark.parametrize("zone", ZONES)
def test_no_instant_twice_and_none_lost_over_every_change(zone: str) -> None:
    assert len(changes(zone)) >= 8
    for moment in changes(zone):
        for clock in CLOCKS:
            assert_true_to_the_clock(clock, zone, moment)


def some_of(values: range) -> st.SearchStrategy[frozenset[int]]:
    return st.frozensets(st.sampled_from(values), min_size=1, max_size=4)


def some_hours() -> st.SearchStrategy[frozenset[int]]:
    return some_of(range(24)) | st.just(frozenset(range(24)))


@settings(max_examples=50, deadline=None)
@given(st.data(), st.tuples(some_of(range(60)), some_hours()), st.sampled_from(ZONES))
def test_any_clock_over_any_change(data: st.DataObject, clock: Clock, zone: str) -> None:
    assert_true_to_the_clock(clock, zone, data.draw(st.sampled_from(changes(zone))))


def any_schedule() -> st.SearchStrategy[Schedule]:
    crons = ["*/20 * * * *", "30 2 * * *", "0 */6 * * *", "0 3 13 * fri", "15 1,2 * * 0", "*/7 2 * * *"]
    minutes = st.sampled_from([0, 7, 60, 300]).map(lambda count: MINUTE * count)
    return st.builds(
        Schedule,
        cron=st.sampled_from(crons),
        timezone=st.sampled_from(ZONES),
        catch_up=minutes,
        jitter=minutes.map(lambda span: span / 10),
    )


def any_start() -> st.SearchStrategy[datetime]:
    """Half of them next to a zone change."""
    near = st.sampled_from([moment for zone in ZONES for moment in changes(zone)])
    anywhere = st.datetimes(datetime(2025, 1, 1), datetime(2028, 12, 1), timezones=st.just(UTC))
    return anywhere | st.builds(lambda moment, minutes: moment + MINUTE * minutes, near, st.integers(-3000, 300))


@settings(max_examples=50, deadline=None)
@given(any_schedule(), any_start(), st.integers(0, 200))
def test_reading_on_from_any_instant_gives_the_same_instants(
    schedule: Schedule, start: datetime, number: int
) -> None:
    found = instants(schedule, start, start + DAY * 2)
    if found:
        instant = found[number % len(found)]
        assert instants(schedule, instant, start + DAY * 2) == found[number % len(found) + 1 :]
        assert previous_instant(schedule, instant) == instant
        assert previous_instant(schedule, instant + timedelta(microseconds=1)) == instant
        assert instant.utcoffset() == offset(instant, schedule.timezone)


@settings(max_examples=50, deadline=None)
@given(any_schedule(), any_start(), st.lists(st.integers(0, 2000), min_size=1, max_size=12))
def test_every_slot_is_run_covered_or_missed_exactly_once(
    schedule: Schedule, start: datetime, pauses: list[int]
) -> None:
    """Wake-ups at random, none at all for up to a day and a half."""
    now, last = start, start
    run, covered, missed = list[datetime](), list[datetime](), 0
    for pause in pauses:
        now += timedelta(seconds=pause * 60 + pause % 60)
        found = due(schedule, now, last)
        run += [found.run] if found.run else []
        covered += found.covered
        missed += found.missed
        last = found.until or last

    slots = instants(schedule, start, now)
    assert len(set(run + covered)) == len(run) + len(covered)
    assert set(run + covered) <= set(slots)
    assert len(run) + len(covered) + missed == len(slots)
