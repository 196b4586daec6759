"""What is kept beside a database goes when its time is over, or says why it cannot."""

import re
import time

import pytest

from tests.support.applications import PostgresqlApplication, SqliteApplication

pytestmark = pytest.mark.slow

ROLLBACK = ("rollback", "app", "--yes", "--purpose=failed")
SUBSCRIPTION = "CREATE SUBSCRIPTION far CONNECTION 'host=127.0.0.1 port=1' PUBLICATION told WITH (connect = false)"


@pytest.fixture(params=["sqlite", "postgresql"])
def application(request, tmp_path):
    if request.param == "postgresql":
        return PostgresqlApplication(tmp_path, request.getfixturevalue("postgres"))
    return SqliteApplication(tmp_path)


def kept(amanat):
    return [aside["name"] for aside in amanat.json("status")["asides"]]


def test_when_its_time_is_over_reconcile_drops_it_unless_it_is_held(application):
    amanat = application.amanat
    application.configure(more="undo_window: 2s")
    application.snapshot()
    amanat.ok(*ROLLBACK)
    (name,) = kept(amanat)
    amanat.ok("hold", "kept:app", "--reason=until it is checked")
    time.sleep(2)
    assert amanat.json("reconcile")["expired"] == []
    amanat.ok("release", "kept:app", "--reason=checked")
    assert amanat.json("reconcile")["expired"] == [name]
    assert kept(amanat) == []
    log = (amanat.folder / "documents" / "rollback-log.md").read_text()
    assert "its time is over" in log and name in log
    (entry,) = amanat.query("SELECT detail FROM entries WHERE kind = 'drop'")
    assert entry["detail"].startswith(name)


@pytest.mark.parametrize("application", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", [("undo", "--yes"), ("accept",)])
def test_what_a_dead_rollback_swapped_out_is_known_at_once(application, command):
    amanat = application.amanat
    application.snapshot()
    application.migrate_halfway()
    spoiled = application.digests()
    application.configure(hooks="{after_swap: [{shell: 'touch there; exec sleep 60'}]}")
    with amanat.started(*ROLLBACK) as process:
        process.wait_for("the hook", (amanat.folder / "there").exists)
        assert "rollback of app by" in amanat.fails(6, command[0], "app", *command[1:], "--wait=0s")
        process.kill()
    application.configure()
    amanat.ok(command[0], "app", *command[1:])
    assert (application.digests() == spoiled) == (command[0] == "undo")


def test_one_with_a_subscription_is_named_and_the_others_go(tmp_path, postgres):
    application = PostgresqlApplication(tmp_path, postgres)
    amanat, name = application.amanat, application.conninfo["dbname"]
    application.configure(more="undo_window: 1s")
    application.snapshot()
    amanat.ok(*ROLLBACK)
    postgres.psql(SUBSCRIPTION, name)
    amanat.ok(*ROLLBACK)
    subscribing, _ = kept(amanat)
    time.sleep(1)
    done = amanat.run("reconcile", "--json")
    assert f"database {subscribing} cannot be dropped while it has subscriptions: far" in done.stdout + done.stderr
    assert kept(amanat) == [subscribing]
    said = amanat.fails(3, "accept", "app")
    assert "DROP SUBSCRIPTION" in said and "ALLOW_CONNECTIONS true" in said
    postgres.psql(f'ALTER DATABASE "{subscribing}" ALLOW_CONNECTIONS true')
    for statement in re.findall("(?:ALTER|DROP) SUBSCRIPTION .*?;", said):
        postgres.psql(statement, subscribing)
    amanat.ok("accept", "app")
