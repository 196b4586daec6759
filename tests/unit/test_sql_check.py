"""What users write as an expectation, and which answers meet it."""

from datetime import date
from decimal import Decimal

import pytest

from amanat.domain.comparison import answered
from amanat.domain.sql_check import SqlCheck, parse_expectation


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        (">= 1", 1),
        (">=1", Decimal("1.5")),
        ("> 0.5", 1),
        ("< 10", "9"),
        ("<= -1", -1.0),
        ("= open", "open"),
        ("open", "open"),
        ("0", 0),
        ("1.0", Decimal(1)),
        ("!= 0", 7),
        ("!= open", None),
        ("true", True),
        ("true", 1),
        ("false", 0),
        ("null", None),
        ("two words", "two words"),
        ("2026-07-01", date(2026, 7, 1)),
    ],
)
def test_answers_as_expected(expect, found):
    assert parse_expectation(expect).is_met_by(found)


@pytest.mark.parametrize(
    ("expect", "found"),
    [(">= 1", 0), (">= 1", None), ("> 0", "many"), ("> 0", float("nan")), ("= 1", True), ("open", "Open"),
     ("!= 0", 0), ("0", None), ("> 0", True)],
)  # fmt: skip
def test_answers_that_are_not(expect, found):

    assert not parse_expectation(expect).is_met_by(found)


@pytest.mark.parametrize("text", ["", "  ", ">", "=> 1", "== 1", "<> 1", "< many", ">= 2026-01-01"])
def test_what_is_no_expectation(text):
    with pytest.raises(ValueError, match=r"expectation|compares numbers"):
        parse_expectation(text)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(0,)], "check select 1: expected >= 1, found 0"),
        ([], "check select 1: expected >= 1, found 0 rows of 0 columns"),
        ([(1, 2)], "check select 1: expected >= 1, found 1 rows of 2 columns"),
        ([(1,), (2,)], "check select 1: expected >= 1, found 2 rows of 1 columns"),
    ],
)
def test_one_value_is_an_answer(rows, said):
    check = SqlCheck(sql="select 1", expect=parse_expectation(">= 1"))
    found = answered(check, rows)
    assert found and found.describe() == said
    assert answered(check, [(1,)]) is None
