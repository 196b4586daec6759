"""Tables on a terminal: aligned, folded where they must be, nothing lost, drawn as the rows come."""

from itertools import count, islice

import pytest

from amanat.faces.cli import columns

HEAD = ("ID", "SIZE", "WHY")


@pytest.fixture
def width(monkeypatch):
    return lambda places: monkeypatch.setenv("COLUMNS", str(places))


def lines(rows, head=HEAD, right=("SIZE",)):
    return list(columns.drawn(head, rows, right))


def test_columns_are_as_wide_as_what_stands_in_them(width):
    width(80)
    assert lines([("abc", "1.5 KiB", "last 1/3"), ("d", "9 B", "")]) == [
        "ID      SIZE  WHY\n",
        "abc  1.5 KiB  last 1/3\n",
        "d        9 B\n",
    ]


def test_what_does_not_fit_is_folded_between_words_and_an_id_never(width):
    width(30)
    assert lines([("123456789012", "1 B", "the newest proven of the database")]) == [
        "ID            SIZE  WHY\n",
        "123456789012   1 B  the newest\n",
        "                    proven of\n",
        "                    the\n",
        "                    database\n",
    ]


def test_on_a_terminal_that_is_far_too_narrow_nothing_is_lost(width):
    width(5)
    drawn = lines([("123456789012", "1 B", "extraordinarily-long")])
    assert "123456789012   1 B  extraord\n" in drawn
    assert "".join(line[20:].strip() for line in drawn[1:]) == "extraordinarily-long"


def test_letters_that_take_two_places_do_not_shift_the_next_column(width):
    width(80)
    head, rows = ("NAME", "WHY"), [("名前", "a"), ("plain", "b")]
    assert lines(rows, head) == ["NAME   WHY\n", "名前   a\n", "plain  b\n"]


def test_rows_are_drawn_before_the_last_one_is_known(width):
    width(80)
    endless = ((str(number), "1 B", "x") for number in count())
    assert len(list(islice(columns.drawn(HEAD, endless, ()), 1000))) == 1000


def test_a_later_row_that_is_wider_is_folded(width):
    width(80)
    rows = [
        ("1", "1 B", "short enough"),
        *[("2", "1 B", "x")] * 300,
        ("3", "1 B", "this one is wider than all before"),
    ]
    drawn = lines(rows)
    assert drawn[-3:] == ["3    1 B  this one is\n", "          wider than\n", "          all before\n"]


def test_no_rows_leave_the_head(width):
    width(80)
    assert lines([]) == ["ID  SIZE  WHY\n"]
