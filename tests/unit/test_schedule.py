"""Schedules by example: what cron means, clock changes, and what a late wake-up does."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from amanat.domain.errors import ConfigurationError
from amanat.domain.policy import Schedule
from amanat.domain.schedule import (
    MOST_SLOTS,
    Due,
    check_schedule,
    due,
    interval,
    jittered,
    next_instants,
    previous_instant,
)

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def plan(cron: str, timezone: str = "UTC", **said: Any) -> Schedule:
    return Schedule(cron=cron, timezone=timezone, **said)


def coming(schedule: Schedule, after: str, count: int) -> list[str]:
    start = datetime.fromisoformat(after)
    return [each.isoformat(timespec="minutes") for each in islice(next_instants(schedule, start), count)]


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-{text}+00:00")


# What the design states of cronsim


def test_day_zero_is_sunday() -> None:
    instant = next(next_instants(plan("0 3 * * 0"), NOW))
    assert f"{instant:%A}" == "Sunday"


def test_the_two_day_fields_are_ored() -> None:
    assert coming(plan("0 3 13 * fri"), "2026-11-01T00:00Z", 4) == [
        "2026-11-06T03:00+00:00",
        "2026-11-13T03:00+00:00",
        "2026-11-20T03:00+00:00",
        "2026-11-27T03:00+00:00",
    ]
    assert "2026-12-13T03:00+00:00" in coming(plan("0 3 13 * fri"), "2026-12-01T00:00Z", 3)  # a Sunday


def test_in_autumn_a_time_of_day_is_not_repeated() -> None:
    assert coming(plan("30 2 * * *", "Europe/Paris"), "2026-10-24T12:00Z", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_in_spring_a_skipped_time_is_due_when_the_gap_ends() -> None:
    assert coming(plan("30 2 * * *", "Europe/Paris"), "2027-03-27T12:00Z", 2) == [
        "2027-03-28T03:00+02:00",
        "2027-03-29T02:30+02:00",
    ]


# What is made of it here


def test_a_wake_up_in_the_repeated_hour_does_not_go_back() -> None:
    second_pass = "2026-10-25T02:10+01:00"
    assert coming(plan("30 2 * * *", "Europe/Paris"), second_pass, 1) == ["2026-10-26T02:30+01:00"]


def test_every_few_minutes_of_a_named_hour_follows_the_wall_clock() -> None:
    schedule = plan("*/30 2 * * *", "Europe/Paris")
    assert coming(schedule, "2027-03-27T12:00Z", 2) == ["2027-03-28T03:00+02:00", "2027-03-29T02:00+02:00"]
    assert coming(schedule, "2026-10-24T12:00Z", 3)[1:] == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:00+01:00",
    ]


def test_every_hour_follows_elapsed_time() -> None:
    assert coming(plan("0 * * * *", "Europe/Paris"), "2026-10-25T01:30+02:00", 3) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]
    assert coming(plan("30 * * * *", "Europe/Paris"), "2027-03-28T01:00+01:00", 2) == [
        "2027-03-28T01:30+01:00",
        "2027-03-28T03:30+02:00",
    ]


def test_nothing_is_lost_where_the_clock_shifts_by_half_an_hour() -> None:
    """cronsim's own zone arithmetic goes from 01:45 to 03:45 here."""
    assert coming(plan("45 * * * *", "Australia/Lord_Howe"), "2026-10-04T01:00+10:30", 3) == [
        "2026-10-04T01:45+10:30",
        "2026-10-04T02:45+11:00",
        "2026-10-04T03:45+11:00",
    ]


def test_midnight_that_does_not_exist_is_due_at_one() -> None:
    assert coming(plan("0 0 * * *", "America/Santiago"), "2026-09-05T12:00Z", 1) == ["2026-09-06T01:00-03:00"]


def test_instants_compare_and_subtract_as_instants() -> None:
    first, again = islice(
        next_instants(plan("30 * * * *", "Europe/Paris"), datetime(2026, 10, 25, 0, tzinfo=UTC)), 2
    )
    assert first.replace(tzinfo=None) == again.replace(tzinfo=None)
    assert first != again
    assert again - first == HOUR


def test_microseconds_do_not_repeat_an_instant() -> None:
    schedule = plan("0 3 * * *")
    assert next(next_instants(schedule, NOW)) == NOW + 24 * HOUR
    assert next(next_instants(schedule, NOW - timedelta(microseconds=1))) == NOW
    assert previous_instant(schedule, NOW) == NOW
    assert previous_instant(schedule, NOW - timedelta(microseconds=1)) == NOW - 24 * HOUR


def test_the_previous_instant_may_be_years_ago() -> None:
    assert previous_instant(plan("0 3 29 2 *"), NOW) == datetime(2024, 2, 29, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "longest"),
    [
        ("15 2 * * *", 24 * HOUR),
        ("0 */6 * * *", 6 * HOUR),
        ("* * * * *", MINUTE),
        ("0 2 * * 1-5", 72 * HOUR),
        ("*/10 9-17 * * 1-5", 63 * HOUR + 10 * MINUTE),
        ("0 2 1 * *", 31 * 24 * HOUR),
    ],
)
def test_the_interval_is_the_longest_pause(cron: str, longest: timedelta) -> None:
    assert interval(plan(cron), NOW) == longest


def test_the_interval_knows_the_day_of_25_hours() -> None:
    assert interval(plan("15 2 * * *", "Europe/Paris"), datetime(2026, 10, 1, tzinfo=UTC)) == 25 * HOUR


def test_jitter_is_bounded_and_survives_a_restart() -> None:
    schedule = plan("0 3 * * *", jitter=5 * MINUTE)
    starts = {jittered(schedule, NOW, f"nightly/db{number}") for number in range(50)}
    assert all(NOW <= start <= NOW + 5 * MINUTE for start in starts)
    assert len(starts) == 50
    assert jittered(schedule, NOW, "a") == jittered(schedule, NOW.astimezone(ZoneInfo("Asia/Baku")), "a")
    assert jittered(schedule, NOW, "a") - NOW != jittered(schedule, NOW + HOUR, "a") - NOW - HOUR
    assert jittered(plan("0 3 * * *"), NOW, "a") == NOW


# Due


def test_a_policy_that_never_ran_is_due_at_once() -> None:
    assert due(plan("0 2 * * *"), at("23T12:00"), None) == Due(run=at("23T02:00"), until=at("23T02:00"))


def test_on_time() -> None:
    schedule = plan("0 2 * * *")
    assert due(schedule, at("23T01:59:59"), at("22T02:00")) == Due(until=at("22T02:00"))
    for second in (0, 1, 60):
        now = at("23T02:00") + timedelta(seconds=second)
        assert due(schedule, now, at("22T02:00")) == Due(run=at("23T02:00"), until=at("23T02:00"))
    assert due(schedule, at("23T02:00:01"), at("23T02:00")) == Due(until=at("23T02:00"))


def test_too_late_without_catch_up_is_missed_and_counted_once() -> None:
    found = due(plan("0 2 * * *"), at("23T02:01:01"), at("22T02:00"))
    assert found == Due(missed=1, until=at("23T02:00"))
    assert due(plan("0 2 * * *"), at("23T02:02"), found.until) == Due(until=at("23T02:00"))


def test_jitter_gives_a_slot_more_time() -> None:
    found = due(plan("0 2 * * *", jitter=5 * MINUTE), at("23T02:05:30"), at("22T02:00"))
    assert found.run == at("23T02:00")


def test_one_run_makes_good_what_catch_up_allows() -> None:
    schedule = plan("0 * * * *", catch_up=3 * HOUR)
    assert due(schedule, at("23T12:30"), at("23T06:00")) == Due(
        run=at("23T12:00"), covered=(at("23T11:00"), at("23T10:00")), missed=3, until=at("23T12:00")
    )


def test_a_clock_set_back_makes_nothing_due() -> None:
    assert due(plan("0 2 * * *"), at("20T12:00"), at("23T02:00")) == Due(until=at("23T02:00"))


def test_a_year_of_lost_minutes_is_counted_in_bounded_time() -> None:
    found = due(plan("* * * * *", catch_up=HOUR), NOW, NOW - timedelta(days=365))
    assert found.run == NOW
    assert len(found.covered) == 60
    assert (found.missed, found.capped) == (MOST_SLOTS - 61, True)
    assert not due(plan("* * * * *"), NOW, NOW - HOUR).capped


# Refusals


@pytest.mark.parametrize(
    "cron", ["", "0 3 * *", "61 3 * * *", "@daily", "0 3 31 2 *", "0 3 * * mond", "0 3 */31 * mon#2"]
)
def test_bad_cron_lines_are_refused(cron: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_schedule(plan(cron))
    assert repr(cron) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("timezone", ["Europe/Pariss", "", "/etc/passwd", "../UTC", "Europe", "\0"])
def test_unknown_zones_are_refused(timezone: str) -> None:
    with pytest.raises(ConfigurationError, match="unknown time zone"):
        check_schedule(plan("0 3 * * *", timezone))


def test_naive_times_are_refused() -> None:
    naive = NOW.replace(tzinfo=None)
    schedule = plan("0 3 * * *")
    for call in (
        lambda: next_instants(schedule, naive),
        lambda: previous_instant(schedule, naive),
        lambda: due(schedule, naive, None),
        lambda: due(schedule, NOW, naive),
        lambda: interval(schedule, naive),
        lambda: jittered(schedule, naive, "a"),
    ):
        with pytest.raises(ValueError, match="naive"):
            call()
