"""Full disks and stops in the middle of a SQLite snapshot: a clear error, nothing left running or behind."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from amanat.domain.errors import InterruptedRunError
from amanat.domain.model import Scope
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver, connection
from amanat.host.control import RunControl
from amanat.ports.engine import Order
from tests.support.sqlite_databases import build, listing, rows, take, take_in_child

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


# Kills and failing calls, by strace's fault injection on a process of its own

APPLICATION = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 0")
connection.execute("UPDATE rows SET noise = 'in the WAL' WHERE id % 7 = 0")
print("open", flush=True)
sys.stdin.read()
"""
UPDATED = "SELECT count(*) FROM rows WHERE noise = 'in the WAL'"


def injected(call, fault, *, when=1):
    """Wrapped around a command. Threads are followed; ``when`` counts in each."""
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={when}"]
    return ("strace", "--follow-forks", "--quiet=all", "--output=/dev/null", *inject)


@pytest.fixture
def in_use(big, tmp_path):
    """A database that another process has open, with some MB in its WAL."""
    folder = tmp_path / "application"
    folder.mkdir()
    path = folder / "big.sqlite"
    shutil.copy(big, path)
    argv = [sys.executable, "-c", APPLICATION, path]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as application:
        application.stdout.readline()
        yield path
        application.stdin.close()
    assert application.returncode == 0


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("call", "when"),
    [
        ("copy_file_range", 1),  # nothing of the main file is there
        ("copy_file_range", 3),  # some of it
        ("copy_file_range", 8),  # some of the WAL
        ("fdatasync", 1),  # all of it, folded
        ("ftruncate", 1),  # SQLite cuts the folded WAL
    ],
)
def test_a_kill_while_bytes_are_copied_harms_nobody(in_use, out, call, when):
    before = listing(in_use.parent)
    with pytest.raises(subprocess.CalledProcessError) as died:
        take_in_child(in_use, out, around=injected(call, "signal=SIGKILL", when=when))
    assert died.value.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert listing(in_use.parent) == before
    with closing(sqlite3.connect(in_use, timeout=0)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0), "no lock is left"
    report = take_in_child(in_use, out)  # over what the dead one left, as in a staging folder of the same name
    assert report["copied_by"] == "copy_file_range"
    assert rows(Path(report["artefact"]), UPDATED) == [(60000 // 7,)]
    assert [path.name for path in out.iterdir()] == ["artefact.sqlite"]


@pytest.mark.parametrize("when", [1, 3, 8])
def test_a_disk_that_fills_up_while_bytes_are_copied_is_named(in_use, out, when):
    before = listing(in_use.parent)
    report = take_in_child(in_use, out, around=injected("copy_file_range", "error=ENOSPC", when=when))
    assert report["error"] == "SpaceError"
    assert str(in_use) in report["message"]
    assert listing(in_use.parent) == before


@pytest.mark.parametrize("error", ["EXDEV", "EINVAL", "ENOSYS", "EOPNOTSUPP", "EIO"])
def test_where_the_kernel_will_not_copy_we_do(in_use, out, error):
    report = take_in_child(in_use, out, around=injected("copy_file_range", f"error={error}", when="3+"))
    assert (report["error"], report["copied_by"]) == (None, "plain")
    assert rows(Path(report["artefact"]), UPDATED) == [(60000 // 7,)]


def test_a_kernel_that_stops_for_no_reason_does_not_cut_the_copy_short(in_use, out):
    report = take_in_child(in_use, out, around=injected("copy_file_range", "retval=0", when="2+"))
    assert (report["error"], report["copied_by"]) == (None, "plain")
    assert rows(Path(report["artefact"]), UPDATED) == [(60000 // 7,)]


@pytest.mark.parametrize(
    ("call", "error", "kind", "says"),
    [
        ("fdatasync", "EIO", "StoreError", "cannot be written to the disk"),
        ("fdatasync", "ENOSPC", "SpaceError", "cannot be written to the disk"),
    ],
)
def test_a_disk_that_fails_at_the_end_is_named(in_use, out, call, error, kind, says):
    report = take_in_child(in_use, out, around=injected(call, f"error={error}"))
    assert report["error"] == kind
    assert says in report["message"]


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_store(in_use, out):
    """Each way to read it fails: in the kernel, and by hand."""
    fail = ["-e", "trace=copy_file_range,preadv,preadv2", "-e", "inject=copy_file_range,preadv,preadv2:error=EIO"]
    report = take_in_child(
        in_use, out, around=("strace", "--follow-forks", "--quiet=all", "--output=/dev/null", *fail)
    )
    assert report["error"] == "SourceError"
    assert f"{in_use} cannot be read: Input/output error" in report["message"]
