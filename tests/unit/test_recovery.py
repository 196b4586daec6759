"""The time to recover: told from restores that were measured, or not at all."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amanat.domain.model import EngineName
from amanat.domain.recovery import COUNTED, UNKNOWN, Basis, History, Restore, recoveries

T0 = datetime(2026, 11, 22, 4, tzinfo=UTC)
GIB = 1 << 30
some = settings(max_examples=50, deadline=None)


def restore(seconds, size=GIB, *, day=0):
    return Restore(at=T0 + timedelta(days=day), bytes=size, seconds=seconds)


def history(*restores, name="atis", engine=EngineName.POSTGRESQL, size=GIB):
    return History(database=name, engine=engine, bytes=size, restores=restores)


def of_atis(*histories):
    return recoveries(histories)["atis"]


def test_nothing_was_measured_and_nothing_is_invented():
    other_engine = history(restore(9.0), name="demo", engine=EngineName.SQLITE)
    assert of_atis(history(), other_engine) == UNKNOWN
    assert UNKNOWN.seconds is None


def test_its_own_restores_in_proportion_to_its_size_now():
    found = of_atis(history(restore(60.0, GIB), restore(90.0, 2 * GIB, day=1), size=4 * GIB))
    assert (found.seconds, found.basis) == (pytest.approx(4 * (60 + 45) / 2), Basis.MEASURED)
    assert found.explanation == "measured in 2 restores of 1.0 GiB to 2.0 GiB, the last on 2026-11-23"


def test_one_slow_night_moves_it_little_and_old_ones_are_forgotten():
    nights = [restore(60.0, day=day) for day in range(COUNTED)]
    assert of_atis(history(*nights, restore(3600.0, day=99))).seconds == pytest.approx(60)
    before = [restore(7200.0, day=-day) for day in range(1, 99)]
    assert of_atis(history(*before, *nights)).seconds == pytest.approx(60)


def test_those_of_others_only_until_it_has_its_own():
    other = history(restore(30.0, GIB), name="survey")
    found = of_atis(history(size=3 * GIB), other)
    assert (found.seconds, found.basis) == (pytest.approx(90), Basis.ESTIMATED)
    assert found.explanation == "estimated from 1 restore of 1.0 GiB of other postgresql databases"
    assert of_atis(history(restore(5.0)), other).seconds == pytest.approx(5)


RESTORES = st.lists(
    st.builds(restore, st.floats(0, 1e6, allow_subnormal=False), st.integers(0, 1 << 50), day=st.integers(0, 999)),
    max_size=9,
)


@some
@given(RESTORES, st.integers(0, 1 << 50), st.randoms())
def test_it_lies_between_what_was_measured_and_no_order_changes_it(restores, size, random):
    found = of_atis(history(*restores, size=size))
    scaled = [size * each.seconds / each.bytes for each in restores if each.bytes]
    if scaled:
        assert min(scaled) * 0.999 <= found.seconds <= max(scaled) * 1.001
    else:
        assert found == UNKNOWN
    random.shuffle(restores)
    assert of_atis(history(*restores, size=size)).seconds == pytest.approx(found.seconds)


@some
@given(RESTORES, st.integers(0, 1 << 40), st.integers(0, 1 << 40))
def test_a_larger_database_never_takes_less(restores, size, more):
    small, large = (of_atis(history(*restores, size=each)).seconds for each in (size, size + more))
    assert (small is None) == (large is None)
    assert small is None or small <= large
