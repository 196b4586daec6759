"""What a PostgreSQL database is while others use it: who would hold up a migration, as any role may see it."""

import contextlib
import re
from datetime import timedelta

import psycopg
import pytest

from amanat.domain import whereabouts
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.cli import wait_for
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import engine_for

SCRIPT = """
CREATE TABLE migrations (id serial PRIMARY KEY, migration text NOT NULL, batch integer NOT NULL);
INSERT INTO migrations (migration, batch) VALUES ('2026_01_01_000000_create_users', 1);
CREATE TABLE users (id integer PRIMARY KEY, name text);
INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 10000) n;
CREATE TABLE surveys (id integer PRIMARY KEY);
GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC;
"""
READS = "SELECT * FROM users LIMIT 1"


@pytest.fixture(params=[14, 18], ids=lambda major: f"pg{major}")
def postgres(postgres_workspace, request):
    handed = Postgres(postgres_workspace.server(request.param))
    yield handed
    handed.close()


@pytest.fixture
def conninfo(postgres):
    return postgres.database(sql=SCRIPT)


@pytest.fixture(params=["superuser", "plain"])
def asked(request, postgres, conninfo):
    """How the gate reaches it."""
    return conninfo if request.param == "superuser" else {**conninfo, "user": postgres.role()}


@pytest.fixture
def plain(postgres, conninfo):
    return {**conninfo, "user": postgres.role()}


def live(postgres, conninfo, base, **parameters):
    return engine_for(postgres, {**conninfo, **parameters}).live(base, RunControl(timeout=timedelta(seconds=60)))


def told(postgres, conninfo, base):
    return [holder.description for holder in live(postgres, conninfo, base).holders]


@contextlib.contextmanager
def connected(conninfo, name="holder", **parameters):
    with psycopg.connect(**{**conninfo, "application_name": name, **parameters}) as connection:
        yield connection
        connection.rollback()


def test_it_is_told_as_the_facts_of_a_snapshot_tell_it(postgres, conninfo, tmp_path):
    facts = engine_for(postgres, conninfo).take(make_order(tmp_path), RunControl()).facts
    found = live(postgres, conninfo, tmp_path)
    assert found.migrations == facts.extra["migrations"]
    assert found.migrations[0]["name"] == "2026_01_01_000000_create_users"
    assert found.identity == whereabouts.of(facts)
    assert found.identity.keys() == {"system_identifier", "database"}
    assert found.source_bytes > 1_000_000
    assert found.free_bytes > 0
    assert found.holders == ()


def test_what_a_plain_role_may_not_know_is_left_out(postgres, conninfo, tmp_path):
    found = live(postgres, conninfo, tmp_path, user=postgres.role())
    assert found.free_bytes is None
    assert [fact["count"] for fact in found.migrations] == [1]
    assert found.identity["database"] == conninfo["dbname"]


def test_a_session_idle_in_transaction(postgres, conninfo, asked, tmp_path):
    with connected(conninfo) as holder:
        holder.execute(READS)
        (description,) = told(postgres, asked, tmp_path)
        hidden = asked["user"] != "postgres"
        assert re.fullmatch(
            rf"session {holder.info.backend_pid} \(holder, user postgres"
            + ("" if hidden else r", idle in transaction, transaction \S+ old")
            + r"\), which holds locks on public\.users",
            description,
        )
    assert told(postgres, asked, tmp_path) == []


def test_a_transaction_is_told_from_the_next_one_of_its_session(postgres, conninfo, tmp_path):
    with connected(conninfo) as holder:
        keys = set()
        for _ in range(2):
            holder.execute(READS)
            keys |= {found.key for _ in range(2) for found in live(postgres, conninfo, tmp_path).holders}
            holder.rollback()
    assert len(keys) == 2


def test_who_holds_what_nobody_migrates_is_no_holder(postgres, conninfo, plain, tmp_path):
    elsewhere = postgres.database(sql=SCRIPT)
    with connected(conninfo) as catalogs, connected(conninfo) as own, connected(elsewhere) as other:
        catalogs.execute("SELECT relname FROM pg_class LIMIT 1")
        own.execute("CREATE TEMPORARY TABLE own AS SELECT 1")
        other.execute(READS)
        assert told(postgres, plain, tmp_path) == []


def test_more_tables_than_one_wants_to_read(postgres, conninfo, tmp_path):
    tables = [f"t{number}" for number in range(5)]
    postgres.psql("".join(f"CREATE TABLE {table} (id integer);" for table in tables), conninfo["dbname"])
    with connected(conninfo) as holder:
        holder.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")
        (description,) = told(postgres, conninfo, tmp_path)
    assert description.endswith("locks on public.t0, public.t1, public.t2 and 2 more")


def test_a_table_of_migrations_that_somebody_has_to_himself(postgres, conninfo, plain, tmp_path):
    with connected(conninfo) as holder:
        holder.execute("LOCK TABLE migrations")
        found = live(postgres, plain, tmp_path)
        assert [f"session {holder.info.backend_pid} " in each.description for each in found.holders] == [True]
    assert found.migrations is None


def test_a_prepared_transaction(postgres, conninfo, plain, tmp_path):
    postgres.psql("BEGIN; UPDATE users SET name = ''; PREPARE TRANSACTION 'left over'", conninfo["dbname"])
    try:
        first, second = (live(postgres, plain, tmp_path).holders for _ in range(2))
    finally:
        postgres.psql("ROLLBACK PREPARED 'left over'", conninfo["dbname"])
    (holder,) = first
    assert re.fullmatch(
        r"the prepared transaction left over \(transaction \S+ old\), which holds locks on public\.users",
        holder.description,
    )
    assert [each.key for each in second] == [holder.key]


def test_a_session_of_our_own_is_known_by_its_name(postgres, conninfo, tmp_path):
    with connected(conninfo, "amanat-0123abcd") as ours, connected(conninfo, "amanat-else") as other:
        for session in (ours, other):
            session.execute(READS)
        found = live(postgres, conninfo, tmp_path).holders
        assert {each.ours: "amanat-0123abcd" in each.description for each in found} == {True: True, False: False}
        renamed = live(postgres, conninfo, tmp_path, application_name="amanat-else").holders
        assert not any(each.ours for each in renamed)


# an autovacuum that reads slowly, so that it can be met
SLOW = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_analyze_threshold = 2000000000"
OFTEN = "autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0"
VACUUMS = "SELECT query FROM pg_stat_activity WHERE backend_type = 'autovacuum worker' AND query LIKE '%users%'"
TRANSACTIONS = "DO 'BEGIN FOR n IN 1..100100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END'"


@contextlib.contextmanager
def vacuumed(postgres, conninfo, options):
    """Within, an autovacuum works on ``users``; its query."""
    postgres.psql("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    postgres.psql("SELECT pg_reload_conf()")
    try:
        postgres.psql(f"ALTER TABLE users SET ({SLOW}, {options}); UPDATE users SET name = ''", conninfo["dbname"])
        yield wait_for("an autovacuum", lambda: postgres.psql(VACUUMS), timeout=30)
        assert postgres.psql(VACUUMS), "it has ended before it could be met"
    finally:
        postgres.psql("ALTER SYSTEM RESET autovacuum_naptime")
        postgres.psql("SELECT pg_reload_conf()")


@pytest.mark.slow
def test_an_autovacuum_gives_way_to_a_migration(postgres, conninfo, asked, tmp_path):
    with vacuumed(postgres, conninfo, OFTEN):
        assert told(postgres, asked, tmp_path) == []


@pytest.mark.slow
def test_an_autovacuum_that_prevents_wraparound_does_not(postgres, conninfo, tmp_path):
    postgres.psql(TRANSACTIONS, conninfo["dbname"])
    with vacuumed(postgres, conninfo, "autovacuum_freeze_max_age = 100000") as query:
        assert "to prevent wraparound" in query
        (description,) = told(postgres, conninfo, tmp_path)
    assert "public.users" in description
