"""Names that PostgreSQL takes as they are: it would cut a longer one itself, and the run's id with it."""

import pytest

from amanat.engines.postgresql.beside.leftovers import run_of
from amanat.engines.postgresql.swapping.swap import names

RUN = "0123456789ab"


def test_they_are_named_after_the_database_and_the_run():
    named = names("atis", RUN)
    assert (named.live, named.beside, named.before) == ("atis", f"atis_amanat_{RUN}", f"atis_before_{RUN}")


@pytest.mark.parametrize("live", ["a" * 63, "ə" * 31, "a" + "ə" * 31, "a" + "日" * 20, "ab" + "日" * 20])
def test_of_a_long_name_the_front_is_cut_between_two_characters(live):
    named = names(live, RUN)
    for name, end in ((named.beside, f"_amanat_{RUN}"), (named.before, f"_before_{RUN}")):
        front = name.removesuffix(end)
        assert live.startswith(front) and front != name
        assert 63 - len(live[len(front)].encode()) < len(name.encode()) <= 63


def test_one_that_just_fits_is_whole():
    assert names("a" * 43, RUN).before.startswith("a" * 43 + "_before_")


@pytest.mark.parametrize("live", ["atis", "a" * 63, "a" + "ə" * 31])
def test_what_stands_beside_is_known_by_its_name(live):
    assert run_of(names(live, RUN).beside, live) == RUN
    assert run_of(f"amanat_drill_{RUN}", live) == RUN
    for other in (live, names(live, RUN).before, names(f"{live[:3]}_test", RUN).beside, f"{live}_amanat_"):
        assert run_of(other, live) is None


def test_one_whose_name_another_begins_with_is_another():
    assert run_of(names("atis", RUN).beside, "atis_test") is None
    assert run_of(names("atis_test", RUN).beside, "atis") is None
