"""A SQLite artefact is restored into a file of its own, compared with its facts, and removed again."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from amanat.domain.errors import IntegrityError
from amanat.domain.model import ProofLevel
from amanat.domain.policy import CodecName, Compression, SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteRehearser
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from tests.contract.engine_contract import make_order
from tests.support.sqlite_databases import build

TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
INSERT INTO users (name) VALUES ('a'), ('b'), ('c');
CREATE TABLE posts (id INTEGER PRIMARY KEY, user INTEGER REFERENCES users (id), body TEXT);
INSERT INTO posts (user, body) VALUES (1, 'x'), (2, 'y');
CREATE INDEX posts_user ON posts (user);
CREATE VIEW names AS SELECT name FROM users;
"""
DEFECTS = {
    "DELETE FROM users WHERE id = 2": "rows of users: expected 3 rows with ",
    "UPDATE posts SET body = 'z' WHERE id = 1": "rows of posts: expected 2 rows with ",
    "DROP INDEX posts_user": "index posts.posts_user: missing",
    "DROP VIEW names": "view names: missing",
    "UPDATE sqlite_sequence SET seq = 1": "value of sequence users: expected 4 as the next, found 2",
    "INSERT INTO posts (user) VALUES (99)": "foreign keys: expected 0 broken, found 1",
}


@pytest.fixture
def place(tmp_path) -> Place:
    for name in ("folder", "scratch"):
        (tmp_path / name).mkdir()
    return Place(run="r", folder=tmp_path / "folder", scratch=tmp_path / "scratch", is_dead=lambda _: False)


def take(tmp_path, **fields):
    path = build(tmp_path / "app.sqlite", TABLES)
    (tmp_path / "run").mkdir()
    order = make_order(tmp_path / "run", **{"proof": ProofLevel.RESTORED, **fields})
    return SqliteEngine(SqliteSource(path=path)).take(order, RunControl())


def rehearsed(artefact, place):
    found = SqliteRehearser().rehearse(artefact.path, artefact.facts, (), place, RunControl())
    assert list(place.folder.iterdir()) == []
    return [difference.describe() for difference in found.comparison.differences], found.comparison.not_compared


@pytest.mark.parametrize("codec", [CodecName.NONE, CodecName.ZSTD])
@pytest.mark.parametrize("level", [ProofLevel.READABLE, ProofLevel.RESTORED])
def test_what_comes_back_is_what_was_taken(tmp_path, place, codec, level):
    artefact = take(tmp_path, proof=level, compression=Compression(codec=codec))
    assert bool(artefact.facts.rows) == (level is ProofLevel.RESTORED)
    assert rehearsed(artefact, place) == ([], ())


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_planted_defect_is_named(tmp_path, place, defect):
    artefact = take(tmp_path)
    with closing(sqlite3.connect(artefact.path)) as connection, connection:
        connection.execute(defect)
    differences, _ = rehearsed(artefact, place)
    assert any(difference.startswith(DEFECTS[defect]) for difference in differences), differences


def test_a_page_that_is_wrong_inside_is_found(tmp_path, place):
    """An index that has lost an entry: quick_check does not look for that."""
    artefact = take(tmp_path)
    with closing(sqlite3.connect(artefact.path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE INDEX posts_user ON posts (body)' WHERE name = 'posts_user'"
        )
    differences, _ = rehearsed(artefact, place)
    assert any(difference.startswith("integrity_check: expected ok, found ") for difference in differences)


def test_what_is_no_database_is_no_finding_but_an_error(tmp_path, place):
    artefact = take(tmp_path)
    artefact.path.write_bytes(b"nothing" * 1000)
    with pytest.raises(IntegrityError, match="does not restore"):
        rehearsed(replace(artefact), place)
