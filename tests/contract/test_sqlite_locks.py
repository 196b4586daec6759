"""Locks on a SQLite source: waited for, named when they last too long, and never lost."""

import contextlib
import subprocess
from datetime import timedelta

import pytest

from amanat.domain.errors import TimeoutExceededError
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, source
from amanat.host.control import RunControl
from tests.support.sqlite_databases import build, take

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1);"


@contextlib.contextmanager
def locked(path, seconds):
    """Another process holds the database for itself; it lets go on leaving, or after ``seconds``."""
    script = f"PRAGMA locking_mode = EXCLUSIVE;\nBEGIN EXCLUSIVE;\nSELECT 'held';\n.shell sleep {seconds}\n"
    argv = ["sqlite3", "-batch", str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdin.write(script)
        holder.stdin.close()
        assert [holder.stdout.readline() for _ in range(2)] == ["exclusive\n", "held\n"]
        yield
        holder.terminate()


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_a_lock_past_the_timeout_is_named(tmp_path, journal_mode):
    path = build(tmp_path / "a.sqlite", USERS, journal_mode=journal_mode)
    control = RunControl(timeout=timedelta(seconds=0.5))
    with (
        locked(path, seconds=2),
        pytest.raises(TimeoutExceededError, match=r"a\.sqlite was locked by another process") as failure,
    ):
        SqliteEngine(SqliteSource(path=path)).source_bytes(control, tmp_path)
    assert failure.value.hint


def test_a_lock_that_is_released_in_time_is_waited_for(tmp_path):
    path = build(tmp_path / "a.sqlite", USERS, journal_mode="delete")
    with locked(path, seconds=0.5):
        assert take(path, tmp_path).facts.tables == ("users",)


def test_two_runs_of_one_process_read_a_file_one_after_the_other(tmp_path):
    """Otherwise the first to close it would drop the other's lock, and a writer could come in between."""
    path = build(tmp_path / "a.sqlite", USERS, journal_mode="delete")
    second, engine = RunControl(timeout=timedelta(seconds=0.3)), SqliteEngine(SqliteSource(path=path))
    with (
        source.opened(path, RunControl()) as first,
        pytest.raises(TimeoutExceededError),
    ):
        engine.source_bytes(second, tmp_path)
    assert first.path == path.resolve()
    assert engine.source_bytes(RunControl(), tmp_path) == path.stat().st_size
