"""What differs is told, by name, and what does not is not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amanat.domain.comparison import Content, Finding, compare, content_of
from amanat.domain.description import INFORMATIONAL, DatabaseObject, Description, LargeObjects
from amanat.domain.model import Facts, TableRows

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
KINDS = ["table", "column", "index", "sequence", "access", "function"]
HASHES = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
OBJECTS = st.builds(
    DatabaseObject,
    kind=st.sampled_from(KINDS),
    within=NAMES | st.just(""),
    name=NAMES,
    definition=st.text(max_size=12) | st.sampled_from(["x" * 71, "x" * 72, "y" * 500, f"sha256:{'0' * 64}"]),
)
NUMBERS = st.dictionaries(NAMES, st.integers(-(2**64), 2**64), max_size=4)
ROWS = st.builds(
    TableRows, schema=NAMES, name=NAMES, rows=st.integers(0, 9), bytes=st.integers(0, 9), sha256=HASHES
)


def unique(key):
    return lambda items: tuple({key(item): item for item in items}.values())


DESCRIPTIONS = st.builds(
    Description,
    dialect=st.sampled_from(["SQLite", "PostgreSQL 16"]),
    objects=st.lists(OBJECTS, max_size=8).map(unique(lambda item: item.place)),
    sequences=NUMBERS,
    descending=st.lists(NAMES, max_size=3).map(tuple),
    collations=st.dictionaries(NAMES, NAMES, max_size=3),
)
CONTENTS = st.builds(
    Content,
    description=st.none() | DESCRIPTIONS,
    rows=st.none() | st.lists(ROWS, max_size=4).map(unique(lambda rows: (rows.schema, rows.name))),
    large_objects=st.none() | st.builds(LargeObjects, count=st.integers(0, 3), sha256=HASHES),
)


@given(CONTENTS)
def test_nothing_differs_from_itself(content):
    compared = compare(content, content, roles=True)
    assert compared.differences == ()
    unknown = [content.description, content.rows, content.large_objects].count(None)
    assert len(compared.not_compared) == unknown


@given(CONTENTS.filter(lambda content: content.description))
def test_a_manifest_knows_enough_to_compare(content):
    kept = replace(content, description=content.description.compact)
    assert compare(kept, content, roles=True).differences == ()
    assert compare(content, kept, roles=True).differences == ()
    assert kept.description.fingerprint == content.description.fingerprint
    assert kept.description.compact == kept.description


@given(DESCRIPTIONS.filter(lambda description: description.objects), st.data())
def test_each_object_that_is_missing_unexpected_or_changed_is_told(description, data):
    victim = data.draw(st.sampled_from(description.objects))
    rest = tuple(item for item in description.objects if item is not victim)
    changed = replace(victim, definition=f"{victim.definition} changed")
    for other, finding in (
        ((), Finding.MISSING),
        ((changed,), Finding.DIFFERS),
    ):
        spoilt = replace(description, objects=(*rest, *other))
        compared = compare(of(description), of(spoilt), roles=True)
        back = compare(of(spoilt), of(description), roles=True)
        assert (victim.kind, victim.qualified, finding) in named(compared)
        back_finding = Finding.UNEXPECTED if finding is Finding.MISSING else finding
        assert (victim.kind, victim.qualified, back_finding) in named(back)
        assert (spoilt.fingerprint == description.fingerprint) == (victim.kind in INFORMATIONAL)
        without_roles = compare(of(description), of(spoilt))
        assert bool(named(without_roles)) == (victim.kind not in INFORMATIONAL)


@given(DESCRIPTIONS)
def test_of_two_dialects_names_alone_are_compared(description):
    other = replace(
        description,
        dialect="PostgreSQL 18",
        objects=tuple(replace(item, definition="another print") for item in description.objects),
    )
    compared = compare(of(description), of(other), roles=True)
    assert compared.differences == ()
    assert [gap for gap in compared.caveats if "print them differently" in gap]
    fewer = replace(other, objects=other.objects[1:])
    assert len(compare(of(description), of(fewer), roles=True).differences) == min(1, len(description.objects))


@given(st.integers(-9, 9), st.integers(-9, 9), st.booleans())
def test_a_sequence_may_be_ahead_but_not_behind(expected, found, down):
    ours = Description(dialect="SQLite", objects=(), sequences={"s": expected}, descending=("s",) if down else ())
    behind = found > expected if down else found < expected
    compared = compare(of(ours), of(replace(ours, sequences={"s": found})))
    assert named(compared) == ([("value of sequence", "s", Finding.DIFFERS)] if behind else [])
    gone = compare(of(ours), of(replace(ours, sequences={})))
    assert named(gone) == [("value of sequence", "s", Finding.MISSING)]


@pytest.mark.parametrize(("found", "told"), [({"database": "2.31"}, "2.31"), ({}, "none")])
def test_a_collation_of_another_version_or_of_none_is_drift(found, told):
    ours = Description(dialect="PostgreSQL 16", objects=(), collations={"database": "2.28"})
    compared = compare(of(ours), of(replace(ours, collations=found)))
    assert [item.describe() for item in compared.differences] == [
        f"version of collation database: expected 2.28, found {told}"
    ]
    assert compared.is_drift
    assert compare(of(replace(ours, collations={})), of(ours)).differences == ()


@given(st.lists(ROWS, min_size=1, max_size=4).map(unique(lambda rows: (rows.schema, rows.name))), st.data())
def test_rows_that_differ_are_told_by_table(rows, data):
    victim = data.draw(st.sampled_from(rows))
    rest = tuple(item for item in rows if item is not victim)
    for other in ((), (replace(victim, rows=victim.rows + 1),), (replace(victim, sha256="f" * 63 + "g"),)):
        compared = compare(Content(description=None, rows=rows), Content(description=None, rows=(*rest, *other)))
        assert len(compared.differences) == 1
        assert compared.differences[0].kind == "rows of"


def test_what_belongs_to_a_missing_table_is_not_told_again():
    table = DatabaseObject(kind="table", within="public", name="users", definition="")
    column = DatabaseObject(kind="column", within="public.users", name="id", definition="int")
    rows = (TableRows(schema="public", name="users", rows=1, bytes=1, sha256="0" * 64),)
    full = Content(description=Description(dialect="d", objects=(table, column)), rows=rows)
    compared = compare(full, Content(description=Description(dialect="d", objects=()), rows=()))
    assert [difference.describe() for difference in compared.differences] == ["table public.users: missing"]


def test_facts_of_a_dump_that_nobody_read_say_that_rows_are_not_compared():
    facts = Facts(engine_version="16", source_bytes=1, tables=("public.users",))
    full = Content(description=None, rows=(), large_objects=LargeObjects(count=0, sha256="0"))
    gaps = compare(content_of(facts), full).not_compared
    assert [gap.split(":")[0] for gap in gaps] == ["the schema", "rows of tables", "large objects"]


def of(description):
    return Content(description=description, rows=())


def named(compared):
    return [(item.kind, item.name, item.finding) for item in compared.differences]
