"""A live SQLite file is exchanged under real processes that use it, and whoever is killed meanwhile."""

import os
import sqlite3
import stat
import subprocess
import time
from contextlib import closing
from datetime import timedelta

import pytest

from amanat.domain.errors import BusyError, RefusedError, SourceError
from amanat.host.control import RunControl
from tests.support.sqlite_databases import build
from tests.support.sqlite_swaps import (
    Workplace,
    Writer,
    changing_calls,
    child,
    copied,
    digests,
    killed,
    mode,
    session,
    strace,
    told,
)

TABLES = """
CREATE TABLE facts (id INTEGER PRIMARY KEY, body TEXT);
CREATE TABLE written (number INTEGER);
INSERT INTO facts VALUES (1, '{0}'), (2, '{0}');
"""
MODES = pytest.mark.parametrize("journal_mode", ["wal", "delete"])
SWAPPED = ("swap", "app.sqlite.amanat-0123456789ab", "app.sqlite.before-0123456789ab")


def scene(folder, journal_mode, *, restored="wal"):
    """A live database, and one beside it."""
    folder.mkdir(exist_ok=True)
    at = Workplace(build(folder / "app.sqlite", TABLES.format("now"), journal_mode=journal_mode))
    build(at.beside(), TABLES.format("then"), journal_mode=restored)
    at.beside().chmod(0o600)
    return at


def exchange(at, incoming, outgoing, seconds=20.0):
    control = RunControl(timeout=timedelta(seconds=seconds))
    return at.restorer.swap(str(incoming), str(outgoing), at.place(), control)


def names(at):
    return {path.name for path in at.live.parent.iterdir()}


def bodies(path):
    with closing(sqlite3.connect(path)) as connection:
        return {body for (body,) in connection.execute("SELECT body FROM facts")}


@MODES
@pytest.mark.parametrize("restored", ["wal", "delete"])
def test_the_new_one_is_all_that_the_old_one_was_and_back_and_forth(tmp_path, journal_mode, restored):
    at = scene(tmp_path, journal_mode, restored=restored)
    now, then = digests(at.live), digests(at.beside())
    at.live.chmod(0o664)
    done = exchange(at, at.beside(), at.before())
    assert done.statements == (f"ln {at.live} {at.before()}", f"mv {at.beside()} {at.live}")
    assert done.warnings == () and done.seconds < 1
    assert names(at) == {"app.sqlite", at.before().name}
    assert (mode(at.live), stat.S_IMODE(at.live.stat().st_mode)) == (journal_mode, 0o664)
    assert (digests(at.live), digests(at.before())) == (then, now)
    for run, expected in (("1" * 12, now), ("2" * 12, then), ("3" * 12, now)):
        (kept,) = at.live.parent.glob("*.before-*")
        exchange(at, kept, at.before(run))
        assert (digests(at.live), mode(at.live)) == (expected, journal_mode)
    assert names(at) == {"app.sqlite", at.before("3" * 12).name}


def test_a_link_to_the_database_leads_to_the_new_one(tmp_path):
    at = scene(tmp_path, "wal")
    (link := tmp_path / "link.sqlite").symlink_to(at.live)
    linked = Workplace(link)
    assert linked.restorer.names(linked.place(), RunControl()).before == str(at.before())
    exchange(linked, at.beside(), at.before())
    assert link.is_symlink() and bodies(link) == {"then"}


def test_owner_group_and_attributes_are_those_of_the_old_one(tmp_path, root):
    at = scene(tmp_path, "wal")
    os.chown(at.live, 12345, 23456)
    os.setxattr(at.live, "user.kept", b"yes")
    exchange(at, at.beside(), at.before())
    about = at.live.stat()
    assert (about.st_uid, about.st_gid, os.getxattr(at.live, "user.kept")) == (12345, 23456, b"yes")


@MODES
def test_no_write_is_lost_unseen(tmp_path, journal_mode):
    """Each row that its writer was told is written stands in the old file or in the new one."""
    at = scene(tmp_path, journal_mode)
    writer = Writer(at.live)
    try:
        for number in range(5):
            writer.wait_for(20)
            incoming = at.beside() if not number else at.before(f"{number - 1:012}")
            done = exchange(at, incoming, at.before(f"{number:012}"))
            assert done.warnings == () and done.seconds < 1
            after = writer.acknowledged[-1]
        writer.wait_for(20)
    finally:
        writer.stop()
    files = [at.live, *at.live.parent.glob("*.before-????????????")]
    kept = [number for path in files for number in _written(path)]
    assert len(kept) == len(set(kept)) and set(writer.acknowledged) <= set(kept)
    assert {number for number in writer.acknowledged if number > after + 1} <= set(_written(at.live))


def _written(path):
    digests(path)  # whole
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT number FROM written")]


@MODES
def test_who_has_it_open_is_named_and_nothing_is_changed(tmp_path, journal_mode):
    """Idle as he is: with a rollback journal too, he would roll the new one's journal back into the old one."""
    at = scene(tmp_path, journal_mode)
    with session(at.live) as idle:
        assert idle.ask("SELECT count(*) FROM facts") == "[(2,)]"
        with pytest.raises(
            BusyError, match=rf"app\.sqlite is open in process {idle.process.pid} \(python"
        ) as failure:
            exchange(at, at.beside(), at.before(), seconds=0.5)
        assert "before_restore" in failure.value.hint
        assert not at.before().exists() and at.beside().exists()
        assert idle.ask("INSERT INTO facts VALUES (3, 'written')") == "[]"
    assert mode(at.live) == journal_mode and bodies(at.live) == {"now", "written"}
    exchange(at, at.beside(), at.before())
    assert bodies(at.live) == {"then"} and bodies(at.before()) == {"now", "written"}


def test_a_file_that_comes_in_is_open_nowhere(tmp_path):
    at = scene(tmp_path, "delete")
    with session(at.beside()) as curious:
        curious.ask("SELECT count(*) FROM facts")
        with pytest.raises(BusyError, match=f"process {curious.process.pid}"):
            exchange(at, at.beside(), at.before(), seconds=0.5)
    assert bodies(at.live) == {"now"}


WITHOUT_LEASES = ("setpriv", "--inh-caps=-lease", "--bounding-set=-lease")


@pytest.mark.slow
def test_where_the_kernel_does_not_say_who_has_it_open_processes_are_looked_at(tmp_path, root):
    """It grants leases to a file's owner alone; who may take its place without is root in a container."""
    at = scene(tmp_path, "wal")
    os.chown(at.live, 12345, 23456)
    with session(at.live) as idle:
        idle.ask("SELECT count(*) FROM facts")
        busy = told(child(at.live, "swap", at.beside(), at.before(), around=WITHOUT_LEASES))
    assert busy["error"] == "BusyError" and f"process {idle.process.pid}" in busy["message"]
    (warning,) = told(child(at.live, "swap", at.beside(), at.before(), around=WITHOUT_LEASES))["warnings"]
    assert "cannot be told here" in warning
    assert bodies(at.live) == {"then"}


def test_what_a_crashed_application_left_beside_goes_with_its_own_database(tmp_path):
    at = scene(tmp_path, "delete")
    script = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size = 5'); c.execute('BEGIN');"
        "c.execute('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) "
        "INSERT INTO facts SELECT i + 9, hex(randomblob(99)) FROM n'); os._exit(0)"
    )
    subprocess.run(["python3", "-c", script, str(at.live)], check=True)
    assert (tmp_path / "app.sqlite-journal").stat().st_size
    exchange(at, at.beside(), at.before())
    assert (bodies(at.live), bodies(at.before())) == ({"then"}, {"now"})
    assert names(at) == {"app.sqlite", at.before().name}


def test_who_opens_the_old_file_at_the_last_moment_is_kept_out_of_it(tmp_path):
    at = scene(tmp_path, "delete")
    delay = ["-e", "trace=rename", "-e", "inject=rename:delay_enter=1500000"]
    late = _late(at)
    done = child(at.live, "swap", at.beside(), at.before(), around=strace(tmp_path.with_name("trace"), *delay))
    answer, _ = late.communicate(timeout=30)
    assert answer.split() == ["linked", "SQLITE_BUSY"]
    assert told(done)["warnings"] == []
    assert (bodies(at.live), bodies(at.before())) == ({"then"}, {"now"})


def _late(at):
    """Opens it once the second link is there, which is an instant before the rename; tries for two seconds."""
    script = (
        "import os, sqlite3, sys, time\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(0.01)\n"
        "print('linked', flush=True); time.sleep(0.5)\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=2)\n"
        "try: c.execute('INSERT INTO facts VALUES (9, 9)'); print('written')\n"
        "except sqlite3.Error as exc: print(exc.sqlite_errorname)\n"
    )
    argv = ["python3", "-c", script, str(at.live), str(at.before())]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "path"), [("chmod", SWAPPED[1]), ("unlink", "app.sqlite-journal")], ids=["chmod", "unlink"]
)
def test_a_file_that_the_application_puts_there_at_the_last_moment_stays(tmp_path, call, path):
    """It knows nothing of locks, and neither its rows nor its journal are ours to overwrite."""
    at = scene(tmp_path, "delete")
    new = build(tmp_path / "new.sqlite", TABLES.format("put"), journal_mode="wal")
    delay = ["-P", str(tmp_path / path), "-e", f"trace={call}", "-e", f"inject={call}:delay_enter=1500000"]
    application = _putting(at, new)
    done = child(at.live, "swap", at.beside(), at.before(), around=strace(tmp_path.with_name("trace"), *delay))
    assert application.communicate(timeout=30)[0].strip() == "put"
    answer = told(done)
    assert answer["error"] == "SourceError" and "has just become another file" in answer["message"]
    assert str(at.before()) in answer["hint"]
    assert (bodies(at.live), mode(at.live)) == ({"put", "since"}, "wal")
    assert (bodies(at.beside()), bodies(at.before())) == ({"then"}, {"now"})
    assert not at.restorer.is_swapped(str(at.beside()), str(at.before()), at.place(), RunControl())


def _putting(at, new):
    """Once the second link is there, and all is locked; and writes to it."""
    script = (
        "import os, sqlite3, sys, time\n"
        "while not os.path.exists(sys.argv[3]): time.sleep(0.01)\n"
        "time.sleep(0.5); os.rename(sys.argv[1], sys.argv[2])\n"
        "c = sqlite3.connect(sys.argv[2], isolation_level=None)\n"
        "c.execute(\"INSERT INTO facts VALUES (9, 'since')\"); print('put', flush=True); time.sleep(3)\n"
    )
    argv = ["python3", "-c", script, str(new), str(at.live), str(at.before())]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_names_that_do_not_fit_are_refused(tmp_path):
    at = scene(tmp_path, "wal")
    with pytest.raises(SourceError, match="does not exist"):
        exchange(at, at.beside("f" * 12), at.before())
    at.before().touch()
    with pytest.raises(RefusedError, match=r"there is .* already"):
        exchange(at, at.beside(), at.before())
    assert bodies(at.live) == {"now"}


@pytest.mark.slow
@MODES
def test_a_kill_at_any_step_leaves_one_of_them_live_and_reconcile_knows_which(tmp_path, journal_mode):
    at = scene(tmp_path / "scene", journal_mode, restored="delete")
    expected = {"now": digests(at.live), "then": digests(at.beside())}
    calls = changing_calls(tmp_path / "scene", "app.sqlite", *SWAPPED)
    assert {"rename", "fsync"} <= {name for name, _ in calls} and len(calls) >= 6
    ends = [_killed_at(tmp_path, call, journal_mode, expected) for call in calls]
    assert set(ends) == {True, False}


def _killed_at(tmp_path, call, journal_mode, expected):
    at = Workplace(copied(tmp_path / "scene", f"{call[0]}-{call[1]}") / "app.sqlite")
    killed(at.live.parent, call, "app.sqlite", *SWAPPED)
    asked = (str(at.beside()), str(at.before()), at.place(), RunControl())
    done = at.restorer.is_swapped(*asked)
    assert at.restorer.is_swapped(*asked) is done  # asked twice
    assert digests(at.live) == expected["then" if done else "now"]
    assert mode(at.live) == journal_mode and at.warnings == []
    if done:
        assert digests(at.before()) == expected["now"] and not at.beside().exists()
    else:
        assert digests(at.beside()) == expected["then"] and not at.before().exists()
        began = time.monotonic()
        exchange(at, at.beside(), at.before())
        assert digests(at.live) == expected["then"] and time.monotonic() - began < 5
    assert names(at) == {"app.sqlite", at.before().name}
    return done
