"""A rollback of SQLite, killed at any step of it: the old or the new database is live, whole, and reconcile ends it."""

import pytest

from tests.support import strace
from tests.support.applications import SqliteApplication
from tests.support.sqlite_databases import rows

pytestmark = [pytest.mark.slow, pytest.mark.fault]

ROLLBACK = ("rollback", "app", "--yes", "--purpose=failed")
UNDO = ("undo", "app", "--yes", "--purpose=not failed")
LIVE, BESIDE, BEFORE = r"/app\.sqlite\"", r"/app\.sqlite\.amanat-", r"/app\.sqlite\.before-"


@pytest.fixture(scope="module", params=["wal", "delete"])
def scene(request, tmp_path_factory):
    """A snapshot, and a database that has gone another way since; what each holds."""
    application = SqliteApplication(tmp_path_factory.mktemp("scene"), request.param)
    taken = application.digests()
    application.snapshot()
    application.migrate_halfway()
    return application, taken, application.digests()


@pytest.fixture(scope="module")
def calls(scene, tmp_path_factory):
    return strace.traced(strace.copy(scene[0].amanat, tmp_path_factory.mktemp("traced")), *ROLLBACK)


def of_swap(calls):
    """From the first look of the incoming file's name to the last row: each call is a step at which to die."""
    first = next(index for index, call in enumerate(calls) if "amanat-" in call.arguments)
    return calls[first:]


def test_killed_at_every_step(scene, calls, tmp_path):
    application, taken, spoiled = scene
    seen = set()
    for number, call in enumerate(of_swap(calls)):
        amanat = strace.copy(application.amanat, tmp_path / str(number))
        assert strace.faulted(amanat, call, "signal=SIGKILL", *ROLLBACK).returncode == -9, call
        here = object.__new__(SqliteApplication)
        here.path = amanat.folder / "app.sqlite"
        assert rows(here.path, "PRAGMA integrity_check") == [("ok",)], call
        found = here.digests()
        assert found in (taken, spoiled), call
        amanat.ok("reconcile")
        assert here.digests() == found, call
        left = {path.name for path in amanat.folder.iterdir() if path.name.startswith("app.sqlite")}
        asides = amanat.json("status")["asides"]
        assert amanat.query("SELECT * FROM swaps") == []
        assert {name for name in left if "amanat-" in name} == set(), call
        if found == taken:
            (_aside,) = asides
            amanat.ok(*UNDO)
            assert here.digests() == spoiled, call
        else:
            assert (asides, left - {"app.sqlite", "app.sqlite-wal", "app.sqlite-shm"}) == ([], set()), call
            amanat.ok(*ROLLBACK)
            assert here.digests() == taken, call
        seen.add(found == taken)
    assert seen == {True, False}
