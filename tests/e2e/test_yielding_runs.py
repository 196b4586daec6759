"""A migration comes while a snapshot is taken: it gets through, and the snapshot is taken after it."""

import json
import time

import psycopg
import pytest

from tests.support.cli import Amanat, wait_for
from tests.support.postgres_subject import clients_with
from tests.support.scene import runs

pytestmark = [pytest.mark.pg, pytest.mark.slow]

TABLE = "CREATE TABLE notes AS SELECT n AS id, repeat(md5(n::text), 40) AS body FROM generate_series(1, 10000) n"
ONCE_STUCK = '[ -e {mark} ] && exec "$real" "$@"; touch {mark}; "$real" "$@" | {{ sleep 60; cat; }}'
POLICIES = """
version: 1
databases:
  bank:
    engine: postgresql
    environment: staging
    connection: {{host: {host}, port: "{port}", dbname: {dbname}, user: postgres}}
    client: {clients}
policies:
  nightly:
    databases: [bank]
    on_demand: true
    keep: {{last: 3}}
    yield_after: 1s
    retry: {{backoff: 1s}}
    timeout: 20s
  hasty:
    databases: [bank]
    on_demand: true
    keep: {{last: 3}}
    retry: {{backoff: 1s}}
    timeout: 4s
"""


@pytest.fixture
def conninfo(postgres):
    return postgres.database(sql=TABLE)


@pytest.fixture
def amanat(postgres, conninfo, tmp_path):
    """Its first pg_dump gets stuck while it reads."""
    script = ONCE_STUCK.format(mark=tmp_path / "mark")
    clients = clients_with(tmp_path / "bin", postgres.bin, pg_dump=script)
    made = Amanat(tmp_path)
    made.policies(POLICIES.format(**conninfo, clients=clients))
    return made


def test_the_migration_gets_through_and_the_snapshot_follows(amanat, postgres, conninfo):
    reads = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{conninfo['dbname']}' AND query LIKE 'COPY%'"
    with amanat.started("snapshot", "bank", "--policy=nightly") as taking:
        wait_for("pg_dump reads", lambda: postgres.psql(reads))
        began = time.monotonic()
        postgres.psql("ALTER TABLE notes ADD seen boolean", conninfo["dbname"])
        assert time.monotonic() - began < 3
        assert taking.wait(30) == 0
        said = taking.output()
    assert "run.retried" in said
    assert "had waited" in said
    assert [run["outcome"] for run in runs(amanat)] == ["yielded", "succeeded"]
    (taken,) = amanat.json("list")
    assert taken["proven"]


def test_a_migration_that_outlasts_the_timeout_is_told_with_an_exit_code_of_its_own(amanat, conninfo):
    (amanat.folder / "mark").touch()  # nothing gets stuck here: pg_dump does not come to read
    with psycopg.connect(**conninfo) as migration:
        migration.execute("LOCK TABLE notes")
        said = amanat.fails(6, "snapshot", "bank", "--policy=hasty", "--json")
    error = json.loads(said.splitlines()[-1])["error"]
    assert error["kind"] == "yielded"
    assert "public.notes" in error["message"]
    assert error["hint"]
    assert {run["outcome"] for run in runs(amanat)} == {"yielded"}
    assert [entry["outcome"] for entry in amanat.query("SELECT outcome FROM entries")] == ["yielded"]
    assert amanat.files() == []
