"""What a SQLite snapshot tells of its database, and that a drill finds each planted defect by it."""

import contextlib
import sqlite3

import pytest

from amanat.domain.comparison import Content, compare, content_of
from amanat.domain.model import ProofLevel, Scope
from amanat.domain.policy import Compression
from amanat.engines.sqlite import rows
from amanat.engines.sqlite.description import describe
from tests.support.sqlite_databases import build, take

SCHEMA = """
PRAGMA user_version = 77; PRAGMA application_id = 4242;
CREATE TABLE migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, migration varchar NOT NULL, batch int NOT NULL);
INSERT INTO migrations (migration, batch) VALUES ('0001_users', 1), ('0003_x', 2), ('0002_y', 2);
CREATE TABLE "Ödəniş x.y" (id INTEGER PRIMARY KEY, amount DECIMAL DEFAULT 0 CHECK (amount >= 0), note TEXT COLLATE NOCASE,
    doubled AS (amount * 2) STORED, UNIQUE (note));
INSERT INTO "Ödəniş x.y" (amount, note) VALUES (1, 'bir'), (1.5, NULL), (2, x'00ff');
CREATE TABLE pairs (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO pairs VALUES ('z', 1), ('a', 2), ('b', 1);
CREATE TABLE covered (a, b); CREATE INDEX covering ON covered (b, a);
INSERT INTO covered VALUES (1, 9), (2, 8), (1.0, 7), ('1', 6), (1e999, 5), (9007199254740993, 4);
CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('söz bir'), ('söz iki');
CREATE VIEW notes AS SELECT note FROM "Ödəniş x.y";
CREATE TRIGGER counted AFTER INSERT ON pairs BEGIN DELETE FROM covered; END;
"""
DEFECTS = {
    "DELETE FROM migrations WHERE id = 1": "rows of migrations: expected 3 rows",
    "UPDATE covered SET a = 1 WHERE a = 1.0 AND typeof(a) = 'real'": "rows of covered: expected 6 rows",
    "DROP INDEX covering": "index covered.covering: missing",
    "DROP TRIGGER counted": "trigger pairs.counted: missing",
    "DROP VIEW notes": "view notes: missing",
    "UPDATE sqlite_sequence SET seq = 1": "value of sequence migrations: expected 4 as the next, found 2",
    'ALTER TABLE "Ödəniş x.y" ADD COLUMN late': "table Ödəniş x.y: expected ",
    "CREATE TABLE added (x)": "table added: unexpected",
    "DROP TABLE pairs": "table pairs: missing",
    "INSERT INTO words VALUES ('söz üç')": "rows of words_content: expected 2 rows",
}


def found(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        digests = rows.read(connection)
        return Content(description=describe(connection), rows=digests)


def differences(artefact, path):
    compared = compare(content_of(artefact.facts), found(path))
    assert compared.not_compared == ("large objects: not told of on one side",)
    return [difference.describe() for difference in compared.differences]


@pytest.fixture
def taken(tmp_path):
    return take(build(tmp_path / "app.sqlite", SCHEMA), tmp_path / "run", proof=ProofLevel.RESTORED)


def test_the_copy_is_what_its_facts_say(taken):
    assert differences(taken, taken.path) == []
    assert found(taken.path).description.fingerprint == taken.facts.description.fingerprint


def test_facts_in_terms_of_sqlite(taken):
    extra = taken.facts.extra
    assert (extra["user_version"], extra["application_id"], extra["encoding"]) == (77, 4242, "UTF-8")
    assert extra["schema_version"] > 0 and extra["page_count"] > 0
    assert extra["migrations"] == [
        {"framework": "laravel", "table": "migrations", "count": 3, "name": "0003_x", "batch": "2"}
    ]


@pytest.mark.parametrize(("defect", "named"), DEFECTS.items())
def test_each_planted_defect_is_named(taken, defect, named):
    with contextlib.closing(sqlite3.connect(taken.path)) as connection, connection:
        connection.execute(defect)
    assert [line for line in differences(taken, taken.path) if line.startswith(named)]


def test_rows_are_read_only_where_a_proof_will_ask(tmp_path):
    source = build(tmp_path / "app.sqlite", SCHEMA)
    artefact = take(source, tmp_path / "run", proof=ProofLevel.READABLE)
    assert artefact.facts.rows == ()
    assert artefact.facts.description.objects
    gaps = compare(content_of(artefact.facts), found(artefact.path)).not_compared
    assert "rows of tables: not told of on one side" in gaps


@pytest.mark.parametrize("scope", [Scope(tables=("pairs", "covered")), Scope(exclude_data=("covered",))], ids=str)
def test_a_part_tells_of_itself(tmp_path, scope):
    source = build(tmp_path / "app.sqlite", SCHEMA)
    artefact = take(source, tmp_path / "run", scope, proof=ProofLevel.RESTORED)
    assert differences(artefact, artefact.path) == []
    assert next(table for table in artefact.facts.rows if table.name == "pairs").rows == 3


def test_a_compressed_copy_has_the_same_facts(tmp_path, taken):
    order = {"proof": ProofLevel.RESTORED, "compression": Compression(codec="zstd")}
    packed = take(tmp_path / "app.sqlite", tmp_path / "packed", **order)
    assert packed.facts.rows == taken.facts.rows
    assert packed.facts.description == taken.facts.description


def test_the_order_of_rows_is_that_of_the_table_and_not_of_an_index(tmp_path):
    plain = build(tmp_path / "a.sqlite", "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 9), (2, 8)")
    indexed = build(tmp_path / "b.sqlite", "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 9), (2, 8)")
    build(indexed, "CREATE INDEX i ON t (b, a)")
    assert found(plain).rows == found(indexed).rows


def test_text_that_is_no_utf_8_breaks_nothing(tmp_path):
    script = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'e97a' AS TEXT)), ('é'); PRAGMA writable_schema = ON;"
    source = build(tmp_path / "app.sqlite", script)
    with contextlib.closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = CAST(CAST(sql AS BLOB) || x'2d2de9' AS TEXT)")
    artefact = take(source, tmp_path / "run", proof=ProofLevel.RESTORED)
    assert differences(artefact, artefact.path) == []
    (table,) = artefact.facts.description.objects
    assert table.definition.endswith("--\\xe9")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE migrations (id, name)",
        "CREATE VIEW migrations AS SELECT 1 AS migration, 2 AS batch",
        "CREATE TABLE schema_migrations (version, dirty)",
    ],
)
def test_a_table_that_only_has_the_name_of_a_frameworks(tmp_path, sql):
    source = build(tmp_path / "app.sqlite", f"CREATE TABLE t (a); {sql}")
    assert take(source, tmp_path / "run").facts.extra["migrations"] == []
