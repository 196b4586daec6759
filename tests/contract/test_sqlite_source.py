"""A SQLite source is read wherever it can be, and its folder stays as its owner left it."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from amanat.domain.errors import SourceError
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine
from amanat.engines.sqlite import source as sqlite_source
from amanat.host.control import RunControl
from amanat.ports.engine import Order
from tests.support.sqlite_child import NOBODY
from tests.support.sqlite_databases import build, listing, rows, take, take_in_child

SCRIPT = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
INSERT INTO users SELECT i, hex(randomblob(200)) FROM n;
"""
RAW = {"reflink", "copy_file_range", "plain"}
CUT_OFF = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 5")
connection.execute("BEGIN")
connection.execute("UPDATE users SET name = 'half done'")
if sys.argv[2] == "commit":
    connection.execute("COMMIT")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def application():
    """A folder that every user may enter (pytest's own are private)."""
    folder = Path(tempfile.mkdtemp(prefix="amanat-test-"))
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def out():
    """Where a child with fewer rights may write."""
    folder = Path(tempfile.mkdtemp(prefix="amanat-test-out-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def crash(path, *, commit):
    """A process dies at its database: in the middle of a transaction, or right after one."""
    argv = [sys.executable, "-c", CUT_OFF, str(path), "commit" if commit else "middle"]
    assert subprocess.run(argv, check=False).returncode == -signal.SIGKILL


def names(copy):
    return rows(copy, "SELECT count(*), sum(name = 'half done') FROM users")[0]


# The folder stays as it was


@pytest.mark.parametrize("journal_mode", ["wal", "delete", "truncate"])
def test_an_idle_database_and_its_folder_are_not_changed(application, tmp_path, journal_mode):
    path = build(application / "a.sqlite", SCRIPT, journal_mode=journal_mode)
    before = listing(application), path.read_bytes(), path.stat().st_mtime_ns
    assert names(take(path, tmp_path).path) == (3000, 0)
    assert (listing(application), path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_database_that_an_application_has_open_keeps_its_side_files(application, tmp_path):
    path = build(application / "a.sqlite", SCRIPT)
    with closing(sqlite3.connect(path)) as user, user:
        user.execute("INSERT INTO users VALUES (9999, 'in the WAL only')")
        user.commit()
        before = listing(application)
        assert names(take(path, tmp_path).path) == (3001, 0)
        assert listing(application) == before
        assert set(before) == {"a.sqlite", "a.sqlite-wal", "a.sqlite-shm"}


def test_what_a_dead_application_committed_is_in_the_copy_and_its_files_stay(application, tmp_path):
    path = build(application / "a.sqlite", SCRIPT)
    crash(path, commit=True)
    before = listing(application)
    assert len(before) == 3
    assert names(take(path, tmp_path).path) == (3000, 3000)
    assert listing(application) == before


def test_side_files_belong_to_the_owner_of_the_database(application, tmp_path):
    path = build(application / "a.sqlite", SCRIPT)
    path.chmod(0o660)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    mine, seen = listing(application)["a.sqlite"], []
    control = RunControl(on_progress=lambda _: seen.append(listing(application)))
    order = Order(folder=tmp_path, scratch=tmp_path)
    SqliteEngine(SqliteSource(path=path)).take(order, control)
    assert seen[0] == {"a.sqlite": mine, "a.sqlite-wal": mine, "a.sqlite-shm": mine}
    assert listing(application) == {"a.sqlite": mine}


# With fewer rights


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_an_idle_database_in_a_folder_of_somebody_else_is_read(application, out, journal_mode):
    path = build(application / "a.sqlite", SCRIPT, journal_mode=journal_mode)
    application.chmod(0o555)
    report = take_in_child(path, out, "--nobody")
    assert report["error"] is None
    assert report["examined"]["access"] == ("warn" if journal_mode == "wal" else "ok")  # without locks, or with
    assert report["copied_by"] in RAW
    assert names(Path(report["artefact"])) == (3000, 0)
    assert set(listing(application)) == {"a.sqlite"}


def test_side_files_of_somebody_else_are_used(application, out):
    path = build(application / "a.sqlite", SCRIPT)
    crash(path, commit=True)
    application.chmod(0o555)
    before = listing(application)
    report = take_in_child(path, out, "--nobody")
    assert report["error"] is None
    # root needs no permission to write them; everybody else has an index of SQLite's own
    assert report["copied_by"] == "backup"
    assert names(Path(report["artefact"])) == (3000, 3000)
    assert listing(application) == before


def test_a_plain_user_reads_his_own_database(application, out):
    path = build(application / "a.sqlite", SCRIPT)
    crash(path, commit=True)
    if os.geteuid() == 0:
        for file in (application, *application.iterdir()):
            os.chown(file, NOBODY, NOBODY)
    before = listing(application)
    report = take_in_child(path, out, "--nobody")
    assert report["error"] is None
    assert report["copied_by"] in RAW
    assert names(Path(report["artefact"])) == (3000, 3000)
    assert listing(application) == before


@pytest.mark.parametrize("ending", ["-wal", "-shm"])
def test_side_files_that_may_not_be_read_are_a_clear_error(application, out, ending):
    path = build(application / "a.sqlite", SCRIPT)
    crash(path, commit=True)
    path.with_name(f"a.sqlite{ending}").chmod(0)
    application.chmod(0o555)
    before = listing(application)
    report = take_in_child(path, out, "--nobody")
    assert report["error"] == "SourceError"
    assert "a.sqlite" in report["message"]
    assert "owner of the database" in report["hint"]
    assert listing(application) == before


def test_an_unreadable_database_is_refused(application, out):
    path = build(application / "a.sqlite", SCRIPT)
    path.chmod(0)
    report = take_in_child(path, out, "--nobody")
    assert report["error"] == "SourceError"
    assert "Permission denied" in report["message"]
    assert list(out.iterdir()) == []


def test_a_wal_that_nobody_may_recover_is_refused_and_the_owner_loses_nothing(application, out, tmp_path):
    path = build(application / "a.sqlite", SCRIPT)
    crash(path, commit=True)
    (application / "a.sqlite-shm").unlink()
    application.chmod(0o555)
    report = take_in_child(path, out, "--nobody")
    assert report["error"] == "SourceError"
    assert "a.sqlite-wal holds changes" in report["message"]
    application.chmod(0o755)
    assert names(take(path, tmp_path).path) == (3000, 3000)


def test_the_owners_run_moves_such_a_wal_into_the_database(application, tmp_path):
    """As any program that opens it next (documentation/configuration.md)."""
    path = build(application / "a.sqlite", SCRIPT)
    crash(path, commit=True)
    (application / "a.sqlite-shm").unlink()
    before = path.read_bytes()
    take(path, tmp_path)
    assert set(listing(application)) == {"a.sqlite"}
    assert path.read_bytes() != before
    assert names(path) == (3000, 3000)


def test_a_transaction_that_was_cut_off_is_rolled_back_by_the_owner_only(application, out, tmp_path):
    path = build(application / "a.sqlite", SCRIPT, journal_mode="delete")
    crash(path, commit=False)
    assert (application / "a.sqlite-journal").stat().st_size
    application.chmod(0o555)
    report = take_in_child(path, out, "--nobody")
    assert report["error"] == "SourceError"
    assert "middle of a transaction" in report["message"]
    application.chmod(0o755)
    assert names(take(path, tmp_path).path) == (3000, 0)


class Meddling(RunControl):
    """Writes to the database while the engine reads it, as often as told."""

    def __init__(self, path, times):
        self.path, self.left = path, times
        super().__init__(on_progress=self.meddle)

    def meddle(self, _progress):
        if self.left:
            self.left -= 1
            with closing(sqlite3.connect(self.path)) as connection, connection:
                connection.execute("DELETE FROM users WHERE id = (SELECT max(id) FROM users)")


@pytest.fixture
def frozen(application, monkeypatch):
    """An idle WAL database that this process reads as one that is not its owner's."""
    monkeypatch.setattr(sqlite_source, "_may_tidy", lambda _path: False)
    return build(application / "a.sqlite", SCRIPT)


def test_a_database_read_without_locks_is_read_again_when_it_changed(frozen, tmp_path):
    order = Order(folder=tmp_path, scratch=tmp_path)
    artefact = SqliteEngine(SqliteSource(path=frozen)).take(order, Meddling(frozen, times=2))
    assert names(artefact.path) == (2998, 0)


def test_a_database_read_without_locks_that_never_rests_is_a_passing_failure(frozen, tmp_path):
    order = Order(folder=tmp_path, scratch=tmp_path)
    with pytest.raises(SourceError, match="changed while it was read") as failure:
        SqliteEngine(SqliteSource(path=frozen)).take(order, Meddling(frozen, times=99))
    assert failure.value.transient


# Not a database


def garbage(path):
    path.write_bytes(os.urandom(8192))


def half_a_header(path):
    path.write_bytes(b"SQLite format 3\0")


def pages_of_noise(path):
    build(path, SCRIPT)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(4000))


def dangling(path):
    path.symlink_to("nowhere")


def looping(path):
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _path: None, "does not exist"),
        (dangling, "does not exist"),
        (looping, "cannot be reached"),
        (Path.touch, "is empty"),
        (Path.mkdir, "is not a file"),
        (os.mkfifo, "is not a file"),
        (garbage, "is not a SQLite database"),
        (half_a_header, "is not a SQLite database"),
        (pages_of_noise, "cannot be read"),
    ],
)
def test_what_is_no_database_is_named_and_nothing_is_made(application, tmp_path, make, reason):
    path = application / "a.sqlite"
    make(path)
    before = listing(application)
    with pytest.raises(SourceError, match=f"a.sqlite {reason}") as failure:
        take(path, tmp_path)
    assert failure.value.hint
    assert listing(application) == before
    assert list((tmp_path / "staging").iterdir()) == []


@pytest.mark.parametrize("name", ["a b.sqlite", "şəkil.sqlite", "50%41?mode=memory#x.sqlite", "a&b='c\".sqlite"])
def test_a_path_is_taken_as_it_is_written(application, tmp_path, name):
    assert names(take(build(application / name, SCRIPT), tmp_path).path) == (3000, 0)


def test_a_link_leads_to_the_database_and_its_side_files(application, tmp_path):
    build(application / "a.sqlite", SCRIPT)
    crash(application / "a.sqlite", commit=True)
    link = tmp_path / "link.sqlite"
    link.symlink_to(application / "a.sqlite")
    artefact = take(link, tmp_path / "run")
    assert artefact.facts.extra["copied_by"] in RAW
    assert names(artefact.path) == (3000, 3000)
    assert set(listing(tmp_path)) == {"link.sqlite", "run"}
