"""A manifest that was edited, broken or made by somebody hostile: an error that names the fault, never a value."""

import copy
import json
from datetime import UTC, datetime

import pytest

from amanat.domain.description import DatabaseObject, Description
from amanat.domain.errors import IntegrityError
from amanat.domain.manifest import Companion, Manifest, decode, encode
from amanat.domain.model import Facts, Scope
from tests.support.snapshots import snapshot

T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
GOOD = Manifest(
    snapshot=snapshot(
        T,
        path="atis/öncə şəkil.dump",
        companions=("atis/öncə şəkil.dump.globals.sql",),
        scope=Scope(tables=("users", "survey*")),
        environment="prod/eu",
        purpose="two\nlines",
        scheduled_at=T.replace(microsecond=7),
        proof_run="0123456789ab",
    ),
    facts=Facts(
        engine_version="15.4",
        source_bytes=100,
        tables=("public.users",),
        counts={"users": 3},
        description=Description(
            dialect="PostgreSQL 15",
            objects=(
                DatabaseObject(kind="column", within="public.users", name="id", definition="1: bigint"),
                DatabaseObject(kind="table", within="public", name="users", definition=""),
            ),
            sequences={"public.users_id_seq": 4},
            collations={"database": "2.31"},
        ),
        extra={"table_oids": {"public.users": 16400}, "globals": True},
    ),
    companions=(Companion(file="öncə şəkil.dump.globals.sql", size_bytes=5, sha256="a" * 64),),
    tools={"pg_dump": "16.1"},
    archive_version="1.15",
    recipe=("createdb restored",),
    warnings=("foreign tables are kept without rows",),
)


def changed(where, value):
    data = json.loads(json.dumps(encode(GOOD)))
    inner = data
    *parents, last = where.split(".")
    for key in parents:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    inner[last] = value
    return data


def refused(data, folder="atis"):
    with pytest.raises(IntegrityError) as caught:
        decode(data, f"{folder}/a.dump.manifest.json")
    assert caught.value.hint
    json.dumps(caught.value.message, ensure_ascii=False).encode()
    return caught.value.message


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_what_was_written_is_read():
    assert decode(json.loads(json.dumps(encode(GOOD))), "atis/a.dump.manifest.json") == GOOD


@pytest.mark.parametrize(
    ("where", "values"),
    {
        "schema_version": [0, 2, True, 1.0, "1", None],
        "id": [None, "", 12, "0123456789a", "0123456789abc", "0123456789AB", "0123456789ab\n", "٠١٢٣٤٥٦٧٨٩٠١"],
        "database": [None, "", [], {}],
        "engine": [None, "oracle", [], {}],
        "environment": [None, 1, {}],
        "policy": [None, "", "a/b", "a\nb", "a\0b", "a\x1b[2Jb"],
        "name": [None, "", "a/b", "..", "a\nb", "\x7f", "\u202e", 5],
        "purpose": [None, 5, "\ud800"],
        "by": [None, {}, ["root"], "\udcff"],
        "scope": [None, [], {}, {"tables": []}],
        "scope.tables": [None, "users", [1], [None], [["users"]], {"users": 1}],
        "scope.also": [["users"]],
        "scheduled_at": [0, "", "2026-11-23", "2026-11-23T02:15:00", {}],
        "taken_at": [
            None, 0, "yesterday", "2026-11-23T02:15:00", "2026-11-23T02:15:00+00:00", "2026-W48-1T02:15:00Z",
            "0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
        ],
        "artefact": [None, [], {}, "a.dump"],
        "artefact.file": [
            None, "", ".", "..", "/etc/passwd", "../x.dump", "a\0.dump", "a\n.dump", ".hidden.dump", "x" * 256,
            "öncə şəkil.dump.manifest.json", "another.dump",
        ],
        "artefact.size_bytes": [None, "abc", "5", 5.0, True, -1, 2**63, 2**70],
        "artefact.sha256": [None, "", "0" * 63, "0" * 65, "g" * 64, "A" * 64],
        "artefact.archive_version": [None, 1.15],
        "artefact.also": [1],
        "companions": [None, {}, [None], [[]], [{}], "x"],
        "companions.0.file": [
            None, 1, "öncə şəkil.dump", "other.dump.globals.sql", "öncə şəkil.dumpling", "../öncə şəkil.dump.x",
            "öncə şəkil.dump.manifest.json", "öncə şəkil.dump.a/b", "öncə şəkil.dump.",
        ],
        "companions.0.size_bytes": [None, False, -5, 2**64],
        "companions.0.sha256": ["", "z" * 64],
        "companions.0.also": [1],
        "facts": [None, [], {}],
        "facts.engine_version": [None, 15],
        "facts.source_bytes": [None, -1, 2**70, "1"],
        "facts.tables": [None, "users", [1]],
        "facts.counts": [None, [], {"users": -1}, {"users": "3"}, {"users": None}],
        "facts.extra": [None, [], nested(20), {"x": nested(20)}, {"x": nested(5000)}, {"x": float("nan")}, {"\ud800": 1}],
        "facts.also": [1],
        "facts.description": [None, [], {}, "x"],
        "facts.description.fingerprint": [None, "", "0" * 64],
        "facts.description.objects": [None, [], {}, {"table": {"public": {"users": 1}}}, {"table": {}}, {"table": []}],
        "facts.description.objects.column": [{}, {"public.users": {"id": "2: bigint"}}, {"\ud800": {"id": "1"}}],
        "facts.description.sequences": [None, [], {"s": 1.0}, {"s": True}, {"s": 2**65}, {"s": "1"}],
        "facts.description.descending": [None, {}, [1]],
        "facts.description.collations": [None, [], {"database": None}],
        "facts.description.also": [1],
        "proof": [None, [], {}, "readable"],
        "proof.level": [None, "proven", 2, []],
        "proof.required": [None, "sure"],
        "proof.at": [0, "2026-11-23T02:15:00"],
        "proof.run": [1, {}, "\udc80"],
        "tools": [None, [], {"pg_dump": 16}],
        "warnings": [None, "x", [1]],
        "restore": [None, "cp a b", [None]],
        "also": [1],
    }.items(),
)  # fmt: skip
def test_no_key_takes_another_kind_of_value(where, values):
    for value in values:
        said = refused(changed(where, value))
        assert "atis" in said
        assert where.split(".")[0] in said or "\\ud" in said, (value, said)


@pytest.mark.parametrize("where", [*encode(GOOD), *(f"proof.{key}" for key in encode(GOOD)["proof"])])
def test_no_key_may_be_missing(where):
    data = changed(where, 0)
    parent = data["proof"] if "." in where else data
    del parent[where.rsplit(".", 1)[-1]]
    assert f"{where} is missing" in refused(data)


@pytest.mark.parametrize(
    "data", [None, [], "x", 1, 1.5, True, {}, [{}], nested(5000)], ids=lambda data: type(data).__name__
)
def test_what_is_no_manifest_at_all(data):
    refused(data)


@pytest.mark.parametrize("folder", ["other", "", ".", "atis/inner", "inner/atis", "..", "\udcff"])
def test_it_must_lie_in_the_folder_of_its_database(folder):
    said = refused(encode(GOOD), folder)
    assert repr(folder) in said
    assert "'atis'" in said


@pytest.mark.parametrize("name", [".", "..", ".staging", "a/b", "a\nb"])
def test_a_database_is_one_plain_folder(name):
    assert "database" in refused(changed("database", name), name)


def test_two_companions_never_share_a_file():
    data = copy.deepcopy(encode(GOOD))
    data["companions"] *= 2
    assert "companions" in refused(data)


def test_the_error_names_the_key_and_what_stands_there():
    assert refused(changed("artefact.size_bytes", "abc")) == (
        "manifest 'atis/a.dump.manifest.json' cannot be read: artefact.size_bytes is 'abc', not a whole number from 0 to 2^63-1"
    )


def test_a_description_with_an_object_edited_is_told_by_its_fingerprint():
    edited = changed("facts.description.objects.column", {"public.users": {"id": "1: integer"}})
    assert "facts.description.fingerprint is not that of its objects" in refused(edited)


def test_a_manifest_of_a_release_that_described_nothing_is_read():
    data = json.loads(json.dumps(encode(GOOD)))
    del data["facts"]["description"]
    made = decode(data, "atis/a.dump.manifest.json")
    assert made.facts.description is None
    assert encode(made) == data
