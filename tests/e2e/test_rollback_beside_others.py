"""A rollback of a database on which somebody else is at work: it waits, or is told who that is."""

import contextlib

import pytest

from tests.support.applications import PostgresqlApplication, SqliteApplication

pytestmark = pytest.mark.slow

ROLLBACK = ("rollback", "app", "--yes", "--purpose=failed")
RESTORING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'COPY %slow%' AND datname LIKE 'amanat%'"
UNTIL_TOLD = "[{shell: 'touch there; while [ -e there ]; do sleep 0.05; done'}]"


@pytest.fixture
def application(tmp_path):
    made = SqliteApplication(tmp_path)
    made.held = made.snapshot()
    made.migrate_halfway()
    return made


@contextlib.contextmanager
def at_work(application, moment, *command):
    """A command that stands still in a hook, until it is told to go on."""
    there = application.amanat.folder / "there"
    application.configure(hooks=f"{{{moment}: {UNTIL_TOLD}}}")
    with application.amanat.started(*command) as process:
        process.wait_for("the hook", there.exists)
        application.configure()
        yield process
        there.unlink(missing_ok=True)
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("moment", "command", "who"),
    [
        ("before_snapshot", ("snapshot", "app", "--purpose=x", "--by=cron"), "snapshot of app by cron"),
        ("after_swap", (*ROLLBACK, "--by=ann"), "rollback of app by ann"),
    ],
)
def test_who_works_on_it_is_named(application, moment, command, who):
    with at_work(application, moment, *command):
        for other in (ROLLBACK, ("accept", "app")):
            assert who in application.amanat.fails(6, *other, "--wait=0s")


@contextlib.contextmanager
def waiting(application):
    """A rollback, for a snapshot that is being taken; that goes on afterwards."""
    with (
        at_work(application, "before_snapshot", "snapshot", "app", "--purpose=x"),
        application.amanat.started(*ROLLBACK, f"--to={application.held}", "--wait=30s") as process,
    ):
        process.wait_for("what it shows", lambda: "What was written since" in process.output())
        yield process
        (application.amanat.folder / "there").unlink()
        process.wait(30)


def test_one_that_waits_goes_on_when_its_turn_comes(application):
    with waiting(application) as process:
        pass
    assert process.wait() == 0


def test_a_snapshot_that_is_gone_when_its_turn_comes_is_refused(application):
    spoiled = application.digests()
    with waiting(application) as process:
        (row,) = application.amanat.query("SELECT path FROM snapshots WHERE id = ?", application.held)
        (application.amanat.store / row["path"]).unlink()
    assert process.wait() == 4
    assert application.held in process.output()
    assert application.digests() == spoiled


def test_a_migration_goes_first(application):
    amanat = application.amanat
    there = amanat.folder / "there"
    command = ("migrate", "app", "--purpose=release", "--by=ann", "--", "sh", "-c", "touch there; sleep 30")
    with amanat.started(*command) as process:
        process.wait_for("the migration", there.exists)
        said = amanat.fails(6, *ROLLBACK, "--wait=0s")
        assert "migration" in said and "ann" in said


def test_a_drill_keeps_nobody_waiting(tmp_path, postgres):
    slow = "CREATE TABLE slow (n int CHECK (pg_sleep(0.01) IS NOT NULL))"
    application = PostgresqlApplication(tmp_path, postgres)
    taken = application.digests()
    application.execute(slow, "INSERT INTO slow SELECT generate_series(1, 200)")
    amanat = application.amanat
    held = amanat.json("snapshot", "app", "--purpose=x")["id"]
    with amanat.started("drill", "app") as drill:
        drill.wait_for("rows", lambda: postgres.psql(RESTORING))
        amanat.ok(*ROLLBACK, f"--to={held}")
        assert application.digests() == taken
        assert drill.wait(30) == 0
