"""The register's database while somebody else holds its write lock."""

import contextlib
import sqlite3
import threading
import time

import pytest

from amanat.domain.errors import RegisterError
from amanat.register.connection import FILE_NAME, RegisterDatabase
from amanat.register.register import Register


@pytest.fixture
def database(tmp_path):
    opened = RegisterDatabase(tmp_path)
    yield opened
    opened.close()


@contextlib.contextmanager
def written(folder):
    """As by another process in the middle of a long transaction."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


def took(question):
    began = time.monotonic()
    question()
    return time.monotonic() - began


def test_readers_do_not_wait_for_a_writer_that_waits(tmp_path, database):
    waiting, wrote = threading.Event(), threading.Event()

    def write():
        waiting.set()
        with database.transaction() as connection:
            connection.execute(
                "INSERT INTO slots (stage, policy, database, missed) VALUES ('snapshot', 'p', 'd', 0)"
            )
        wrote.set()

    with written(tmp_path):
        thread = threading.Thread(target=write)
        thread.start()
        waiting.wait(5)
        time.sleep(0.2)
        assert took(lambda: database.query("SELECT * FROM slots")) < 1
        assert not wrote.is_set()
    thread.join(10)
    assert len(database.query("SELECT * FROM slots")) == 1


def test_what_was_written_is_read_at_once_and_readers_cannot_write(database):
    with database.transaction() as connection:
        connection.execute("INSERT INTO slots (stage, policy, database, missed) VALUES ('snapshot', 'p', 'd', 0)")
    assert len(database.query("SELECT * FROM slots")) == 1
    with pytest.raises(RegisterError, match="readonly"):
        database.query("DELETE FROM slots")


def test_whether_it_can_be_written_is_answered_soon(tmp_path, database):
    database.require_writable()
    with written(tmp_path):
        with pytest.raises(RegisterError, match="locked") as caught:
            database.require_writable(wait=0.2)
        assert "holds" in caught.value.hint
    database.require_writable()


def test_a_register_that_was_moved_away_is_not_made_anew(tmp_path, database):
    (tmp_path / FILE_NAME).rename(tmp_path / "elsewhere")
    with pytest.raises(RegisterError, match="unable to open"):
        database.require_writable()
    assert not (tmp_path / FILE_NAME).exists()


def test_the_check_waits_two_seconds_and_not_thirty(tmp_path):
    register = Register(tmp_path)
    began = time.monotonic()
    with written(tmp_path), pytest.raises(RegisterError, match="locked"):
        register.check()
    assert time.monotonic() - began < 5
    register.close()
