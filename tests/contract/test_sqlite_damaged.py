"""Sources that are not what they seem: an error that says so, or what SQLite itself reads; nothing is left beside them."""

import contextlib
import sqlite3

import pytest

from amanat.domain.errors import ProofError, SourceError
from amanat.domain.model import Scope
from amanat.engines.sqlite import SqliteProver
from amanat.host.control import RunControl
from tests.support import sqlite_databases

JOURNAL_MODES = slice(18, 20)  # of the header: what must be known to write it, and to read it
PAGE_BYTES = 4096


@pytest.fixture
def wal_alone(tmp_path):
    """A database whose rows lie in its WAL, which is there without its index: as a crash or a copy leaves it."""
    path, copy = tmp_path / "first.sqlite", tmp_path / "app" / "app.sqlite"
    copy.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (v)")
        connection.executescript("PRAGMA wal_checkpoint; INSERT INTO t VALUES ('late')")
        for ending in ("", "-wal"):
            copy.with_name(copy.name + ending).write_bytes(path.with_name(path.name + ending).read_bytes())
    return copy


def test_a_wal_that_the_header_does_not_tell_of_is_not_left_out(wal_alone, tmp_path):
    """SQLite reads it (pager.c, pagerOpenWalIfPresent); an older file put over a newer database looks like that."""
    with wal_alone.open("r+b") as file:
        file.seek(JOURNAL_MODES.start)
        file.write(b"\x01\x01")
    with pytest.raises(SourceError, match="-wal lies beside a database that should have none") as caught:
        sqlite_databases.take(wal_alone, tmp_path / "taken")
    assert caught.value.hint
    assert {path.name for path in wal_alone.parent.iterdir()} == {"app.sqlite", "app.sqlite-wal"}


def test_a_wal_without_its_index_is_taken_in(wal_alone, tmp_path):
    artefact = sqlite_databases.take(wal_alone, tmp_path / "taken")
    assert sqlite_databases.rows(artefact.path, "SELECT v FROM t") == [("late",)]


def test_a_page_that_is_no_page_is_an_error_of_the_source(tmp_path):
    source = sqlite_databases.build(
        tmp_path / "app.sqlite",
        "CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (id REFERENCES parent);"
        "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1)",
        journal_mode="delete",
    )
    with source.open("r+b") as file:
        file.seek(2 * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    with pytest.raises(SourceError, match="malformed"):
        sqlite_databases.take(source, tmp_path / "taken")


@pytest.fixture
def unreadable_name(tmp_path):
    """Its schema is damaged so that SQLite's own message about it is no UTF-8."""
    return sqlite_databases.build(
        tmp_path / "app.sqlite",
        "CREATE TABLE t (v); CREATE VIEW seen AS SELECT v FROM t; PRAGMA writable_schema = on;"
        "UPDATE sqlite_schema SET name = CAST(x'ce20' AS TEXT), sql = 'CREATE VIEW' WHERE name = 'seen'",
        journal_mode="delete",
    )


def test_a_message_that_cannot_be_decoded_is_an_error_of_the_source(unreadable_name, tmp_path):
    with pytest.raises(SourceError, match="cannot be read"):
        sqlite_databases.take(unreadable_name, tmp_path / "taken")


def test_nor_does_it_prove_anything(unreadable_name, tmp_path):
    whole = sqlite_databases.build(
        tmp_path / "whole.sqlite", "CREATE TABLE t (v); CREATE VIEW seen AS SELECT v FROM t", journal_mode="delete"
    )
    facts = sqlite_databases.take(whole, tmp_path / "taken").facts
    with pytest.raises(ProofError):
        SqliteProver().prove_readable(unreadable_name, facts, Scope(), RunControl())
