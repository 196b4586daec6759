"""A migration that fails is rolled back by the command that ran it, while the application goes on writing."""

import json
import shlex
import signal
import subprocess
import time

import pytest

from tests.support.applications import PostgresqlApplication, SqliteApplication
from tests.support.cli import wait_for

pytestmark = pytest.mark.slow

HALFWAY = """
ALTER TABLE users DROP COLUMN phone;
UPDATE users SET name = name || ' (migrated)' WHERE id <= 250;
INSERT INTO migrations VALUES (2, '2026_11_23_000000_drop_phone', 2);
SELECT nothing FROM nowhere;
INSERT INTO migrations VALUES (3, '2026_11_23_000001_never', 2);
"""
ADD = "ALTER TABLE users ADD COLUMN seen integer"


@pytest.fixture(params=["sqlite-wal", "sqlite-delete", "postgresql"])
def application(request, tmp_path):
    if request.param == "postgresql":
        return PostgresqlApplication(tmp_path, request.getfixturevalue("postgres"))
    return SqliteApplication(tmp_path, request.param.removeprefix("sqlite-"))


@pytest.fixture
def on_sqlite(tmp_path):
    return SqliteApplication(tmp_path)


def client(application, *, user=None):
    """It reads statements, executes each by itself, and ends at the first error."""
    if isinstance(application, SqliteApplication):
        return ["sqlite3", "-bail", "-cmd", ".timeout 5000", str(application.path)]
    known = {**application.conninfo, **({"user": user} if user else {})}
    where = ["-h", known["host"], "-p", known["port"], "-U", known["user"], "-d", known["dbname"]]
    return [str(application.postgres.bin / "psql"), "-Xv", "ON_ERROR_STOP=1", *where]


def migrate(*command, rolls_back=True, **options):
    said = {"purpose": "release 2.1.0", "policy": "pre-release", **options}
    options = (f"--{name.replace('_', '-')}={text}" for name, text in said.items())
    return ["migrate", "app", *options, *(["--rollback-on-failure"] if rolls_back else []), "--", *command]


def halfway(application, then="exit 9"):
    return f"printf %s {shlex.quote(HALFWAY)} | {shlex.join(client(application))} || {then}"


def entries(application, kind):
    return application.amanat.query("SELECT * FROM entries WHERE kind = ? ORDER BY sequence", kind)


def assert_halfway(application):
    users = application.rows("users")
    assert (users[0], users[-1]) == ((1, "user 1 (migrated)"), (500, "user 500"))
    assert application.rows("migrations")[1:] == [(2, "2026_11_23_000000_drop_phone", 2)]


def test_what_a_migration_did_halfway_is_rolled_back_and_that_can_be_undone(application):
    amanat, taken = application.amanat, application.digests()
    with application.writer() as written:
        done = amanat.run(*migrate("sh", "-c", halfway(application)))
        swapped = time.monotonic()
        wait_for("writes to what is live now", lambda: len(written.after(swapped)) > 5)
    assert done.returncode == 9, done.stderr
    assert application.digests() == taken
    back = application.writes()
    assert "rolling back to snapshot " in done.stderr
    assert "amanat undo app" in done.stderr
    (migration,), (rollback,) = entries(application, "migration"), entries(application, "rollback")
    assert (migration["outcome"], rollback["outcome"]) == ("failed", "succeeded")
    assert migration["snapshot"] == rollback["snapshot"]
    assert (migration["sequence"], rollback["purpose"]) == (
        rollback["sequence"] - 1,
        "release 2.1.0: sh exited with 9",
    )
    assert_logged(
        application, "migration of app", "rollback of app", "2026_11_23_000000_drop_phone (laravel, 2 applied) now"
    )
    amanat.ok("undo", "app", "--yes", "--purpose=it was not the migration")
    assert_halfway(application)
    assert set(written.texts) <= back | application.writes()
    assert amanat.json("register", "verify")["valid"]


def assert_logged(application, *words):
    log = (application.amanat.folder / "documents" / "rollback-log.md").read_text("utf-8")
    assert [word for word in words if word not in log] == [], log


def test_a_rollback_that_fails_is_told_and_changes_no_exit_code(on_sqlite):
    on_sqlite.snapshot()
    on_sqlite.configure(more='before_swap: [{sql: "SELECT count(*) FROM users", expect: "1"}]')
    said = on_sqlite.amanat.fails(9, *migrate("sh", "-c", halfway(on_sqlite)))
    assert "the rollback failed: " in said
    assert "to try again: amanat rollback app --to " in said
    assert_halfway(on_sqlite)
    (entry,) = entries(on_sqlite, "rollback")
    assert entry["outcome"] == "failed"


def test_one_that_cannot_even_begin_is_in_the_register_too(on_sqlite):
    said = on_sqlite.amanat.fails(9, *migrate("sh", "-c", "rm app.sqlite*; exit 9"))
    assert "the rollback failed: " in said
    (entry,) = entries(on_sqlite, "rollback")
    assert (entry["outcome"], entry["purpose"]) == ("failed", "release 2.1.0: sh exited with 9")
    assert json.loads(entry["detail"])["result"] == "app is as the command left it"


def test_whoever_stops_it_has_not_asked_for_a_rollback(on_sqlite):
    with on_sqlite.amanat.started(
        *migrate("sh", "-c", halfway(on_sqlite, "{ echo begun; exec sleep 60; }"))
    ) as run:
        wait_for("the command", lambda: "begun" in run.output())
        assert run.stop() == 128 + signal.SIGTERM
        said = run.output()
    assert "it was told to stop, so nothing is rolled back" in said
    assert "to go back: amanat rollback app --to " in said
    assert_halfway(on_sqlite)
    assert entries(on_sqlite, "rollback") == []


def test_what_was_not_started_is_not_rolled_back(on_sqlite):
    assert "cannot be started" in on_sqlite.amanat.fails(3, *migrate("/nowhere/artisan"))
    assert [entry["outcome"] for entry in entries(on_sqlite, "migration")] == ["failed"]
    assert entries(on_sqlite, "rollback") == []


@pytest.fixture
def enforced(tmp_path, postgres):
    """``owner``: the application's role, to which all tables belong. Amanat connects as a superuser."""
    made, owner = PostgresqlApplication(tmp_path, postgres), postgres.role()
    made.execute(
        *(f"ALTER TABLE {name} OWNER TO {owner}" for name in ("users", "surveys", "writes", "migrations"))
    )
    made.amanat.ok("enforce", "install", "app")
    made.owner = owner
    return made


def test_where_it_is_enforced_a_migration_has_a_pass_for_as_long_as_it_runs(enforced):
    alter = [*client(enforced, user=enforced.owner), "-c", ADD]

    def refused():
        done = subprocess.run(alter, capture_output=True, text=True, check=False)
        return "it has no valid pass" in done.stderr

    assert refused()
    enforced.amanat.ok(*migrate(*alter))
    assert len(enforced.rows("users")[0]) == 4
    assert enforced.amanat.json("enforce", "status", "app")["passes"] == []
    assert refused()
    detail = entries(enforced, "enforcement")[-1]["detail"]
    assert f" for role {enforced.owner} until " in detail


def test_a_pass_is_for_the_role_that_is_named_and_for_no_other(enforced):
    alter = [*client(enforced, user=enforced.owner), "-c", ADD]
    said = enforced.amanat.fails(5, *migrate(*alter, pass_role="nobody_of_that_name"))
    assert "no role nobody_of_that_name" in said
    other = enforced.postgres.role()
    done = enforced.amanat.run(*migrate(*alter, rolls_back=False, pass_role=other))
    assert done.returncode == 1
    assert "it has no valid pass" in done.stderr
    assert len(enforced.rows("users")[0]) == 3
