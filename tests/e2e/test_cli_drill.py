"""``amanat drill`` as people run it: on a real server, with a failure, and killed in the middle."""

import json

import pytest

from tests.support.cli import Amanat
from tests.support.postgres_plugin import Postgres

BIG = """
CREATE TABLE users AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 200000) n;
CREATE INDEX users_name ON users (name);
"""


@pytest.fixture
def drilled(tmp_path, postgres):
    made = Amanat(tmp_path)
    connection = json.dumps(postgres.database(sql=BIG))
    made.policies(f"""
version: 1
databases:
  atis: {{engine: postgresql, environment: production, connection: {connection}, client: {postgres.bin}}}
policies:
  nightly: {{databases: [atis], on_demand: true, proof: restored, keep: {{last: 3}}}}
""")
    return made


def left(postgres):
    return postgres.psql("SELECT datname FROM pg_database WHERE datname LIKE 'amanat_drill_%'").split()


def test_a_policy_proves_by_restoring_and_a_drill_does_it_again(drilled, postgres):
    taken = drilled.json("snapshot", "atis", "--policy=nightly")
    assert taken["proof"] == "restored"
    (again,) = drilled.json("drill")
    assert (again["id"], again["proof"]) == (taken["id"], "restored")
    (run,) = [run for run in drilled.json("runs", "atis") if run["stage"] == "drill"]
    assert run["outcome"] == "succeeded"
    (status,) = drilled.json("status")["policies"]
    assert status["last_drill"]["snapshot"] == taken["id"] and status["last_drill"]["seconds"] > 0
    assert "atis/nightly: restored and compared in " in drilled.ok("status")
    assert left(postgres) == []


def test_a_snapshot_that_its_policy_does_not_let_be_proven_is_4(drilled):
    never = '{schedule: {cron: "0 4 * * sun"}, max_size: 1KB}'
    drilled.policies(drilled.file.read_text().replace("proof: restored", f"proof: restored, drills: {never}"))
    said = drilled.fails(4, "snapshot", "atis", "--policy=nightly")
    assert "drills.max_size is 1000 B" in said
    (kept,) = drilled.json("list")
    assert (kept["proof"], kept["proven"]) == ("readable", False)


def test_a_drill_without_a_snapshot_or_a_database_is_5(drilled):
    drilled.ok("reconcile")
    assert "no snapshot" in drilled.fails(5, "drill")
    assert "nothing" in drilled.fails(5, "drill", "nothing")


def test_what_a_killed_drill_left_on_the_servers_of_its_policy_is_dropped(drilled, postgres_workspace):
    another = Postgres(postgres_workspace.server(16))
    where = json.dumps({"connection": another.server.conninfo("postgres")})
    text = drilled.file.read_text().replace("proof: restored", f"proof: readable, drill_server: {where}")
    drilled.policies(text)
    drilled.ok("snapshot", "atis", "--policy=nightly")
    killed_in_the_middle(drilled, another)
    drilled.ok("reconcile")
    assert left(another) == []
    (again,) = drilled.json("drill")
    assert again["proof"] == "restored"


def killed_in_the_middle(drilled, server):
    with drilled.started("drill") as process:
        process.wait_for("a database", lambda: left(server))
        process.kill()
    assert left(server)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["reconcile", "daemon"])
def test_what_a_drill_could_not_drop_is_named_and_dropped_later(drilled, postgres, by):
    drilled.ok("snapshot", "atis", "--policy=nightly")
    with drilled.started("drill") as process:
        process.wait_for("a database", lambda: left(postgres))
        (name,) = left(postgres)
        postgres.psql(f"ALTER DATABASE {name} IS_TEMPLATE true")
        process.stop()
    postgres.psql(f"ALTER DATABASE {name} IS_TEMPLATE false")
    run = drilled.json("runs", "atis")[0]
    assert run["outcome"] == "interrupted" and f"database {name} on the server of" in run["note"]
    assert f"`amanat reconcile` drops {name}" in drilled.run("doctor", "atis").stdout
    if by == "reconcile":
        assert drilled.ok("reconcile") == f"dropped: {name}\n1 repaired, 0 foreign files untouched\n"
        assert drilled.json("reconcile")["dropped"] == []
    else:
        with drilled.daemon() as daemon:
            daemon.wait_for("nothing to be left", lambda: not left(postgres))
    assert left(postgres) == []


def test_a_snapshot_taken_by_hand_is_drilled_where_the_policies_say(drilled, postgres_workspace):
    another = Postgres(postgres_workspace.server(16))
    where = json.dumps({"connection": another.server.conninfo("postgres")})
    told = f"proof: restored, drill_server: {where}, checks: [{{sql: 'select 1', expect: '= 2'}}]"
    drilled.policies(drilled.file.read_text().replace("proof: restored", told))
    drilled.ok("snapshot", "atis")
    with drilled.started("drill") as process:
        process.wait_for("a database on the other server", lambda: left(another))
        assert process.wait(timeout=60) == 0
    assert drilled.json("list")[0]["proof"] == "restored"


def test_what_a_killed_drill_left_is_dropped(drilled, postgres):
    drilled.ok("snapshot", "atis")
    killed_in_the_middle(drilled, postgres)
    drilled.ok("reconcile")
    assert left(postgres) == []
    run = drilled.json("runs", "atis")[0]
    assert (run["stage"], run["outcome"]) == ("drill", "interrupted")
