"""When what stands aside is over, by a clock that may jump; and whether it is of the place that is looked at."""

from datetime import UTC, datetime, timedelta

from amanat.domain import whereabouts
from amanat.domain.aside import Aside, AsideKind, Jump, expired, foreign

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def aside(since=T0, held=""):
    return Aside(
        run="r",
        database="app",
        environment="production",
        place="database app",
        kind=AsideKind.BEFORE,
        name="app_before_r",
        snapshot=None,
        size_bytes=1,
        since=since,
        until=since + DAY,
        held=held,
    )


def is_over(one, now, *jumps):
    return list(expired([one], now, jumps)) == [one]


def test_its_time_is_over_when_it_has_stood_for_so_long():
    assert not is_over(aside(), T0 + DAY - HOUR)
    assert is_over(aside(), T0 + DAY)
    assert not is_over(aside(held="why"), T0 + 9 * DAY)


def test_what_the_clock_jumped_ahead_is_no_time_that_it_stood():
    jump = Jump(at=T0 + HOUR, by=2 * DAY)
    assert not is_over(aside(), T0 + 2 * DAY + HOUR, jump)
    assert not is_over(aside(), T0 + 3 * DAY - HOUR, jump)
    assert is_over(aside(), T0 + 3 * DAY, jump)
    assert not is_over(aside(), T0 + 3 * DAY, jump, Jump(at=T0 + 2 * DAY, by=HOUR))


def test_what_was_set_aside_after_the_jump_is_not_kept_for_longer():
    assert is_over(aside(since=T0 + 3 * DAY), T0 + 4 * DAY, Jump(at=T0, by=3 * DAY))


def test_a_place_is_told_by_all_that_is_known_of_it():
    here = {"path": "", "database": "app", "system_identifier": "7"}
    assert (
        whereabouts.as_text({"database": "app", "system_identifier": "7"}) == "system identifier 7, database app"
    )
    assert foreign(aside(), "production", "database app") == ""
    assert (
        foreign(aside(), "production", "database other") == "it is of database app, and app is database other now"
    )
    assert "environment production" in foreign(aside(), "staging", "database app")
    assert list(whereabouts.differences({"database": "app"}, here)) == []
    assert list(whereabouts.differences({"system_identifier": "8"}, here)) == [
        "its system identifier is 8, here it is 7"
    ]
