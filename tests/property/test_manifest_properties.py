"""Whatever JSON lies in a manifest: an IntegrityError, or a manifest that says exactly the same again."""

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from amanat.domain.description import DatabaseObject, Description
from amanat.domain.errors import IntegrityError
from amanat.domain.manifest import Companion, Manifest, decode, encode
from amanat.domain.model import EngineName, Facts, ProofLevel, Scope
from tests.support.snapshots import snapshot

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ANY_TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["\ud800", "2026-11-23T02:15:00", "../x", "0" * 64, "0" * 12])
)
NUMBERS = st.one_of(st.integers(), st.sampled_from([-1, 0, 2**63 - 1, 2**63, 2**70]))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), ANY_TEXTS)
JSON = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ANY_TEXTS, inner, max_size=3))
)
NAMES = st.from_regex(r"[A-Za-z0-9əş][A-Za-z0-9əş ._-]{0,20}", fullmatch=True)
SIZES = st.integers(0, 2**63 - 1)
DESCRIPTIONS = st.builds(
    Description,
    dialect=TEXTS,
    objects=st.lists(
        st.builds(DatabaseObject, kind=TEXTS, within=TEXTS, name=TEXTS, definition=TEXTS | st.just("long" * 30)),
        max_size=4,
        unique_by=lambda item: item.place,
    ).map(tuple),
    sequences=st.dictionaries(TEXTS, st.integers(-(2**64), 2**64), max_size=2),
    descending=st.lists(TEXTS, max_size=2).map(tuple),
    collations=st.dictionaries(TEXTS, TEXTS, max_size=2),
).map(lambda description: description.compact)
HASHES = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC))
LISTS = st.lists(TEXTS, max_size=3).map(tuple)


@st.composite
def manifests(draw):
    database, file = draw(NAMES), draw(NAMES)
    companions = draw(st.sampled_from([(), (f"{file}.globals.sql",)]))
    return Manifest(
        snapshot=snapshot(
            draw(TIMES),
            id=draw(st.from_regex(r"[0-9a-f]{12}", fullmatch=True)),
            database=database,
            path=f"{database}/{file}",
            engine=draw(st.sampled_from(EngineName)),
            environment=draw(TEXTS),
            policy=draw(NAMES),
            name=draw(NAMES),
            purpose=draw(TEXTS),
            by=draw(TEXTS),
            scope=Scope(tables=draw(LISTS), exclude=draw(LISTS), exclude_data=draw(LISTS)),
            size_bytes=draw(SIZES),
            source_bytes=(source_bytes := draw(SIZES)),
            sha256=draw(HASHES),
            scheduled_at=draw(st.none() | TIMES),
            proof=draw(st.sampled_from(ProofLevel)),
            proof_at=draw(st.none() | TIMES),
            companions=tuple(f"{database}/{name}" for name in companions),
        ),
        facts=Facts(
            engine_version=draw(TEXTS),
            source_bytes=source_bytes,
            tables=draw(LISTS),
            counts=draw(st.dictionaries(TEXTS, SIZES, max_size=3)),
            description=draw(st.none() | DESCRIPTIONS),
            extra=draw(
                st.dictionaries(TEXTS, st.none() | st.booleans() | SIZES | TEXTS | st.lists(SIZES), max_size=3)
            ),
        ),
        companions=tuple(Companion(file=name, size_bytes=draw(SIZES), sha256=draw(HASHES)) for name in companions),
        tools=draw(st.dictionaries(TEXTS, TEXTS, max_size=2)),
        archive_version=draw(TEXTS),
        recipe=draw(LISTS),
        warnings=draw(LISTS),
    )


def spots(value):
    """Every (container, key) of a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items):
        yield value, key
        yield from spots(inner)


def canonical(value):
    """Tells ``true`` from ``1`` and ``1.0``, unlike ``==``."""
    return json.dumps(value, sort_keys=True)


def read_or_refused(data, folder):
    before = canonical(data)
    try:
        made = decode(data, f"{folder}/a.manifest.json")
    except IntegrityError:
        return
    assert canonical(encode(made)) == before


@given(manifests())
def test_each_manifest_survives(made):
    assert decode(json.loads(json.dumps(encode(made))), f"{made.snapshot.database}/a.manifest.json") == made


@given(JSON, st.sampled_from(["atis", ""]))
def test_any_json(data, folder):
    read_or_refused(data, folder)


@given(manifests(), st.data())
def test_a_good_manifest_with_one_value_changed_added_or_removed(made, draw):
    data = json.loads(json.dumps(encode(made)))
    container, key = draw.draw(st.sampled_from(list(spots(data))))
    match draw.draw(st.sampled_from(["change", "add", "remove"])):
        case "add" if isinstance(container, dict):
            container[draw.draw(ANY_TEXTS)] = draw.draw(JSON)
        case "remove":
            del container[key]
        case _:
            container[key] = draw.draw(JSON)
    read_or_refused(data, made.snapshot.database)
