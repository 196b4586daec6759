"""Full disks and stops in the middle of a SQLite snapshot: a clear error, nothing left running or behind."""

import os
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from amanat.domain.errors import InterruptedRunError
from amanat.domain.model import Scope
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver, connection
from amanat.host.control import RunControl
from amanat.ports import Order
from tests.support.sqlite_databases import build, listing, take, take_in_child

pytestmark = pytest.mark.fault

BIG = """
CREATE TABLE rows (id INTEGER PRIMARY KEY, noise TEXT);
CREATE TABLE others (id INTEGER PRIMARY KEY);
CREATE INDEX rows_noise ON rows (noise);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO rows SELECT i, hex(randomblob(100)) FROM n;
"""


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    return build(tmp_path_factory.mktemp("big") / "big.sqlite", BIG)


@pytest.fixture
def order(tmp_path):
    return Order(folder=tmp_path, scratch=tmp_path)


def test_a_full_disk_is_named(big, tmp_path):
    """A file system of 4 MB, in a mount namespace of the child's own."""
    before = listing(big.parent)
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    mount = 'mount -t tmpfs -o size=4m tmpfs "$0" && exec "$@"'
    report = take_in_child(big, tmp_path, around=(*namespace, "sh", "-c", mount, str(tmp_path)))
    assert report["error"] == "SpaceError"
    assert str(big) in report["message"]
    assert report["hint"]
    assert listing(big.parent) == before


def test_a_copy_that_cannot_be_written_is_not_blamed_on_the_source(big, tmp_path):
    report = take_in_child(big, tmp_path, "--file-limit", str(4 * 1024 * 1024))
    assert report["error"] == "StoreError"
    assert "cannot be written" in report["message"]


def stopping(after):
    """A control that is told to stop at its n-th progress, and what it was told."""
    stop, told = threading.Event(), []

    def tell(progress):
        told.append(progress)
        if len(told) == after:
            stop.set()

    return RunControl(stop=stop, on_progress=tell), told


def test_a_stop_in_the_middle_of_the_copy_leaves_nothing_running_or_locked(big, order):
    before, threads = listing(big.parent), threading.active_count()
    control, told = stopping(after=2)
    with pytest.raises(InterruptedRunError):
        SqliteEngine(SqliteSource(path=big)).take(order, control)
    assert len(told) == 2
    assert told[-1].bytes_done < told[-1].bytes_total
    assert threading.active_count() == threads
    assert listing(big.parent) == before
    with closing(sqlite3.connect(big)) as writer:
        writer.execute("PRAGMA locking_mode = EXCLUSIVE")
        writer.execute("BEGIN EXCLUSIVE")


class StopsAtCheck(RunControl):
    """Stops at the n-th check, whatever SQLite does at that moment."""

    def __init__(self, checks):
        self.checks, self.stop = checks, threading.Event()
        super().__init__(stop=self.stop)

    def check(self):
        self.checks -= 1
        if not self.checks:
            self.stop.set()
        super().check()


@pytest.fixture
def asked_often(monkeypatch):
    """So that a statement of some milliseconds is asked about while it runs."""
    monkeypatch.setattr(connection, "_POLL_SECONDS", 0.001)


def test_a_stop_ends_a_statement_that_would_never_end():
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with closing(sqlite3.connect(":memory:", check_same_thread=False)) as memory:
        with pytest.raises(InterruptedRunError):
            connection.attended(memory, RunControl(stop=stop), lambda: memory.execute(endless).fetchone())
        assert memory.execute("SELECT 1").fetchone() == (1,)


def test_a_stop_interrupts_the_cutting_of_a_scope(big, order, asked_often):
    chunks = -(-big.stat().st_size // (4 * 1024 * 1024))
    threads = threading.active_count()
    part = replace(order, scope=Scope(exclude_data=("others",)))
    with pytest.raises(InterruptedRunError):
        SqliteEngine(SqliteSource(path=big)).take(part, StopsAtCheck(chunks + 3))
    assert threading.active_count() == threads


def test_a_stop_interrupts_a_proof(big, tmp_path, asked_often):
    artefact = take(big, tmp_path)
    with pytest.raises(InterruptedRunError):
        SqliteProver().prove_readable(artefact.path, artefact.facts, Scope(), StopsAtCheck(2))
