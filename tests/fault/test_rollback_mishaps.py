"""What goes wrong around a rollback: the application comes up again, what is live is whole, and nothing untrue is told."""

import contextlib
import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess

import psycopg
import pytest

from tests.support.applications import PostgresqlApplication, SqliteApplication
from tests.support.cli import COMMAND, wait_for
from tests.support.postgres_cut import cut

pytestmark = [pytest.mark.slow, pytest.mark.fault]

ROLLBACK = ("rollback", "app", "--yes", "--purpose=why")
HOOKS = """
      before_restore: [{shell: 'echo down >> told; %s'}]
      after_swap: [{shell: '%s'}, {shell: 'echo up >> told'}]
      on_failure: [{shell: 'echo failed >> told'}]
"""


@pytest.fixture
def on_sqlite(tmp_path):
    return SqliteApplication(tmp_path)


@pytest.fixture
def on_postgresql(tmp_path, postgres):
    return PostgresqlApplication(tmp_path, postgres)


@pytest.fixture
def application(request):
    return request.getfixturevalue(request.param)


def hooked(application, *, down="true", after="true", more=""):
    application.configure(hooks=HOOKS % (down, after), more=more)


def told(application):
    path = application.amanat.folder / "told"
    return path.read_text().split() if path.exists() else []


def entries(application):
    """Of rollbacks: their outcome, and what they tell."""
    rows = application.amanat.query(
        "SELECT outcome, detail FROM entries WHERE kind = 'rollback' ORDER BY sequence"
    )
    return [(row["outcome"], json.loads(row["detail"])) for row in rows]


def test_a_damaged_snapshot_is_found_before_the_application_is_put_down(on_sqlite):
    application = on_sqlite
    application.snapshot()
    hooked(application)
    (artefact,) = application.amanat.store.rglob("*.sqlite")
    artefact.chmod(0o600)
    with artefact.open("r+b") as opened:
        opened.seek(artefact.stat().st_size // 2)
        opened.write(b"damaged")
    application.amanat.fails(7, *ROLLBACK)
    assert told(application) == ["failed"]


def test_too_little_room_is_found_before_the_application_is_put_down(tmp_path, root):
    (folder := tmp_path / "small").mkdir()
    application = SqliteApplication(tmp_path)
    (tmp_path / "app.sqlite").rename(folder / "app.sqlite")
    application._source = "engine: sqlite\n    path: small/app.sqlite"
    application.configure()
    with contextlib.closing(sqlite3.connect(folder / "app.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE files AS SELECT randomblob(1000000)")
    application.snapshot()
    hooked(application)
    size = (folder / "app.sqlite").stat().st_size * 3 // 2048
    mount = (
        f'cp "$0/app.sqlite" "$0.kept" && mount -t tmpfs -o size={size}k tmpfs "$0" '
        '&& cp "$0.kept" "$0/app.sqlite" && exec "$@"'
    )
    said = application.amanat.fails(3, *ROLLBACK, around=("unshare", "--mount", "sh", "-c", mount, folder))
    assert "free, and the restore takes" in said
    assert told(application) == ["failed"]


def test_a_role_that_cannot_restore_what_others_own_is_found_before_the_application_is_put_down(on_postgresql):
    application, conninfo = on_postgresql, on_postgresql.conninfo
    role, third = application.postgres.role("CREATEDB"), application.postgres.role()
    application.execute(
        f'ALTER DATABASE "{conninfo["dbname"]}" OWNER TO {role}',
        f"GRANT pg_signal_backend, pg_read_all_data TO {role}",
        f"ALTER TABLE surveys OWNER TO {third}",
    )
    application.snapshot()
    application._source = application._source.replace('"user": "postgres"', f'"user": "{role}"')
    hooked(application)
    assert "it is no member of these" in application.amanat.fails(4, *ROLLBACK)
    assert told(application) == ["failed"]


@pytest.mark.parametrize(
    ("application", "number", "code"),
    [("on_sqlite", signal.SIGHUP, 129), ("on_postgresql", signal.SIGQUIT, 131)],
    indirect=["application"],
)
def test_a_signal_before_the_swap_ends_it_cleanly(application, number, code):
    application.snapshot()
    application.migrate_halfway()
    spoiled = application.digests()
    hooked(application, down="touch there; exec sleep 60")
    with application.amanat.started(*ROLLBACK) as process:
        process.wait_for("the hook", (application.amanat.folder / "there").exists)
        process.signal(number)
        assert process.wait() == code
    assert told(application) == ["down", "failed"]
    assert application.digests() == spoiled
    ((outcome, account),) = entries(application)
    assert (outcome, account["result"]) == ("interrupted", "app is as it was")


@pytest.mark.parametrize(
    ("application", "number"),
    [("on_postgresql", signal.SIGHUP), ("on_sqlite", signal.SIGTERM)],
    indirect=["application"],
)
def test_a_signal_after_the_swap_stops_nothing_that_is_left_to_do(application, number):
    taken = application.digests()
    application.snapshot()
    application.migrate_halfway()
    hooked(application, after="touch there; sleep 1; touch over")
    with application.amanat.started(*ROLLBACK) as process:
        process.wait_for("the hook", (application.amanat.folder / "there").exists)
        process.signal(number)
        assert process.wait() == 0
    assert told(application) == ["down", "up"]
    assert application.digests() == taken
    assert [outcome for outcome, _ in entries(application)] == ["succeeded"]
    hooked(application)
    application.amanat.ok("undo", "app", "--yes")


def test_a_terminal_that_goes_after_the_swap_stops_nothing_that_is_left_to_do(on_sqlite):
    """As when ssh drops: the shell has gone, and what is written goes nowhere."""
    on_sqlite.snapshot()
    hooked(on_sqlite, after="touch there; sleep 2; touch over")
    master, slave = pty.openpty()
    command = [*COMMAND, *ROLLBACK]
    environment, folder = on_sqlite.amanat.environment(), on_sqlite.amanat.folder
    with subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command],
        cwd=folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ):
        os.close(slave)
        wait_for("the hook", (folder / "there").exists)
        os.close(master)
    wait_for("the rest", lambda: len(entries(on_sqlite)) == 1)
    assert told(on_sqlite) == ["down", "up"]
    assert [outcome for outcome, _ in entries(on_sqlite)] == ["succeeded"]


def test_a_swap_of_which_nobody_can_tell_is_left_to_reconcile(on_postgresql):
    application, source, taken = on_postgresql, on_postgresql._source, on_postgresql.digests()
    application.snapshot()
    application.migrate_halfway()
    with cut(application.conninfo, comes_back=False) as way:
        application._source = source.replace(json.dumps(application.conninfo), json.dumps(way.conninfo))
        hooked(application)
        said = application.amanat.fails(3, *ROLLBACK)
    assert "whether app was swapped is not known" in said and "amanat reconcile" in said
    assert told(application) == ["down", "failed"]
    ((outcome, account),) = entries(application)
    assert outcome == "failed" and account["result"].startswith("not known yet")
    application._source = source
    application.configure()
    assert application.digests() == taken
    assert "finished" in application.amanat.json("reconcile")["swaps"][0]
    application.amanat.ok("undo", "app", "--yes")


def test_a_swap_whose_answer_was_lost_goes_on_when_it_was_done(on_postgresql):
    application, source, taken = on_postgresql, on_postgresql._source, on_postgresql.digests()
    application.snapshot()
    application.migrate_halfway()
    with cut(application.conninfo, comes_back=True) as way:
        application._source = source.replace(json.dumps(application.conninfo), json.dumps(way.conninfo))
        hooked(application)
        done = application.amanat.json(*ROLLBACK)
        assert way.happened.is_set()
    assert any("it was swapped, but" in warning for warning in done["warnings"])
    assert told(application) == ["down", "up"]
    assert application.digests() == taken


def test_a_warm_file_that_was_damaged_does_not_go_live(on_sqlite):
    on_sqlite.configure(more="warm: true")
    taken = on_sqlite.digests()
    on_sqlite.snapshot()
    on_sqlite.migrate_halfway()
    (warm,) = on_sqlite.amanat.json("status")["asides"]
    with open(warm["name"], "r+b") as opened:  # noqa: PTH123 - a name of the engine
        opened.seek(4096)
        opened.write(b"\xde\xad" * 1000)
    done = on_sqlite.amanat.json(*ROLLBACK)
    assert any("was changed since it was proven" in warning for warning in done["warnings"])
    assert on_sqlite.digests() == taken
    with contextlib.closing(sqlite3.connect(on_sqlite.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_warm_database_that_was_opened_meanwhile_does_not_go_live(on_postgresql):
    application = on_postgresql
    application.configure(more="warm: true")
    taken = application.digests()
    application.snapshot()
    application.migrate_halfway()
    (warm,) = application.amanat.json("status")["asides"]
    opening = f'ALTER DATABASE "{warm["name"]}" ALLOW_CONNECTIONS'
    application.execute(f"{opening} true")
    with psycopg.connect(**{**application.conninfo, "dbname": warm["name"]}) as connection:
        connection.execute("DELETE FROM surveys")
    application.execute(f"{opening} false")
    done = application.amanat.json(*ROLLBACK)
    assert any("was changed since it was proven" in warning for warning in done["warnings"])
    assert application.digests() == taken


def test_a_register_that_is_full_after_the_swap_hides_no_swap(on_sqlite, root):
    amanat, taken = on_sqlite.amanat, on_sqlite.digests()
    on_sqlite.snapshot()
    on_sqlite.migrate_halfway()
    spoiled = on_sqlite.digests()
    hooked(on_sqlite, after="dd if=/dev/zero of=state/fill bs=4k 2>&1; true")
    mount = (
        'cp -a "$0/." "$0.kept" && mount -t tmpfs -o size=3m,mode=700 tmpfs "$0" && cp -a "$0.kept/." "$0" '
        '&& { "$@"; code=$?; rm "$0/fill"; cp -a "$0/." "$0.kept"; exit $code; }'
    )
    said = amanat.fails(3, *ROLLBACK, around=("unshare", "--mount", "sh", "-c", mount, amanat.state))
    assert "app was swapped, and then: register" in said
    assert "move nothing away" in said and "amanat reconcile" in said
    assert on_sqlite.digests() == taken
    assert told(on_sqlite) == ["down", "up"]
    shutil.rmtree(amanat.state)
    amanat.state.with_name("state.kept").rename(amanat.state)
    assert "finished" in amanat.json("reconcile")["swaps"][0]
    on_sqlite.configure()
    amanat.ok("undo", "app", "--yes")
    assert on_sqlite.digests() == spoiled


def test_hooks_after_a_swap_have_a_pass_where_the_schema_is_guarded(on_postgresql):
    application, conninfo = on_postgresql, on_postgresql.conninfo
    owner = application.postgres.role()
    application.execute(
        f'ALTER DATABASE "{conninfo["dbname"]}" OWNER TO {owner}', f"ALTER TABLE surveys OWNER TO {owner}"
    )
    application.amanat.ok("enforce", "install", "app")
    application.snapshot()
    client = f"{application.postgres.bin}/psql -X -v ON_ERROR_STOP=1 -h {conninfo['host']} -p {conninfo['port']}"
    change = f'{client} -U {owner} -d {conninfo["dbname"]} -c "ALTER TABLE surveys ADD seen integer"'
    hooked(application, after=change)
    application.amanat.ok(*ROLLBACK)
    assert told(application) == ["down", "up"]
    assert application.amanat.json("enforce", "status", "app")["passes"] == []
    application.amanat.ok("accept", "app")
    assert subprocess.run(["sh", "-c", change], check=False, capture_output=True).returncode != 0
