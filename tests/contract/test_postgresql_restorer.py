"""A PostgreSQL snapshot is restored beside the live database, and stays."""

import threading
from dataclasses import replace

import pytest

from amanat.domain.errors import IntegrityError, InterruptedRunError, RefusedError
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.domain.sql_check import SqlCheck, parse_expectation
from amanat.engines.postgresql import PostgresqlRehearser, PostgresqlRestorer
from amanat.engines.postgresql.rehearsing.database import PREFIX
from amanat.host.control import RunControl
from amanat.ports.restoring import RestoreOrder
from tests.contract.engine_contract import make_order
from tests.support import postgres_rich
from tests.support.postgres_subject import engine_for
from tests.support.rehearsal_place import place

__all__ = ["place"]

TABLES = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO users (name) SELECT md5(n::text) FROM generate_series(1, 3000) n;
CREATE TABLE surveys AS SELECT n AS id, repeat(n::text, 20) AS title FROM generate_series(1, 300) n;
CREATE INDEX surveys_title ON surveys (title);
SELECT lo_from_bytea(0, 'large');
"""
OWNED = f"""
CREATE SCHEMA app; SET search_path = app;
{TABLES.replace("SELECT lo_", "SELECT pg_catalog.lo_")}
CREATE VIEW named AS SELECT name FROM users;
GRANT SELECT ON users TO {{reader}}; GRANT USAGE ON SCHEMA app TO {{reader}};
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO {{reader}};
ALTER TABLE surveys ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON surveys TO {{reader}} USING (id > 3);
"""
NO_DDL = """
CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'ddl'; END $$;
CREATE EVENT TRIGGER "Odd one" ON ddl_command_start EXECUTE FUNCTION forbid();
COMMENT ON EVENT TRIGGER "Odd one" IS 'ask first';
"""


@pytest.fixture
def swept():
    """What a test restored on a server that it names is dropped after it."""
    servers = []
    yield servers.append
    for postgres in servers:
        for name in left(postgres):
            postgres.psql(f'DROP DATABASE "{name}"')


def left(postgres):
    return postgres.psql("SELECT datname FROM pg_database WHERE datname LIKE '%amanat%' ORDER BY 1").split()


def restorer(postgres, database):
    source = PostgresqlSource(parameters=database)
    return PostgresqlRestorer(source, None, extra_client_folders=(postgres.bin,))


def taken(postgres, database, base, **fields):
    (base / "taken").mkdir(exist_ok=True)
    return engine_for(postgres, database).take(make_order(base / "taken", **fields), RunControl())


def beside(database, place):
    return f"{database['dbname']}_amanat_{place.run}"


def order_of(artefact, name, **fields):
    return RestoreOrder(artefact=artefact.path, facts=artefact.facts, name=name, **fields)


def differences(found):
    return [difference.describe() for difference in found.comparison.differences]


def test_one_that_stands_in_is_all_that_the_live_one_is(postgres_matrix, tmp_path, place, swept):
    swept(postgres_matrix)
    database = postgres_matrix.database(sql=postgres_rich.schema(postgres_matrix.major))
    owner = postgres_matrix.role()
    postgres_matrix.psql(f"ALTER DATABASE {database['dbname']} OWNER TO {owner}")
    artefact, name = taken(postgres_matrix, database, tmp_path), beside(database, place)
    asked = restorer(postgres_matrix, database)
    found = asked.restore(order_of(artefact, name, stands_in=True), place, RunControl())
    assert (differences(found), found.comparison.not_compared, found.warnings) == ([], (), ())
    assert found.seconds > 0
    told = f"SELECT pg_get_userbyid(datdba), datallowconn, datacl FROM pg_database WHERE datname = '{name}'"
    who, open_to, rights = postgres_matrix.psql(told).strip().split("|")
    assert (who, open_to) == (owner, "f") and "=Tc/" not in rights.replace(f"{owner}=CTc/", "")
    assert asked.size(name, place, RunControl()) > 7_000_000
    asked.drop(name, place, RunControl())
    assert asked.size(name, place, RunControl()) is None
    asked.drop(name, place, RunControl())


def test_it_has_statistics_and_nothing_of_the_comparison(postgres, tmp_path, place, swept):
    swept(postgres)
    database = postgres.database(sql=f"{TABLES}{NO_DDL}")
    artefact, name = taken(postgres, database, tmp_path), beside(database, place)
    restorer(postgres, database).restore(order_of(artefact, name, stands_in=True), place, RunControl())
    postgres.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert postgres.psql("SELECT reltuples FROM pg_class WHERE relname = 'users'", name).strip() == "3000"
    assert postgres.psql("SELECT count(*) FROM pg_stats WHERE tablename = 'users'", name).strip() == "2"
    assert postgres.psql("SELECT evtenabled FROM pg_event_trigger", name).strip() == "O"
    assert "amcheck" not in postgres.psql("SELECT nspname FROM pg_namespace", name)


@pytest.mark.parametrize("postgres_matrix", [14, 15, 18], indirect=True, ids=["pg14", "pg15", "pg18"])
def test_a_plain_role_restores_owners_once_it_is_a_member_of_them(postgres_matrix, tmp_path, place, swept):
    swept(postgres_matrix)
    owner, reader, role = (postgres_matrix.role(rights) for rights in ("", "", "CREATEDB"))
    database = postgres_matrix.database()
    postgres_matrix.psql(f"ALTER DATABASE {database['dbname']} OWNER TO {owner}")
    postgres_matrix.psql(f"SET SESSION AUTHORIZATION {owner}; {OWNED.format(reader=reader)}", database["dbname"])
    postgres_matrix.psql(f"{NO_DDL} ALTER FUNCTION forbid() OWNER TO {owner}", database["dbname"])
    artefact, name = taken(postgres_matrix, database, tmp_path), beside(database, place)
    asked = restorer(postgres_matrix, {**database, "user": role})
    order = order_of(artefact, name, stands_in=True)
    owned = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'app'::regnamespace"
    try:
        with pytest.raises(RefusedError, match=f"cannot restore what roles {owner} own"):
            asked.restore(order, place, RunControl())
        assert left(postgres_matrix) == []
        postgres_matrix.psql(f"ALTER ROLE {role} NOINHERIT")
        with pytest.raises(RefusedError) as refused:
            asked.restore(order, place, RunControl())
        postgres_matrix.psql(refused.value.hint.removeprefix("as a superuser: "))
        found = asked.restore(order, place, RunControl())
        assert (differences(found), found.comparison.not_compared) == ([], ())
        assert found.warnings == ("left out, for only a superuser can make event triggers: Odd one",)
        postgres_matrix.psql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert postgres_matrix.psql(owned, name).split() == [owner]
        asked.drop(name, place, RunControl())
    finally:
        postgres_matrix.psql(f"DROP DATABASE IF EXISTS {name}; DROP DATABASE {database['dbname']}")


def test_a_drill_of_a_plain_role_does_without_event_triggers(postgres, tmp_path, place):
    database = postgres.database(sql=f"{TABLES}{NO_DDL}")
    source = PostgresqlSource(parameters={**database, "user": postgres.role("CREATEDB")})
    rehearser = PostgresqlRehearser(source, None, where=DrillPlace.OWN, extra_client_folders=(postgres.bin,))
    artefact = taken(postgres, database, tmp_path)
    found = rehearser.rehearse(artefact.path, artefact.facts, (), place, RunControl())
    assert differences(found) == []
    assert found.warnings == ("left out, for only a superuser can make event triggers: Odd one",)


def test_a_role_that_is_gone_is_told_before_anything_is_made(postgres, tmp_path, place):
    reader = postgres.role()
    database = postgres.database(sql=f"{TABLES} GRANT SELECT ON users TO {reader}")
    artefact = taken(postgres, database, tmp_path)
    postgres.psql(f"ALTER ROLE {reader} RENAME TO gone")
    try:
        with pytest.raises(RefusedError, match=f"are gone: {reader}") as refused:
            restorer(postgres, database).restore(
                order_of(artefact, beside(database, place), stands_in=True), place, RunControl()
            )
    finally:
        postgres.psql(f"ALTER ROLE gone RENAME TO {reader}")
    assert refused.value.hint == f'CREATE ROLE "{reader}";'
    assert left(postgres) == []


def test_one_of_the_users_own_name_is_open_and_answers(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    artefact, name = taken(postgres, database, tmp_path), f"{database['dbname']}_new"
    checks = [
        SqlCheck(sql="select count(*) from users", expect=parse_expectation(expect))
        for expect in ("3000", "> 9000")
    ]
    asked = restorer(postgres, database)
    try:
        found = asked.restore(order_of(artefact, name, checks=checks), place, RunControl())
        assert differences(found) == ["check select count(*) from users: expected > 9000, found 3000"]
        assert postgres.psql("SELECT count(*) FROM users", name).strip() == "3000"
        with pytest.raises(RefusedError, match=f"there is a database {name} on the server"):
            asked.restore(order_of(artefact, name), place, RunControl())
    finally:
        postgres.psql(f"DROP DATABASE IF EXISTS {name}")
    assert left(postgres) == []


@pytest.mark.parametrize(("name", "said"), [("", "cannot be the name"), ("ä" * 32, "has to have 1 to 63 bytes")])
def test_what_can_be_no_name_is_refused(postgres, tmp_path, place, name, said):
    database = postgres.database(sql=TABLES)
    artefact = taken(postgres, database, tmp_path)
    with pytest.raises(RefusedError, match=said):
        restorer(postgres, database).restore(order_of(artefact, name), place, RunControl())


@pytest.mark.parametrize("stands_in", [True, False], ids=["stands-in", "to-new"])
def test_what_fails_or_is_stopped_leaves_nothing(postgres, tmp_path, place, stands_in):
    database = postgres.database(sql=TABLES)
    artefact, asked = taken(postgres, database, tmp_path), restorer(postgres, database)
    order = order_of(artefact, beside(database, place) if stands_in else "fresh", stands_in=stands_in)
    stop = threading.Event()
    control = RunControl(stop=stop, on_progress=lambda _: stop.set())
    with pytest.raises(InterruptedRunError):
        asked.restore(order, place, control)
    artefact.path.write_bytes(artefact.path.read_bytes()[:-2000])
    with pytest.raises(IntegrityError):
        asked.restore(order, place, RunControl())
    assert left(postgres) == []
    assert "fresh" not in postgres.psql("SELECT datname FROM pg_database").split()


def test_rows_that_differ_are_told_and_the_database_stays(postgres, tmp_path, place, swept):
    swept(postgres)
    database = postgres.database(sql=TABLES)
    artefact, name = taken(postgres, database, tmp_path), beside(database, place)
    first, *others = artefact.facts.rows
    facts = replace(artefact.facts, rows=(replace(first, sha256="0" * 64), *others))
    order = RestoreOrder(artefact=artefact.path, facts=facts, name=name, stands_in=True)
    found = restorer(postgres, database).restore(order, place, RunControl())
    assert len(differences(found)) == 1
    assert left(postgres) == [name]


def test_a_subscription_is_left_out_and_named(postgres, tmp_path, place, swept):
    swept(postgres)
    database = postgres.database(
        sql="""CREATE TABLE users (id int);
        CREATE SUBSCRIPTION far CONNECTION 'host=127.0.0.1 port=1' PUBLICATION told WITH (connect = false)"""
    )
    try:
        order = order_of(taken(postgres, database, tmp_path), beside(database, place), stands_in=True)
        found = restorer(postgres, database).restore(order, place, RunControl())
    finally:
        postgres.psql("ALTER SUBSCRIPTION far SET (slot_name = NONE); DROP SUBSCRIPTION far", database["dbname"])
    assert differences(found) == []
    assert found.warnings == ("left out, for the live database has them: subscriptions far",)


def test_what_dead_runs_left_beside_this_database_is_swept(postgres, place):
    database, other = postgres.database(), postgres.database()
    dead = "dead00000000"
    gone = [f"{database['dbname']}_amanat_{dead}", f"{PREFIX}{dead}"]
    staying = [
        f"{other['dbname']}_amanat_{dead}",
        f"{database['dbname'][:-1]}_amanat_{dead}",  # of one whose name this one begins with
        f"{database['dbname']}_amanat_a11ce0000000",
        f"{database['dbname']}_before_{dead}",
    ]
    for name in (*gone, *staying):
        postgres.psql(f"CREATE DATABASE {name}")
    try:
        postgres.psql(f"ALTER DATABASE {gone[0]} ALLOW_CONNECTIONS false")
        assert sorted(restorer(postgres, database).sweep(place, RunControl())) == sorted(gone)
        there = postgres.psql("SELECT datname FROM pg_database").split()
        assert set(there) & {*gone, *staying} == set(staying)
    finally:
        for name in staying:
            postgres.psql(f"DROP DATABASE {name}")


def test_the_live_one_is_not_dropped(postgres, place):
    database = postgres.database(sql=TABLES)
    asked = restorer(postgres, database)
    with pytest.raises(RefusedError, match="is the live one"):
        asked.drop(database["dbname"], place, RunControl())
    assert asked.size(database["dbname"], place, RunControl()) > 0
    assert asked.free_bytes(place, RunControl()) > 0


def test_the_live_ones_tablespace_is_taken(postgres, tmp_path, place, swept):
    swept(postgres)
    postgres.psql("SET allow_in_place_tablespaces = on; CREATE TABLESPACE roomy LOCATION ''")
    database = postgres.database(sql=TABLES)
    name = beside(database, place)
    within = f"""SELECT spcname FROM pg_database d JOIN pg_tablespace t ON t.oid = dattablespace
        WHERE datname = '{name}'"""
    try:
        postgres.psql(f"ALTER DATABASE {database['dbname']} SET TABLESPACE roomy")
        order = order_of(taken(postgres, database, tmp_path), name, stands_in=True)
        restorer(postgres, database).restore(order, place, RunControl())
        assert postgres.psql(within).strip() == "roomy"
    finally:
        for each in (name, database["dbname"]):
            postgres.psql(f"DROP DATABASE IF EXISTS {each}")
        postgres.psql("DROP TABLESPACE roomy")


def test_a_role_that_gets_into_its_own_database_alone(postgres, place):
    database, role = postgres.database(sql=TABLES), postgres.role()
    asked = restorer(postgres, {**database, "user": role})
    try:
        for name in ("postgres", "template1"):
            postgres.psql(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
            assert asked.size(database["dbname"], place, RunControl()) > 0
    finally:
        for name in ("postgres", "template1"):
            postgres.psql(f"GRANT CONNECT ON DATABASE {name} TO PUBLIC")
