"""How tables are shared out to several readers."""

from hypothesis import given
from hypothesis import strategies as st

from amanat.domain.scope import Table
from amanat.engines.postgresql.dumping.parallel import shares

MIB = 1024 * 1024


def tables(*sizes: int) -> dict[Table, int]:
    return {Table(schema="s", name=f"t{number}"): size for number, size in enumerate(sizes)}


def names(shared: list[list[Table]]) -> list[list[str]]:
    return [[table.name for table in share] for share in shared]


def test_the_largest_first_to_whoever_has_least() -> None:
    sizes = tables(*(size * MIB for size in (50, 40, 30, 20, 10)))
    assert names(shares(sizes, 0, 2)) == [["t0", "t3", "t4"], ["t1", "t2"]]


def test_who_reads_the_large_objects_has_them_already() -> None:
    sizes = tables(50 * MIB, 40 * MIB)
    assert names(shares(sizes, 100 * MIB, 2)) == [[], ["t0", "t1"]]


def test_small_tables_are_not_worth_a_connection() -> None:
    assert names(shares(tables(MIB, MIB, MIB), 0, 4)) == [["t0", "t1", "t2"]]


def test_nobody_is_started_for_nothing() -> None:
    assert names(shares(tables(100 * MIB), 0, 8)) == [["t0"]]


@given(st.lists(st.integers(0, 100 * MIB), max_size=30), st.integers(0, 500 * MIB), st.integers(1, 16))
def test_every_table_is_read_once(sizes: list[int], others: int, count: int) -> None:
    known = tables(*sizes)
    shared = shares(known, others, count)
    assert sorted(table.name for share in shared for table in share) == sorted(table.name for table in known)
    assert 1 <= len(shared) <= count
    assert all(shared[1:])
