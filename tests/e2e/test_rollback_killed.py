"""A rollback of PostgreSQL, killed where others have a part in it: pg_restore, sessions in the way, the commit."""

import contextlib
import os
import signal

import psycopg
import pytest

from tests.support import strace
from tests.support.applications import PostgresqlApplication
from tests.support.cli import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.fault]

ROLLBACK = ("rollback", "app", "--yes", "--purpose=failed")
SLOW = "CREATE TABLE slow (n int CHECK (pg_sleep(0.004) IS NOT NULL))"


@pytest.fixture
def application(tmp_path, postgres):
    return PostgresqlApplication(tmp_path, postgres)


def databases(application):
    name = application.conninfo["dbname"]
    found = application.postgres.psql(
        f"SELECT datname FROM pg_database WHERE starts_with(datname, '{name}') OR starts_with(datname, 'amanat_')"
    )
    return {each.replace(name, "live") for each in found.split()}


def require_settled(application, wanted, other):
    """``wanted`` is live, ``other`` by the next command; nothing else is left."""
    amanat = application.amanat
    assert application.digests() == wanted
    amanat.ok("reconcile")
    assert application.digests() == wanted
    kept = {
        aside["name"].replace(application.conninfo["dbname"], "live") for aside in amanat.json("status")["asides"]
    }
    assert databases(application) == {"live"} | kept
    assert amanat.query("SELECT * FROM swaps") == []
    amanat.ok(*(("undo", "app", "--yes") if kept else ROLLBACK))
    assert application.digests() == other


def spoiled(application):
    """After a snapshot; what was taken, and what is live now."""
    taken = application.digests()
    application.snapshot()
    application.migrate_halfway()
    return taken, application.digests()


def test_while_pg_restore_runs(application):
    application.execute(SLOW, "INSERT INTO slow SELECT generate_series(1, 150)")
    taken, live = spoiled(application)
    with application.amanat.started(*ROLLBACK) as process:
        process.wait_for("the restore", lambda: restoring(application))
        process.kill()
    require_settled(application, live, taken)


def restoring(application):
    return application.postgres.psql(
        "SELECT query FROM pg_stat_activity WHERE datname LIKE '%amanat%' AND query LIKE 'COPY %slow%'"
    )


@contextlib.contextmanager
def stopped_session(application):
    """It cannot end, whoever tells it to."""
    with psycopg.connect(**application.conninfo, autocommit=True) as connection:
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


def test_while_the_swap_waits_for_a_session_that_does_not_end(application):
    taken, live = spoiled(application)
    with stopped_session(application), application.amanat.started(*ROLLBACK) as process:
        process.wait_for("the swap", lambda: renaming(application))
        process.kill()
    wait_for("the server to take it back", lambda: not renaming(application))
    require_settled(application, live, taken)


def renaming(application):
    return application.postgres.psql("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'ALTER DATABASE%RENAME%'")


def test_after_the_commit_before_the_register_knows(application):
    """Of an undo, which asks the same each time: a restore asks for its progress now and then."""
    amanat = application.amanat
    taken, live = spoiled(application)
    amanat.ok(*ROLLBACK)
    here = strace.left_after(amanat, "COMMIT", "undo", "app", "--yes")
    assert strace.faulted(amanat, here, "signal=SIGKILL", "undo", "app", "--yes").returncode == -signal.SIGKILL
    assert len(amanat.query("SELECT * FROM swaps")) == 1
    require_settled(application, taken, live)
