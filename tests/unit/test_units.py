"""Durations and sizes: what is understood, what is refused, and the way there and back."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amanat.domain.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("8w", timedelta(weeks=8)),
        (" 1h30m ", timedelta(minutes=90)),
        ("0s", timedelta(0)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-5m", "1.5h", "5 m", "5M", "1y", "5m!", "99999w", "9" * 400 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration|longer than a century"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0B", 0), ("500MB", 500_000_000), ("10GiB", 10 * 1024**3), ("1.5 KiB", 1536), ("2tib", 2 * 1024**4)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "10", "GiB", "-1GiB", "1e3MB", "10 G", "1.GiB", "10GiBs"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(seconds=-3), "0.0s"),
        (timedelta(seconds=0.25), "0.2s"),
        (timedelta(seconds=90), "1m30s"),
        (timedelta(days=1), "1d"),
        (timedelta(days=8, seconds=5), "1w1d"),
    ],
)
def test_durations_as_text(duration: timedelta, expected: str) -> None:
    assert format_duration(duration) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1024**3, "1.0 GiB"), (5000 * 1024**4, "5000.0 TiB")],
)
def test_sizes_as_text(size: int, expected: str) -> None:
    assert format_size(size) == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 99), st.sampled_from("smhdw"))
def test_a_duration_comes_back(count: int, unit: str) -> None:
    duration = parse_duration(f"{count}{unit}")
    assert parse_duration(format_duration(duration)) == duration


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**9))
def test_a_duration_as_text_is_short_by_less_than_its_second_unit(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    back = parse_duration(format_duration(duration))
    assert back <= duration < back + max(timedelta(seconds=1), duration / 7)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**15))
def test_a_size_comes_back_within_its_digits(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.06)
