"""``amanat restore``: beside everything that is there, whole or in part."""

import contextlib
import json
import sqlite3

import psycopg
import pytest

from tests.support.applications import PostgresqlApplication, SqliteApplication

pytestmark = pytest.mark.slow


class OfSqlite:
    def __init__(self, request, folder):
        del request
        self.application = SqliteApplication(folder)
        self.folder = folder

    def name(self, word):
        return str(self.folder / f"{word}.sqlite")

    def exists(self, word):
        return (self.folder / f"{word}.sqlite").exists()

    def ask(self, word, sql):
        with contextlib.closing(sqlite3.connect(self.name(word))) as connection:
            return connection.execute(sql).fetchall()

    def tables(self, word):
        return {name for (name,) in self.ask(word, "SELECT name FROM sqlite_schema WHERE type = 'table'")}


class OfPostgresql:
    def __init__(self, request, folder):
        self.application = PostgresqlApplication(folder, request.getfixturevalue("postgres"))
        self.prefix = self.application.conninfo["dbname"]

    def name(self, word):
        return f"{self.prefix}_{word}"

    def exists(self, word):
        found = "SELECT 1 FROM pg_database WHERE datname = %s"
        with psycopg.connect(**self.application.conninfo) as connection:
            return connection.execute(found, [self.name(word)]).fetchone() is not None

    def ask(self, word, sql):
        with psycopg.connect(**{**self.application.conninfo, "dbname": self.name(word)}) as connection:
            return connection.execute(sql).fetchall()

    def tables(self, word):
        return {name for (name,) in self.ask(word, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


@pytest.fixture(params=[OfSqlite, OfPostgresql])
def subject(request, tmp_path):
    made = request.param(request, tmp_path)
    made.application.snapshot()
    return made


def test_it_stands_beside_and_what_exists_is_refused(subject):
    amanat, before = subject.application.amanat, subject.application.digests()
    subject.application.migrate_halfway()
    spoiled = subject.application.digests()
    done = amanat.json("restore", "latest", "--to", subject.name("look"), "--purpose=to look at it")
    assert any("equal to the facts" in line for line in done["checks"])
    assert subject.ask("look", "SELECT count(phone) FROM users") == [(500,)]
    assert subject.application.digests() == spoiled != before
    said = amanat.fails(4, "restore", "latest", "--to", subject.name("look"))
    assert subject.name("look") in said
    entries = amanat.query("SELECT outcome, purpose, detail FROM entries WHERE kind = 'restore' ORDER BY sequence")
    assert next(row["outcome"] for row in entries) == "succeeded"
    assert entries[0]["purpose"] == "to look at it"
    assert subject.name("look") in json.loads(entries[0]["detail"])["result"]


def test_only_some_tables(subject):
    subject.application.amanat.ok("restore", "latest", "--to", subject.name("part"), "--tables=users,migr*")
    assert subject.tables("part") == {"users", "migrations"}
    assert subject.ask("part", "SELECT count(*) FROM users") == [(500,)]


def test_without_rows(subject):
    subject.application.amanat.ok("restore", "latest", "--to", subject.name("bare"), "--schema-only")
    assert {"users", "surveys", "writes", "migrations"} <= subject.tables("bare")
    assert subject.ask("bare", "SELECT count(*) FROM users") == [(0,)]


def test_a_pattern_that_matches_nothing_makes_nothing(subject):
    done = subject.application.amanat.run("restore", "latest", "--to", subject.name("none"), "--tables=nope")
    assert done.returncode in {2, 3, 5}
    assert "nope" in done.stderr
    assert not subject.exists("none")


def spoil(artefact):
    spoiled = bytearray(artefact.read_bytes())
    spoiled[len(spoiled) // 2] ^= 1
    artefact.write_bytes(spoiled)


def test_a_damaged_snapshot_makes_nothing(subject):
    amanat = subject.application.amanat
    (row,) = amanat.json("list")
    spoil(amanat.store / row["path"])
    amanat.fails(7, "restore", "latest", "--to", subject.name("bad"))
    assert not subject.exists("bad")


@pytest.mark.parametrize("command", [("restore", "latest", "--to"), ("rollback", "app", "--yes", "--purpose=x")])
def test_damage_that_is_found_is_noted(tmp_path, command):
    application = SqliteApplication(tmp_path)
    id_ = application.snapshot()
    amanat = application.amanat
    spoil(amanat.store / amanat.json("show", id_)["path"])
    to = (str(tmp_path / "new.sqlite"),) if command[0] == "restore" else ()
    assert "SHA-256" in amanat.fails(7, *command, *to)
    (row,) = amanat.json("list")
    assert (row["state"], row["proof"]) == ("damaged", "none")
    gate = amanat.run("gate", "app")
    assert (gate.returncode, "damaged" in gate.stdout) == (4, True), gate
    (told,) = (entry for entry in amanat.json("register") if entry["kind"] == "verify")
    assert (told["outcome"], told["snapshot"]) == ("failed", id_)
    assert "SHA-256" in told["detail"]
    assert "holds" in amanat.ok("register", "verify")


def test_a_sqlite_snapshot_needs_no_configured_database(tmp_path):
    application = SqliteApplication(tmp_path)
    application.snapshot()
    text = application.amanat.file.read_text()
    application.amanat.policies(text.replace("app:", "other:").replace("[app]", "[other]"))
    application.amanat.ok("restore", "latest:app", "--to", str(tmp_path / "new.sqlite"))
    with contextlib.closing(sqlite3.connect(tmp_path / "new.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (500,)
