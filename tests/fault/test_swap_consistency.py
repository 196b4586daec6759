"""A swap of SQLite, killed at any step of it: the old or the new database is live, whole, and reconcile ends it.

Left out, for what stands there afterwards is the same: syncs (they concern power, not processes; dying at the call
after one is dying at it), calls that failed, and of calls that follow each other on the same file all but the first.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import strace
from tests.support.applications import SqliteApplication
from tests.support.sqlite_databases import rows

pytestmark = [pytest.mark.slow, pytest.mark.fault]

ROLLBACK = ("rollback", "app", "--yes", "--purpose=failed", "--from-elsewhere")
UNDO = ("undo", "app", "--yes", "--purpose=not failed")
LINK = '"/app.sqlite", "/app.sqlite.before-'
AT_ONCE = 2


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return made(tmp_path_factory.mktemp("scene"), "wal")


def made(folder, journal_mode):
    """A snapshot, and a database that has gone another way since; what each holds."""
    application = SqliteApplication(folder, journal_mode)
    taken = application.digests()
    application.snapshot()
    application.migrate_halfway()
    return application, taken, application.digests()


def moved(application, folder):
    """An equal application in another folder. The register knows what stands aside by its whole path, and its place."""
    other = object.__new__(SqliteApplication)
    other.amanat = strace.copy(application.amanat, folder)
    other.path = other.amanat.folder / "app.sqlite"
    folders = (str(application.path.parent), str(folder))
    other.amanat.query("UPDATE asides SET name = replace(name, ?1, ?2), place = replace(place, ?1, ?2)", *folders)
    return other


def steps(calls, first, last, only):
    """From the first call that is about ``first`` to the first that is about ``last``. ``only``: of these names."""
    begin = next(index for index, call in enumerate(calls) if first in call.arguments)
    those = itertools.takewhile(lambda call: last not in call.arguments, calls[begin:])
    told = [call for call in those if "sync" not in call.name and ") = -1 " not in call.arguments]
    told = [next(same) for _, same in itertools.groupby(told, lambda call: (call.name, file_of(call)))]
    return [call for call in told if not only or call.name in only]


def file_of(call):
    return call.arguments.split(",")[0]


def killed(scene, call, folder, *command):
    """The application afterwards, and whether what was to go live did."""
    application, wanted, before = scene
    here = moved(application, folder)
    known = asides(here)
    assert strace.faulted(here.amanat, call, "signal=SIGKILL", *command).returncode == -9, call
    assert rows(here.path, "PRAGMA integrity_check") == [("ok",)], call
    found = here.digests()
    assert found in (wanted, before), call
    here.amanat.ok("reconcile")
    assert here.digests() == found, call
    assert here.amanat.query("SELECT * FROM swaps") == [], call
    assert files(here) == {"app.sqlite", *asides(here)}, call
    done = found == wanted
    assert (asides(here) != known) == done, call
    return here, done


def asides(application):
    return {Path(row["name"]).name for row in application.amanat.query("SELECT name FROM asides")}


def files(application):
    """But for what SQLite keeps beside: an empty journal is nothing to it."""
    found = [path for path in application.path.parent.iterdir() if path.name.startswith("app.sqlite")]
    return {path.name for path in found if not path.name.endswith(("-wal", "-shm")) and path.stat().st_size}


def kill_at_each(scene, tmp_path, *command, first, last, only=()):
    """And from there go on to the other state, where it was the last moment to take it back, and the first not to."""
    calls = strace.traced(moved(scene[0], tmp_path / "traced").amanat, *command)

    def kill(step):
        number, call = step
        return killed(scene, call, tmp_path / str(number), *command)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(pool.map(kill, enumerate(steps(calls, first, last, only))))
    assert [done for _, done in ended] == sorted(done for _, done in ended)
    _, wanted, before = scene
    taken_back, finished = [each for each, done in ended if not done], [each for each, done in ended if done]
    taken_back[-1].amanat.ok(*command)
    assert taken_back[-1].digests() == wanted
    finished[0].amanat.ok(*UNDO)
    assert finished[0].digests() == before


def test_a_rollback_killed_at_every_step(scene, tmp_path):
    """From the moment when what was restored gets its name to the end of the run."""
    kill_at_each(scene, tmp_path, *ROLLBACK, first='whole.sqlite", "/app', last="rollback-log")


def test_one_without_a_wal_killed_at_every_step_of_the_swap(tmp_path):
    (tmp_path / "scene").mkdir()
    scene = made(tmp_path / "scene", "delete")
    kill_at_each(scene, tmp_path, *ROLLBACK, first=LINK, last="/state/scratch")


def test_an_undo_killed_at_every_step_that_renames(scene, tmp_path):
    """The same scene after a rollback, with the two contents the other way round."""
    application, taken, spoiled = scene
    rolled_back = moved(application, tmp_path / "rolled-back")
    rolled_back.amanat.ok(*ROLLBACK)
    scene = rolled_back, spoiled, taken
    kill_at_each(scene, tmp_path, *UNDO, first=LINK, last="/store/", only=("link", "chmod", "rename", "rmdir"))
