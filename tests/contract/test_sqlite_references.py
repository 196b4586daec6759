"""Broken references are counted as SQLite's own check counts them, only faster; the check is the judge."""

import sqlite3
from contextlib import closing

import pytest

from amanat.engines.sqlite.references import foreign_key_violations

PARENT = "CREATE TABLE p (id INTEGER PRIMARY KEY, other TEXT UNIQUE); INSERT INTO p VALUES (1, 'a'), (2, 'b'), (30, 'c');"
VALUES = "(1), (2), (3), (NULL), ('1'), ('1.0'), ('x'), (' 2 '), (2.0), (2.5), (x'31'), (9e18), ('0x1'), (30), (3)"
INDEX = "CREATE INDEX c_p ON c (p);"
SCHEMAS = {
    "no type": f"{PARENT} CREATE TABLE c (p REFERENCES p);",
    "integer": f"{PARENT} CREATE TABLE c (p INTEGER REFERENCES p (id));",
    "text": f"{PARENT} CREATE TABLE c (p TEXT REFERENCES p (ID));",
    "text without case": f"{PARENT} CREATE TABLE c (p TEXT COLLATE NOCASE REFERENCES p (ID));",
    "real": f"{PARENT} CREATE TABLE c (p REAL REFERENCES P (id));",
    "blob": f"{PARENT} CREATE TABLE c (p BLOB REFERENCES p (id));",
    "another key": f"{PARENT} CREATE TABLE c (p TEXT REFERENCES p (other));",
    "no parent": "CREATE TABLE c (p REFERENCES gone (id));",
    "itself": "CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES c (id));",
    "text key": "CREATE TABLE p (id TEXT PRIMARY KEY); INSERT INTO p VALUES ('1'), ('x'); CREATE TABLE c (p REFERENCES p);",
    "varint key": "CREATE TABLE p (id BIGINT PRIMARY KEY); INSERT INTO p VALUES (1), ('x'); CREATE TABLE c (p REFERENCES p);",
    "without rowid": "CREATE TABLE p (id INT PRIMARY KEY) WITHOUT ROWID; INSERT INTO p VALUES (2); CREATE TABLE c (p REFERENCES p);",
    "descending": "CREATE TABLE p (id INTEGER PRIMARY KEY DESC); INSERT INTO p VALUES (2); CREATE TABLE c (p REFERENCES p);",
    "two keys": f"{PARENT} CREATE TABLE c (p REFERENCES p (id) REFERENCES p (other));",
    "no key": "CREATE TABLE p (id); CREATE TABLE c (p REFERENCES p (id));",
    "a view": "CREATE VIEW p AS SELECT 1 AS id; CREATE TABLE c (p REFERENCES p (id));",
}


def judged(connection):
    try:
        return len(connection.execute("PRAGMA foreign_key_check").fetchall())
    except sqlite3.OperationalError:  # foreign key mismatch
        return None


@pytest.mark.parametrize(
    "index", ["", INDEX, "CREATE INDEX part ON c (p) WHERE p > 2;"], ids=["", "index", "partial"]
)
@pytest.mark.parametrize("name", SCHEMAS)
def test_it_is_what_sqlites_own_check_finds(name, index):
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(f"{SCHEMAS[name]} {index} INSERT INTO c (p) VALUES {VALUES};")
        expected = judged(connection)
        assert foreign_key_violations(connection) == expected
        assert expected is None or expected > 0


def test_keys_of_several_columns_and_odd_names():
    script = """
    CREATE TABLE "p p" (a, b, PRIMARY KEY (a, b)); INSERT INTO "p p" VALUES (1, 2);
    CREATE TABLE "c""c" (a, b, "select" INTEGER REFERENCES "k k" ("from"), FOREIGN KEY (a, b) REFERENCES "p p");
    CREATE TABLE "k k" ("from" INTEGER PRIMARY KEY); INSERT INTO "k k" VALUES (7);
    CREATE TABLE "o'o" ("select" INTEGER REFERENCES "k k" ("from")); CREATE INDEX i ON "o'o" ("select");
    INSERT INTO "c""c" VALUES (1, 2, 7), (1, 3, 7), (1, NULL, 8), (1, 3, 8);
    INSERT INTO "o'o" VALUES (7), (8), (8), (NULL);
    """
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script)
        assert foreign_key_violations(connection) == judged(connection) == 6


def test_an_unchecked_schema_is_no_failure():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(
            "CREATE TABLE p (a); CREATE TABLE c (x REFERENCES p (a)); INSERT INTO c VALUES (1)"
        )
        assert foreign_key_violations(connection) is None
