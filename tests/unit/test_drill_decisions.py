"""Which snapshots come up for a drill or a re-reading, and when a drill is not to be."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from amanat.domain.drills import chosen, excuse, longest_unread, time_left
from amanat.domain.model import SnapshotState
from amanat.domain.policy import Drills, Schedule, Window
from tests.support.snapshots import snapshot

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
WEEKLY = Schedule(cron="0 4 * * sun", timezone="UTC")
OFFICE = Window(begin=time(8), end=time(18), zone="Asia/Baku")  # 04:00 to 14:00 UTC
NIGHT = Window(begin=time(22), end=time(6), zone="Europe/Paris")  # 20:00 to 04:00 UTC in summer


def nights(count):
    """Newest first."""
    return [snapshot(id=f"s{n}", taken_at=NOW - timedelta(days=n), size_bytes=100) for n in range(count)]


def drills(**values):
    return Drills(schedule=WEEKLY, **values)


def ids(snapshots):
    return [each.id for each in snapshots]


def test_the_newest_are_always_among_them():
    found = chosen(nights(9), drills(newest=2, sample=1), NOW, drilled={}, draw=random.Random(1).random)
    assert ids(found[:2]) == ["s0", "s1"]
    assert len(found) == 3
    assert found[2].id not in {"s0", "s1"}


def test_what_was_not_drilled_for_longest_is_drawn_most():
    rows, generator = nights(4), random.Random(7)
    drilled = {"s1": NOW - timedelta(days=1), "s2": NOW - timedelta(days=3), "s3": NOW - timedelta(days=6)}
    drawn = Counter(
        chosen(rows, drills(newest=1, sample=1), NOW, drilled=drilled, draw=generator.random)[1].id
        for _ in range(4000)
    )
    assert drawn["s1"] == pytest.approx(400, rel=0.2)
    assert drawn["s2"] == pytest.approx(1200, rel=0.1)
    assert drawn["s3"] == pytest.approx(2400, rel=0.1)


def test_no_more_than_there_are_and_none_that_is_not_there():
    rows = [replace(row, state=SnapshotState.DAMAGED) if row.id == "s0" else row for row in nights(3)]
    found = chosen(rows, drills(newest=1, sample=9), NOW, drilled={}, draw=random.Random(1).random)
    assert sorted(ids(found)) == ["s1", "s2"]
    assert chosen([], drills(), NOW, drilled={}, draw=random.Random(1).random) == ()


@pytest.mark.parametrize(("percent", "count"), [(1, 1), (20, 2), (25, 3), (100, 10)])
def test_a_share_of_the_bytes_is_read_the_longest_unread_first(percent, count):
    rows = [replace(row, proof_at=NOW - timedelta(days=n)) for n, row in enumerate(nights(10))]
    found = longest_unread(rows, percent)
    assert ids(found) == [f"s{n}" for n in range(9, 9 - count, -1)]


def test_each_has_its_turn():
    rows = {row.id: replace(row, proof_at=row.taken_at, size_bytes=10 + n) for n, row in enumerate(nights(20))}
    seen = set()
    for turn in range(20):
        for row in longest_unread(rows.values(), 5):
            seen.add(row.id)
            rows[row.id] = replace(row, read_at=NOW + timedelta(days=turn))
    assert seen == set(rows)


@pytest.mark.parametrize(
    ("window", "hour", "excused"),
    [
        *((OFFICE, hour, excused) for hour, excused in [(3, False), (4, True), (13, True), (14, False)]),
        *((NIGHT, hour, excused) for hour, excused in [(19, False), (20, True), (3, True), (4, False)]),
    ],
)
def test_no_drill_within_a_window(window, hour, excused):
    code, why = excuse(drills(not_between=(window,)), 1, NOW.replace(hour=hour))
    assert (code == "not-between") is excused
    assert (window.zone in why) is excused


def test_no_drill_of_what_is_too_large():
    code, why = excuse(drills(max_bytes=1000), 2000, NOW)
    assert (code, why) == ("too-large", "the database has 2.0 KiB, drills.max_size is 1000 B")
    assert excuse(drills(max_bytes=1000), 1000, NOW) == ("", "")
    assert excuse(None, 2000, NOW) == ("", "")


def test_a_drill_ends_when_a_window_begins():
    assert time_left(None, NOW) is None
    assert time_left(drills(), NOW) is None
    assert time_left(drills(max_duration=timedelta(hours=1)), NOW) == timedelta(hours=1)
    before = NOW.replace(hour=3, minute=30)
    assert time_left(drills(not_between=(OFFICE,), max_duration=timedelta(hours=1)), before) == timedelta(
        minutes=30
    )
    assert time_left(drills(not_between=(OFFICE,)), NOW.replace(hour=15)) == timedelta(hours=13)


def test_a_window_follows_the_wall_clock_over_a_change():
    """Europe/Paris goes to winter time in the night to 25 October: 20:00 UTC becomes 21:00."""
    before = datetime(2026, 10, 24, 21, tzinfo=UTC)
    assert excuse(drills(not_between=(NIGHT,)), 1, before)[0] == "not-between"
    assert time_left(drills(not_between=(NIGHT,)), datetime(2026, 10, 25, 6, tzinfo=UTC)) == timedelta(hours=15)
