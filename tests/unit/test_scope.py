"""Patterns against tables: exact examples, and what must hold for any of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amanat.domain.errors import SourceError
from amanat.domain.model import Scope
from amanat.domain.scope import Table, matching, named, select

TABLES = (
    Table(schema="public", name="users"),
    Table(schema="public", name="surveys"),
    Table(schema="public", name="survey_answers"),
    Table(schema="old", name="users"),
    Table(schema="public", name="log"),
    Table(schema="public", name="log_2026", ancestors=("public.log",)),
    Table(schema="public", name="log_2026_11", ancestors=("public.log_2026", "public.log")),
)
NAMES = st.text("ab.*?[]_A\"\n'", min_size=1, max_size=5)
MANY = st.lists(
    st.builds(Table, name=NAMES, schema=st.sampled_from(["", "public", "b.c"])), unique=True, max_size=8
)


def names(tables):
    return [table.qualified for table in tables]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("users", ["public.users", "old.users"]),
        ("public.users", ["public.users"]),
        ("survey*", ["public.surveys", "public.survey_answers"]),
        ("old.*", ["old.users"]),
        ("*.users", ["public.users", "old.users"]),
        ("log", ["public.log", "public.log_2026", "public.log_2026_11"]),
        ("log_2026", ["public.log_2026", "public.log_2026_11"]),
        ("log_2026_??", ["public.log_2026_11"]),
        ("USERS", []),
        ("user", []),
        ("ublic.users", []),
    ],
)
def test_what_a_pattern_means(pattern, found):
    assert names(matching([pattern], TABLES)) == found


def test_tables_exclude_and_exclude_data_work_together():
    scope = Scope(tables=("public.*",), exclude=("survey*",), exclude_data=("log_2026", "surveys"))
    selection = select(scope, TABLES)
    assert names(selection.kept) == ["public.users", "public.log", "public.log_2026", "public.log_2026_11"]
    assert names(selection.without_data) == ["public.log_2026", "public.log_2026_11"]
    assert names(selection.with_data) == ["public.users", "public.log"]


@pytest.mark.parametrize("part", ["tables", "exclude", "exclude_data"])
def test_all_patterns_without_a_match_are_named_with_near_ones(part):
    with pytest.raises(SourceError) as failure:
        select(Scope(**{part: ("users", "survays", "nothing*", "public.user")}), TABLES)
    message = failure.value.message
    assert "'survays', did you mean surveys" in message
    assert "'nothing*'" in message
    assert "'public.user', did you mean public.users" in message
    assert "'users'" not in message


def test_nothing_left_is_an_error():
    with pytest.raises(SourceError, match="leaves no table"):
        select(Scope(tables=("users",), exclude=("users",)), TABLES)
    with pytest.raises(SourceError, match="no table to take"):
        select(Scope(), [])


def test_named_wants_exactly_one():
    assert named("surveys", TABLES) == TABLES[1]
    assert named("old.users", TABLES) == TABLES[3]
    with pytest.raises(SourceError, match=r"public\.users, old\.users") as failure:
        named("users", TABLES)
    assert "schema.table" in failure.value.hint
    with pytest.raises(SourceError, match="did you mean surveys"):
        named("surveyss", TABLES)


def test_without_schema_the_name_is_all():
    assert select(Scope(tables=("a.b",)), [Table(name="a.b"), Table(name="ab")]).kept == (Table(name="a.b"),)


@given(MANY)
def test_no_two_tables_share_a_qualified_name(tables):
    with_schema = [table for table in tables if table.schema]
    assert len({table.qualified for table in with_schema}) == len(with_schema)


@given(MANY)
def test_every_table_is_meant_by_its_own_name(tables):
    for table in tables:
        assert table in matching([table.name], tables)


@given(MANY, st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3), st.lists(NAMES, max_size=3))
def test_a_selection_is_a_part_of_the_tables_or_says_why_not(tables, wanted, excluded, bare):
    scope = Scope(tables=tuple(wanted), exclude=tuple(excluded), exclude_data=tuple(bare))
    left = set(matching(wanted, tables) if wanted else tables) - set(matching(excluded, tables))
    if not left or not all(matching([pattern], tables) for pattern in (*wanted, *excluded, *bare)):
        with pytest.raises(SourceError):
            select(scope, tables)
        return
    selection = select(scope, tables)
    assert set(selection.kept) == left
    assert set(selection.without_data) == left & set(matching(bare, tables))
    assert [table for table in tables if table in left] == list(selection.kept)
