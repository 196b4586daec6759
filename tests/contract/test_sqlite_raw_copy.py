"""A raw copy of a SQLite database is the instant that its transaction pinned, whatever others do meanwhile.

The judge is SQLite's own backup interface: its copy of the same instant holds the same.
"""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from amanat.domain.errors import SourceError, StoreError
from amanat.domain.model import ProofLevel
from amanat.engines.sqlite import engine, kernel, raw, source, way
from amanat.engines.sqlite.connection import Access
from amanat.engines.sqlite.copying import copy, finish
from amanat.engines.sqlite.source import opened
from amanat.engines.sqlite.way import Circumstances, objection
from amanat.host.control import RunControl
from tests.support.sqlite_databases import bank_writers, build, build_bank, listing, rows, take

ROWS = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
INSERT INTO notes SELECT i, hex(randomblob(200)) FROM n;
"""
RAW = {"reflink", "copy_file_range", "plain"}


def user(path):
    """An application that has the database open; what it does is committed at once."""
    return closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0))


def change(connection, word, first=1, last=3000):
    connection.execute(
        "UPDATE notes SET body = ? || hex(randomblob(90)) WHERE id BETWEEN ? AND ?", (word, first, last)
    )


def dump(path):
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        return [
            connection.execute(f"PRAGMA {pragma}").fetchall()
            for pragma in (
                "encoding",
                "page_size",
                "user_version",
                "application_id",
                "auto_vacuum",
                "integrity_check",
            )
        ] + list(connection.iterdump())


def raw_copy(path, target, meanwhile=lambda: None):
    """The copy and how it came about; ``meanwhile`` happens once, while the bytes are copied."""
    happened = []

    def once(_progress):
        if not happened:
            happened.append(meanwhile())

    control = RunControl(on_progress=once)
    with opened(path, control) as database:
        pinned = raw.pin(database, control)
        assert not isinstance(pinned, str), pinned
        judge = judged(database, target.with_name("judge.sqlite"))
        copied = copy(database, pinned, target, control)
    finish(copied, target, control)
    assert happened
    assert not list(target.parent.glob(f"{target.name}-*"))
    assert dump(target) == dump(judge)
    return copied


def judged(database, target):
    """SQLite's own copy of the instant at which the source stands."""
    with closing(sqlite3.connect(target)) as judge:
        database.connection.backup(judge)
    return target


# Exactly the pinned instant


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist", "wal"])
def test_an_idle_database_is_copied_byte_for_byte(tmp_path, journal_mode):
    path = build(tmp_path / "a.sqlite", ROWS, journal_mode=journal_mode)
    copied = raw_copy(path, tmp_path / "copy.sqlite")
    assert copied.by in RAW
    assert (tmp_path / "copy.sqlite").read_bytes() == path.read_bytes()


def test_what_is_committed_and_moved_into_the_main_file_meanwhile_is_not_in_the_copy(tmp_path):
    path = build(tmp_path / "a.sqlite", ROWS)
    with user(path) as application:
        change(application, "pinned")

        def meanwhile():
            change(application, "late")
            assert application.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0] == 0
            assert application.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 1, (
                "our mark pins the WAL"
            )

        assert raw_copy(path, tmp_path / "copy.sqlite", meanwhile).frames
    assert rows(tmp_path / "copy.sqlite", "SELECT DISTINCT substr(body, 1, 6) FROM notes") == [("pinned",)]


@pytest.mark.parametrize("truncate", [False, True])
def test_a_wal_that_starts_anew_meanwhile_leaves_the_main_file_alone(tmp_path, truncate):
    """All its frames had been moved: SQLite then lets writers overwrite them beside our transaction."""
    path = build(tmp_path / "a.sqlite", ROWS)
    with user(path) as application:
        change(application, "pinned")
        assert application.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1:] > (0, 0)

        def meanwhile():
            if truncate:
                assert application.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
            change(application, "late", last=1500)

        copied = raw_copy(path, tmp_path / "copy.sqlite", meanwhile)
    assert copied.frames == 0
    assert rows(tmp_path / "copy.sqlite", "SELECT DISTINCT substr(body, 1, 6) FROM notes") == [("pinned",)]


def test_frames_of_an_older_wal_and_an_unfinished_transaction_are_not_in_the_copy(tmp_path):
    path = build(tmp_path / "a.sqlite", ROWS)
    with user(path) as application, user(path) as unfinished:
        change(application, "older")
        application.execute("PRAGMA wal_checkpoint(RESTART)")
        change(application, "pinned", last=10)  # the rest of the WAL holds frames with other salts
        unfinished.execute("PRAGMA cache_size = 5")
        unfinished.execute("BEGIN")
        change(unfinished, "never", last=2000)  # spills into the WAL behind the last commit
        copied = raw_copy(path, tmp_path / "copy.sqlite")
        unfinished.execute("ROLLBACK")
    assert 0 < copied.frames < 20
    words = rows(tmp_path / "copy.sqlite", "SELECT substr(body, 1, 5), count(*) FROM notes GROUP BY 1 ORDER BY 1")
    assert words == [("older", 2990), ("pinne", 10)]


def test_a_database_that_lies_in_its_wal_for_the_most_part(tmp_path):
    path = build(tmp_path / "a.sqlite", "CREATE TABLE first (a);")
    with user(path) as application:
        application.execute("PRAGMA wal_autocheckpoint = 0")
        application.executescript(f"BEGIN; {ROWS} COMMIT")
        assert path.stat().st_size < 20_000
        assert raw_copy(path, tmp_path / "copy.sqlite").frames
    assert (tmp_path / "copy.sqlite").stat().st_size > 500_000


def test_a_database_that_shrank_in_its_wal(tmp_path):
    path = build(tmp_path / "a.sqlite", ROWS)
    with user(path) as application:
        application.execute("DELETE FROM notes WHERE id > 10")
        application.execute("VACUUM")
        before = path.stat().st_size
        raw_copy(path, tmp_path / "copy.sqlite", lambda: application.execute("PRAGMA wal_checkpoint(PASSIVE)"))
    assert (tmp_path / "copy.sqlite").stat().st_size < before / 10


def test_bytes_behind_the_last_page_stay_behind(tmp_path):
    """SQLite may grow a file in large steps (SQLITE_FCNTL_CHUNK_SIZE)."""
    path = build(tmp_path / "a.sqlite", ROWS, journal_mode="delete")
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(bytes(1 << 20))
    raw_copy(path, tmp_path / "copy.sqlite")
    assert (tmp_path / "copy.sqlite").stat().st_size == size


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
@pytest.mark.parametrize(
    "pragmas",
    [
        "page_size = 512",
        "page_size = 65536",
        "encoding = 'UTF-16le'",
        "auto_vacuum = FULL",
        "auto_vacuum = INCREMENTAL",
        "application_id = 7",
    ],
)
def test_unusual_files_are_copied_as_they_are(tmp_path, journal_mode, pragmas):
    path = tmp_path / "a.sqlite"
    with user(path) as application:
        application.executescript(f"PRAGMA {pragmas}; PRAGMA journal_mode = {journal_mode}; {ROWS}")
        application.execute("DELETE FROM notes WHERE id > 1000")
        change(application, "pinned", last=500)
        copied = raw_copy(path, tmp_path / "copy.sqlite")
    assert bool(copied.frames) == (journal_mode == "wal")
    assert (tmp_path / "copy.sqlite").read_bytes()[18:20] == path.read_bytes()[18:20]


VACUUM = """
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None) as connection:
    print("ready", flush=True)
    for _ in range(6):
        connection.execute("UPDATE notes SET body = hex(randomblob(300))")
        connection.execute("VACUUM")
"""


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_while_another_process_rewrites_the_whole_file(tmp_path, journal_mode):
    path = build(tmp_path / "a.sqlite", ROWS, journal_mode=journal_mode)
    with subprocess.Popen([sys.executable, "-c", VACUUM, path], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        taken = 0
        while other.poll() is None:
            artefact = take(path, tmp_path / str(taken))
            assert rows(artefact.path, "PRAGMA integrity_check") == [("ok",)]
            assert rows(artefact.path, "SELECT count(*), count(DISTINCT length(body)) FROM notes") == [(3000, 1)]
            taken += 1
    assert other.returncode == 0
    assert taken > 1


# Locks


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_no_lock_is_lost_while_bytes_are_copied(tmp_path, journal_mode):
    """Closing any descriptor of the file would drop them: then a writer or a checkpoint of others gets through."""
    path = build(tmp_path / "a.sqlite", ROWS, journal_mode=journal_mode)
    said = []
    with user(path) as application:
        change(application, "pinned")

        def meanwhile():
            question = "PRAGMA wal_checkpoint(TRUNCATE)" if journal_mode == "wal" else "BEGIN EXCLUSIVE"
            command = ["sqlite3", path, "PRAGMA busy_timeout = 0", question]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            said.append(done.stdout.split()[-1] + done.stderr)

        raw_copy(path, tmp_path / "copy.sqlite", meanwhile)
    assert said[0].startswith("1|") if journal_mode == "wal" else "locked" in said[0]


LONGEST = """
import select, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute("PRAGMA synchronous = OFF")
longest, last = 0.0, None
while not select.select([sys.stdin], [], [], 0)[0]:
    connection.execute("UPDATE notes SET body = 'x' WHERE id = 1")
    now = time.perf_counter()
    if last is None:
        print("writing", flush=True)
    else:
        longest = max(longest, now - last)
    last = now
print(longest)
"""


def longest_stall(path, work):
    """The longest time between two commits of a process that does nothing else, while ``work`` is done."""
    argv = [sys.executable, "-c", LONGEST, path]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        writer.stdout.readline()
        work()
        return float(writer.communicate("stop\n", timeout=60)[0])


@pytest.mark.slow
@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_a_writer_stalls_no_longer_than_with_the_backup_interface(tmp_path, monkeypatch, journal_mode):
    filler = "INSERT INTO notes (body) SELECT hex(randomblob(10000)) FROM notes;"
    path = build(tmp_path / "a.sqlite", f"{ROWS} {filler}", journal_mode=journal_mode)
    stalls, ways = {"raw": [], "backup": []}, set()
    for number in range(4):
        for name, seconds in stalls.items():
            with monkeypatch.context() as patch:
                if name == "backup":
                    patch.setattr(way, "_LOCAL_FILE_SYSTEMS", set())

                def work():
                    artefact = take(path, tmp_path / f"{name}{number}", proof=ProofLevel.STORED)  # noqa: B023
                    ways.add(artefact.facts.extra["copied_by"])
                    artefact.path.unlink()

                seconds.append(longest_stall(path, work))
    assert ways > {"backup"}
    assert min(stalls["raw"]) <= min(stalls["backup"]) * 1.5 + 0.02, stalls


# The way it is copied


@pytest.fixture
def elsewhere():
    """A folder on another file system than pytest's."""
    folder = Path("/dev/shm/amanat-test-raw-copy")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_between_file_systems_it_is_copied_by_hand(elsewhere, tmp_path):
    path = build(elsewhere / "a.sqlite", ROWS)
    assert path.stat().st_dev != tmp_path.stat().st_dev
    with user(path) as application:
        change(application, "pinned")
        assert raw_copy(path, tmp_path / "copy.sqlite").by == "plain"


@pytest.mark.usefixtures("root")
def test_where_files_can_share_blocks_they_do(tmp_path):
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
    try:
        path = build_bank(mounted / "a.sqlite", "wal")
        ways = set()
        with bank_writers(path, 2):
            for number in range(10):
                artefact = take(path, mounted / str(number))
                ways.add(artefact.facts.extra["copied_by"])
                assert rows(artefact.path, "PRAGMA integrity_check") == [("ok",)]
                assert rows(artefact.path, "SELECT sum(balance) FROM accounts") == [(200_000,)]
        assert ways == {"reflink"}
    finally:
        subprocess.run(["umount", mounted], check=True)


EXT4 = 0xEF53
NFS, SMB2, CIFS, FUSE, NINE_P, CEPH, OVERLAY = (
    0x6969,
    0xFE534D42,
    0xFF534D42,
    0x65735546,
    0x01021997,
    0x00C36400,
    0x794C7630,
)


def circumstances(**said):
    usual = {"file_system": EXT4, "access": Access.READ, "wal": True, "shared_index": True}
    return Circumstances(**{**usual, **said})


@pytest.mark.parametrize("file_system", [NFS, SMB2, CIFS, FUSE, NINE_P, CEPH, OVERLAY])
def test_bytes_are_not_copied_from_file_systems_that_may_show_old_ones(file_system):
    assert f"{file_system:#x}" in objection(circumstances(file_system=file_system))


def test_bytes_are_copied_under_locks_that_all_can_see():
    assert not objection(circumstances())
    assert not objection(circumstances(wal=False, shared_index=False))
    assert not objection(circumstances(access=Access.FROZEN, shared_index=False))
    assert "-shm" in objection(circumstances(shared_index=False))


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_what_may_not_be_copied_raw_goes_through_the_backup_interface_and_says_why(
    tmp_path, monkeypatch, journal_mode
):
    path = build(tmp_path / "a.sqlite", ROWS, journal_mode=journal_mode)
    with user(path) as application:
        change(application, "pinned")
        monkeypatch.setattr(way, "_LOCAL_FILE_SYSTEMS", set())
        artefact = take(path, tmp_path / "run")
        assert artefact.facts.extra["copied_by"] == "backup"
        assert "not known to be local" in artefact.facts.extra["copied_by_reason"]
        assert artefact.path.read_bytes()[18:20] == path.read_bytes()[18:20]
        assert dump(artefact.path) == dump(judge_of(path, tmp_path / "judge.sqlite"))


def judge_of(path, target):
    with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(target)) as judge:
        database.backup(judge)
    return target


def test_writers_who_never_pause_are_copied_through_the_backup_interface(tmp_path, monkeypatch):
    monkeypatch.setattr(raw, "_PINS", 0)
    artefact = take(build(tmp_path / "a.sqlite", ROWS), tmp_path / "run")
    assert artefact.facts.extra["copied_by"] == "backup"
    assert "never stopped committing" in artefact.facts.extra["copied_by_reason"]


def test_a_journal_mode_that_changes_while_it_is_opened_is_a_passing_failure(tmp_path, monkeypatch):
    path = build(tmp_path / "a.sqlite", ROWS, journal_mode="delete")

    def then_changed(real, look, control, pinned=source._pinned):
        with user(path) as application:
            application.execute("PRAGMA journal_mode = WAL")
        return pinned(real, look, control)

    monkeypatch.setattr(source, "_pinned", then_changed)
    with pytest.raises(SourceError, match="has just changed its journal mode") as failure:
        take(path, tmp_path / "run")
    assert failure.value.transient


# Damage on the way


def test_a_source_that_is_cut_meanwhile_is_a_passing_failure(tmp_path):
    path = build(tmp_path / "a.sqlite", ROWS, journal_mode="delete")
    with opened(path, RunControl()) as database:
        pinned = raw.pin(database, RunControl())
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(SourceError, match="became shorter") as failure:
            copy(database, pinned, tmp_path / "copy.sqlite", RunControl())
    assert failure.value.transient


def test_a_frame_that_was_damaged_on_the_way_is_found(tmp_path, monkeypatch):
    path = build(tmp_path / "a.sqlite", ROWS)

    def damaging(target, frames, control, fold=raw.fold):
        with raw.wal_beside(target).open("r+b") as file:
            file.seek(32 + 24 + 100)
            file.write(b"\xff")
        fold(target, frames, control)

    monkeypatch.setattr(raw, "fold", damaging)
    with user(path) as application:
        change(application, "pinned")
        with pytest.raises(StoreError, match=r"has 0 good frames of \d+"):
            take(path, tmp_path / "run")


def test_the_facts_hold_the_pages_that_were_copied(tmp_path):
    path = build(tmp_path / "a.sqlite", ROWS)
    with user(path) as application:
        application.execute("INSERT INTO notes SELECT id + 3000, body FROM notes")
        artefact = take(path, tmp_path / "run")
    assert artefact.facts.extra["page_count"] * 4096 == artefact.path.stat().st_size == artefact.facts.source_bytes
    assert artefact.read_back


# References


@pytest.mark.parametrize("level", [ProofLevel.STORED, ProofLevel.READABLE])
def test_references_are_counted_where_the_proof_will_ask(tmp_path, level):
    script = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id)); INSERT INTO c VALUES (1);"
    )
    artefact = take(build(tmp_path / "a.sqlite", script), tmp_path / "run", proof=level)
    assert artefact.facts.extra.get("foreign_key_violations") == (1 if level is ProofLevel.READABLE else None)


def test_references_that_changed_in_the_source_since_are_no_damage(tmp_path, monkeypatch):
    script = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id)); INSERT INTO c VALUES (1);"
    )
    path = build(tmp_path / "a.sqlite", script)

    def then_mended(copied, target, control):
        finish(copied, target, control)
        with user(path) as application:
            application.execute("DELETE FROM c")

    monkeypatch.setattr(engine, "finish", then_mended)
    artefact = take(path, tmp_path / "run")
    assert artefact.facts.extra["foreign_key_violations"] == 1
    assert "1 references" in artefact.warnings[0]


# Side files


def test_a_stop_between_the_files_leaves_the_folder_of_the_source_as_it_was(tmp_path):
    folder = tmp_path / "application"
    folder.mkdir()
    path = build(folder / "a.sqlite", ROWS)
    with user(path) as application:
        change(application, "pinned")
        before, stop = listing(folder), threading.Event()
        control = RunControl(stop=stop, on_progress=lambda _: stop.set())
        began = time.perf_counter()
        with contextlib.suppress(Exception), opened(path, control) as database:
            copy(database, raw.pin(database, RunControl()), tmp_path / "copy.sqlite", control)
        assert time.perf_counter() - began < 2
        assert listing(folder) == before
        application.execute("PRAGMA busy_timeout = 0")
        assert application.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)


def test_chunks_are_small_enough_to_stop_at_once():
    assert kernel.CHUNK_BYTES <= 16 << 20
