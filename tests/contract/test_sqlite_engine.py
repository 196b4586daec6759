"""SQLite fulfils the engine's contract; beyond it: what a scope keeps, beside writers, and what proof finds."""

import hashlib
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import replace

import pytest

from amanat.domain.errors import ProofError, StoreError
from amanat.domain.model import Scope
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver, engine
from amanat.engines.sqlite.copying import finish
from amanat.host.control import RunControl
from tests.contract.engine_contract import SEED, EngineContract, Subject
from tests.support.sqlite_databases import (
    ACCOUNTS,
    BALANCE,
    bank_writers,
    build,
    build_bank,
    rows,
    take,
)


class SqliteSubject(Subject):
    suffix = ".sqlite"

    def __init__(self, path, journal_mode):
        self.path, self.engine, self.prover = path, SqliteEngine(SqliteSource(path=path)), SqliteProver()
        build(path, f"BEGIN; {'; '.join(SEED)}; COMMIT", journal_mode=journal_mode)

    def transaction(self, statements):
        with closing(sqlite3.connect(self.path, timeout=30)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def qualified(self, table):
        return table

    def restored_rows(self, artefact):
        def ask(sql):
            done = subprocess.run(["sqlite3", artefact.path, sql], check=True, capture_output=True, text=True)
            return done.stdout.split()

        tables = ask("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {table: int(ask(f"SELECT count(*) FROM {table}")[0]) for table in tables}

    def engine_without_database(self):
        return SqliteEngine(SqliteSource(path=self.path.with_name("absent.sqlite")))


@pytest.mark.parametrize("subject", ["wal", "delete"], indirect=True)
class TestSqlite(EngineContract):
    @pytest.fixture
    def subject(self, request, tmp_path):
        folder = tmp_path / "application"
        folder.mkdir()
        return SqliteSubject(folder / "database.sqlite", request.param)


# Beside writers


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
@pytest.mark.parametrize("snapshots", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_no_snapshot_sees_half_a_transfer(tmp_path, journal_mode, snapshots):
    path, seen = build_bank(tmp_path / "bank.sqlite", journal_mode), set()
    with bank_writers(path, 2):
        for number in range(snapshots):
            artefact = take(path, tmp_path / str(number))
            assert artefact.facts.extra["copied_by"] != "backup"
            copy = artefact.path
            assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
            assert rows(copy, "SELECT sum(balance), count(*) FROM accounts") == [(ACCOUNTS * BALANCE, ACCOUNTS)]
            assert rows(copy, "SELECT sum(moved), count(*) FROM ledger") == [(0, 6000)]
            seen.add(tuple(rows(copy, "SELECT balance FROM accounts")))
            copy.unlink()
    assert len(seen) > snapshots / 2  # they were writing all along


# Whole databases

RICH = """
PRAGMA user_version = 77;
CREATE TABLE [we ird "name"] (id INTEGER PRIMARY KEY AUTOINCREMENT, "sütun bir" TEXT);
CREATE TABLE 'müəssisələr' (code TEXT PRIMARY KEY, size INT, double INT AS (size * 2) STORED) WITHOUT ROWID;
CREATE TABLE log (what TEXT);
CREATE INDEX "in dex" ON [we ird "name"] ("sütun bir") WHERE id > 1;
CREATE INDEX expression ON log (lower(what));
CREATE TRIGGER "tri gger" AFTER INSERT ON [we ird "name"] BEGIN INSERT INTO log VALUES (NEW.id); END;
CREATE TRIGGER gone AFTER DELETE ON [we ird "name"] BEGIN INSERT INTO log VALUES ('gone ' || OLD.id); END;
CREATE VIEW sizes AS SELECT sum(double) FROM "müəssisələr";
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO [we ird "name"] ("sütun bir") VALUES ('secretmarker1'), ('secretmarker2');
INSERT INTO "müəssisələr" (code, size) VALUES ('Şəki', 4), ('Quba', 5);
INSERT INTO words VALUES ('secretword alma'), ('armud');
ANALYZE;
"""
WEIRD = 'we ird "name"'


@pytest.fixture(params=["wal", "delete"])
def rich(request, tmp_path):
    return build(tmp_path / "rich.sqlite", RICH, journal_mode=request.param)


def dump(path):
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def schema(path, *, of=None):
    return {
        row for row in rows(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema") if of in (None, row[2])
    }


def test_everything_a_schema_can_hold_is_copied(rich, tmp_path):
    artefact = take(rich, tmp_path / "run")
    assert set(artefact.facts.tables) == {"log", "müəssisələr", WEIRD, "words"}
    assert dump(artefact.path) == dump(rich)
    assert artefact.facts.extra["user_version"] == 77


def test_the_copy_keeps_the_journal_mode_of_its_source(rich, tmp_path):
    scopes = {"whole": Scope(), "part": Scope(tables=("log",))}
    modes = {take(rich, tmp_path / name, scope).path.read_bytes()[18:20] for name, scope in scopes.items()}
    assert modes == {rich.read_bytes()[18:20]}


# Scopes


def test_a_selected_table_brings_its_indexes_and_triggers_and_nothing_else(rich, tmp_path):
    artefact = take(rich, tmp_path / "run", Scope(tables=("we ird*",)))
    own = schema(rich, of=WEIRD)
    internal = {row for row in schema(artefact.path) if row[1].startswith("sqlite_")}
    assert len(own) == 4
    assert schema(artefact.path) - internal == own
    assert rows(artefact.path, "SELECT * FROM sqlite_sequence") == [(WEIRD, 2)]
    assert rows(artefact.path, "SELECT DISTINCT tbl FROM sqlite_stat1") == [(WEIRD,)]


def test_excluded_rows_leave_no_byte_behind_and_fire_no_trigger(rich, tmp_path):
    scope = Scope(exclude_data=("we ird*", "words"))
    artefact = take(rich, tmp_path / "run", scope)
    content = artefact.path.read_bytes()
    assert b"secretmarker" not in content
    assert b"secretword" not in content
    assert rows(artefact.path, "SELECT what FROM log") == [("1",), ("2",)]
    assert {row[:3] for row in schema(artefact.path)} == {row[:3] for row in schema(rich)}
    assert rows(artefact.path, "SELECT * FROM sqlite_sequence") == [(WEIRD, 2)]


def test_excluded_tables_leave_no_byte_behind(rich, tmp_path):
    artefact = take(rich, tmp_path / "run", Scope(exclude=("we ird*", "words")))
    assert artefact.facts.tables == ("log", "müəssisələr")
    assert b"secret" not in artefact.path.read_bytes()


def test_a_full_text_table_comes_with_its_storage_and_still_searches(rich, tmp_path):
    artefact = take(rich, tmp_path / "run", Scope(tables=("words",)))
    assert artefact.facts.tables == ("words",)
    assert rows(artefact.path, "SELECT body FROM words WHERE words MATCH 'alma'") == [("secretword alma",)]


def test_row_ids_outlive_the_cut(tmp_path):
    script = "CREATE TABLE kept (a); CREATE TABLE other (b); INSERT INTO kept VALUES (1), (2), (3);"
    path = build(tmp_path / "a.sqlite", f"{script} DELETE FROM kept WHERE a = 1;")
    artefact = take(path, tmp_path / "run", Scope(tables=("kept",)))
    assert rows(artefact.path, "SELECT rowid, a FROM kept") == [(2, 2), (3, 3)]


# References

BROKEN = """
CREATE TABLE parents (id INTEGER PRIMARY KEY); INSERT INTO parents VALUES (1);
CREATE TABLE children (parent INTEGER REFERENCES parents (id)); INSERT INTO children VALUES (1), (8), (9);
"""


def test_references_that_the_application_broke_itself_are_told_not_refused(tmp_path):
    artefact = take(build(tmp_path / "a.sqlite", BROKEN), tmp_path / "run")
    assert artefact.facts.extra["foreign_key_violations"] == 2
    assert [warning[:12] for warning in artefact.warnings] == ["2 references"]


def test_references_that_only_the_copy_broke_are_damage(tmp_path, monkeypatch):
    def damaging(copied, target, control):
        finish(copied, target, control)
        with closing(sqlite3.connect(target)) as connection, connection:
            connection.execute("DELETE FROM parents")

    monkeypatch.setattr(engine, "finish", damaging)
    with pytest.raises(StoreError, match="3 broken references, the database itself 2"):
        take(build(tmp_path / "a.sqlite", BROKEN), tmp_path / "run")


def test_references_to_tables_that_were_left_out_are_no_damage(tmp_path):
    path = build(tmp_path / "a.sqlite", BROKEN)
    artefact = take(path, tmp_path / "run", Scope(tables=("children",)))
    assert artefact.facts.extra["foreign_key_violations"] == 3
    assert artefact.warnings == ()


def test_foreign_keys_that_make_no_sense_are_told_not_refused(tmp_path):
    script = "CREATE TABLE p (a); CREATE TABLE c (x REFERENCES p (a)); INSERT INTO c VALUES (1);"
    artefact = take(build(tmp_path / "a.sqlite", script), tmp_path / "run")
    assert artefact.facts.extra["foreign_key_violations"] is None
    assert "cannot be checked" in artefact.warnings[0]


def test_a_row_that_breaks_a_check_of_its_own_table_is_no_damage(tmp_path):
    script = "CREATE TABLE t (a CHECK (a > 0)); PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES (-1);"
    take(build(tmp_path / "a.sqlite", script), tmp_path / "run")


# Proof


@pytest.fixture
def artefact(tmp_path):
    return take(build_bank(tmp_path / "bank.sqlite", "wal"), tmp_path / "run")


def prove(artefact, facts=None):
    SqliteProver().prove_readable(artefact.path, facts or artefact.facts, Scope(), RunControl())


@pytest.mark.parametrize("page", [1, 5, 100, 400])
def test_one_flipped_bit_in_a_page_header_is_found(artefact, page):
    with artefact.path.open("r+b") as file:
        file.seek(page * 4096)
        kind = file.read(1)[0]
        file.seek(page * 4096)
        file.write(bytes([kind ^ 0x10]))
    with pytest.raises(ProofError, match=r"artefact\.sqlite.*(integrity_check|malformed)"):
        prove(artefact)


def test_a_sound_database_that_quick_check_complains_of_is_sound(tmp_path):
    """SQLite 3.40 says "NULL value in pairs.a" of a key in another order than its columns."""
    schema = (
        "CREATE TABLE pairs (a TEXT, b INT, PRIMARY KEY (b, a)) WITHOUT ROWID; INSERT INTO pairs VALUES ('x', 1)"
    )
    prove(take(build(tmp_path / "pairs.sqlite", schema), tmp_path / "run"))


def test_an_artefact_that_grew_is_refused(artefact):
    with artefact.path.open("ab") as file:
        file.write(bytes(4096))
    with pytest.raises(ProofError, match="by its header"):
        prove(artefact)


def test_references_that_broke_since_are_found(artefact):
    facts = replace(artefact.facts, extra={**artefact.facts.extra, "foreign_key_violations": 3})
    with pytest.raises(ProofError, match="broken references"):
        prove(artefact, facts)


def test_a_table_too_many_is_named(artefact):
    with pytest.raises(ProofError, match="not taken stand in it: ledger"):
        prove(artefact, replace(artefact.facts, tables=("accounts",)))


# Restoring by hand


@pytest.mark.parametrize("name", ["plain.sqlite", "-ad ilə 'dırnaq' %41?#.sqlite"])
def test_the_recipe_restores_over_a_database_in_use_yesterday(artefact, tmp_path, name):
    kept, target = tmp_path / "store" / name, build(tmp_path / "app.sqlite", "CREATE TABLE old (a);")
    kept.parent.mkdir()
    artefact.path.rename(kept)
    target.chmod(0o640)
    target.with_name("app.sqlite-wal").write_bytes(b"of yesterday")
    digest = hashlib.sha256(kept.read_bytes()).hexdigest()
    kept.with_name(f"{name}.manifest.json").write_text(f'{{"sha256": "{digest}"}}')
    lines = [f"target='{target}'", *SqliteProver().recipe(name, artefact.facts)[1:]]
    done = subprocess.run(
        ["sh", "-ec", "\n".join(lines)], cwd=kept.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "ok"
    assert sorted(path.name for path in kept.parent.iterdir()) == sorted([name, f"{name}.manifest.json"])
    assert rows(target, "SELECT count(*) FROM accounts") == [(ACCOUNTS,)]
    assert target.stat().st_mode & 0o777 == 0o640
    assert not target.with_name("app.sqlite-wal").exists()
    (aside,) = tmp_path.glob("app.sqlite.before-*[0-9]")
    assert rows(aside, "SELECT name FROM sqlite_schema") == [("old",)]


def test_the_recipe_stops_at_a_wrong_hash(artefact):
    manifest = artefact.path.with_name("artefact.sqlite.manifest.json")
    manifest.write_text('{"sha256": "", "purpose": ""}')
    check = SqliteProver().recipe("artefact.sqlite", artefact.facts)[1]
    assert subprocess.run(["sh", "-c", check], cwd=manifest.parent, check=False).returncode == 1
