"""What a SQLite database is while others use it: who holds it up, by locks of real processes."""

import contextlib
import os
import sqlite3
import subprocess
import sys

import pytest

from amanat.domain import whereabouts
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, living
from amanat.engines.sqlite.source import opened
from amanat.host.control import RunControl
from tests.support.sqlite_databases import bank_writers, build, build_bank, take

SCRIPT = """
CREATE TABLE migrations (id INTEGER PRIMARY KEY, migration TEXT NOT NULL, batch INTEGER NOT NULL);
INSERT INTO migrations (migration, batch) VALUES ('2026_01_01_000000_create_users', 1);
CREATE TABLE users (id INTEGER PRIMARY KEY);
INSERT INTO users VALUES (1), (2);
"""
HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.stdin:
    connection.execute(statement).fetchone()
    print("done", flush=True)
"""
WRITES = ("BEGIN IMMEDIATE", "INSERT INTO users (id) VALUES (NULL)")
READS = ("BEGIN", "SELECT * FROM users")


class Other:
    """Another process with a connection of its own."""

    def __init__(self, process):
        self._process, self.pid = process, process.pid

    def do(self, *statements):
        for statement in statements:
            self._process.stdin.write(f"{statement}\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == "done\n"


@contextlib.contextmanager
def other(path, *statements):
    argv = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        made = Other(process)
        made.do(*statements)
        yield made


def live(path, base):
    return SqliteEngine(SqliteSource(path=path)).live(base, RunControl())


@pytest.fixture(params=["wal", "delete"])
def path(tmp_path, request):
    return build(tmp_path / "a.sqlite", SCRIPT, journal_mode=request.param)


def is_wal(path):
    return path.with_name(f"{path.name}-shm").exists()


def test_nobody_holds_it_and_nothing_is_left_behind(path, tmp_path):
    before = sorted(tmp_path.iterdir())
    found = live(path, tmp_path)
    assert found.holders == ()
    assert found.source_bytes == path.stat().st_size
    assert found.free_bytes > 0
    assert sorted(tmp_path.iterdir()) == before


def test_it_is_told_as_the_facts_of_a_snapshot_tell_it(path, tmp_path):
    facts = take(path, tmp_path / "base").facts
    found = live(path, tmp_path)
    assert found.migrations == facts.extra["migrations"]
    assert found.migrations[0]["name"] == "2026_01_01_000000_create_users"
    assert found.identity == whereabouts.of(facts) == {"path": str(path)}


def test_the_same_file_by_another_name(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    assert live(tmp_path / "link", tmp_path).identity == live(path, tmp_path).identity


def test_names_that_are_no_text(tmp_path):
    path = build(
        tmp_path / os.fsdecode(b"a\xff.sqlite"),
        f"{SCRIPT} INSERT INTO migrations (migration, batch) VALUES (CAST(x'ff61' AS TEXT), 2);",
    )
    found = live(path, tmp_path)
    assert found.identity["path"].endswith(r"a\xff.sqlite")
    assert found.migrations == take(path, tmp_path / "base").facts.extra["migrations"]
    assert found.migrations[0]["name"] == r"\xffa"


def test_a_writer_in_another_process(path, tmp_path):
    with other(path, *WRITES) as writer:
        (holder,) = live(path, tmp_path).holders
    assert holder.description == f"process {writer.pid}, which is writing to it"
    assert live(path, tmp_path).holders == ()


def test_a_reader_holds_up_a_writer_only_with_a_rollback_journal(path, tmp_path):
    with other(path, *READS) as reader:
        wal, holders = is_wal(path), live(path, tmp_path).holders
    assert [holder.description for holder in holders] == (
        [] if wal else [f"process {reader.pid}, which is reading it, in a transaction"]
    )


def test_a_transaction_is_told_from_the_next_one_of_its_process(path, tmp_path):
    with other(path) as writer:
        keys = []
        for _ in range(2):
            writer.do(*WRITES)
            keys += [holder.key for _ in range(2) for holder in live(path, tmp_path).holders]
            writer.do("COMMIT")
    assert [key == keys[0] for key in keys] == [True, True, False, False]


def test_who_looks_keeps_his_own_lock(tmp_path):
    """Closing a descriptor would drop it (https://sqlite.org/howtocorrupt.html section 2.2)."""
    path = build(tmp_path / "a.sqlite", SCRIPT, journal_mode="delete")
    writes = ["sqlite3", str(path), "INSERT INTO users VALUES (3)"]
    with opened(path, RunControl()) as source:
        living.look(source)
        refused = subprocess.run(writes, capture_output=True, text=True, check=False)
    assert "locked" in refused.stderr
    subprocess.run(writes, check=True)


def test_a_database_that_somebody_has_to_himself(path, tmp_path):
    exclusive = "PRAGMA locking_mode = EXCLUSIVE"
    with other(path, exclusive, "BEGIN EXCLUSIVE", WRITES[1]):
        found = live(path, tmp_path)
    (holder,) = found.holders
    assert f"has {path} to itself" in holder.description
    assert found.migrations is None


def test_a_database_under_load(tmp_path):
    path = build_bank(tmp_path / "bank.sqlite", "wal")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
    with bank_writers(path, 2):
        for _ in range(10):
            assert [fact["count"] for fact in live(path, tmp_path).migrations] == [1]
