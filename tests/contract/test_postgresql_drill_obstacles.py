"""What a database, a role or a server has of its own does not keep a drill from taking place."""

import pytest

from amanat.domain.errors import InterruptedRunError
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.engines.postgresql import PostgresqlRehearser
from amanat.engines.postgresql.rehearsing import preparing
from amanat.engines.postgresql.rehearsing.database import PREFIX
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from tests.contract.engine_contract import make_order
from tests.support.postgres_subject import engine_for
from tests.support.restored import told

NO_DDL = """
CREATE TABLE users (id int PRIMARY KEY, name text);
INSERT INTO users SELECT n, md5(n::text) FROM generate_series(1, 100) n;
CREATE MATERIALIZED VIEW named AS SELECT count(name) FROM users;
CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no ddl here'; END $$;
CREATE EVENT TRIGGER forbidden ON ddl_command_start EXECUTE FUNCTION forbid();
COMMENT ON EVENT TRIGGER forbidden IS 'ask first';
"""
GRANTED_BY_GRANTEES = """
GRANT USAGE ON SCHEMA public TO {first}, {second};
GRANT SELECT ON users TO {first} WITH GRANT OPTION;
SET SESSION AUTHORIZATION {first};
GRANT SELECT ON users TO {second};
RESET SESSION AUTHORIZATION;
"""
NO_LOGIN = """
CREATE TABLE users (id int PRIMARY KEY);
CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN IF current_database() LIKE 'amanat%' THEN RAISE 'no login here'; END IF; END $$;
CREATE EVENT TRIGGER refused ON login EXECUTE FUNCTION refuse();
"""
OF_PUBLIC = (
    "ALTER SCHEMA public OWNER TO {owner}",
    "ALTER SCHEMA public OWNER TO {owner}; REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "ALTER SCHEMA public OWNER TO {owner}; GRANT CREATE ON SCHEMA public TO {other}",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO {other}",
    "DROP SCHEMA public; CREATE SCHEMA public",
    "DROP SCHEMA public; CREATE SCHEMA public AUTHORIZATION {owner}",
    "DROP SCHEMA public; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO PUBLIC, {other}",
)


@pytest.fixture
def place(tmp_path) -> Place:
    return place_in(tmp_path)


def place_in(folder) -> Place:
    for name in ("folder", "scratch", "run"):
        (folder / name).mkdir(parents=True)
    return Place(run="0123456789ab", folder=folder / "folder", scratch=folder / "scratch", is_dead=lambda _: False)


def drilled(postgres, database, place, *, role="postgres", control=None):
    artefact = engine_for(postgres, database).take(make_order(place.folder.parent / "run"), RunControl())
    found = rehearser(postgres, {**database, "user": role}).rehearse(
        artefact.path, artefact.facts, (), place, control or RunControl()
    )
    return told(found.comparison), found.warnings


def rehearser(postgres, database, where=DrillPlace.OWN):
    source = PostgresqlSource(parameters=database)
    return PostgresqlRehearser(source, None, where=where, extra_client_folders=(postgres.bin,))


def left(postgres):
    return postgres.psql(f"SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%'").split()


def test_an_event_trigger_that_forbids_ddl(postgres_matrix, place):
    database = postgres_matrix.database(sql="CREATE EXTENSION amcheck")
    first, second = postgres_matrix.role(), postgres_matrix.role()
    sql, _, triggers = NO_DDL.partition("CREATE FUNCTION")
    granted = GRANTED_BY_GRANTEES.format(first=first, second=second)
    postgres_matrix.psql(f"{sql}{granted}CREATE FUNCTION{triggers}", database["dbname"])
    try:
        assert drilled(postgres_matrix, database, place) == ([], ())
    finally:
        postgres_matrix.psql(f"DROP DATABASE {database['dbname']}")
    assert left(postgres_matrix) == []


def test_an_event_trigger_and_one_session_that_restores(postgres, place, monkeypatch):
    monkeypatch.setattr(preparing, "_MOST_JOBS", 1)
    assert drilled(postgres, postgres.database(sql=NO_DDL), place) == ([], ())


def test_options_of_the_users_own_reach_the_restore(postgres, place, monkeypatch):
    """From the environment here; ours are set beside them, and theirs win."""
    heard = "current_setting('work_mem') <> '7MB' OR current_setting('synchronous_commit') <> 'on'"
    tried = f"""CREATE FUNCTION tried(int) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
        IF current_database() LIKE 'amanat%' AND ({heard}) THEN RAISE 'not theirs'; END IF; RETURN true; END $$;
        CREATE TABLE users (id int CHECK (tried(id))); INSERT INTO users VALUES (1)"""
    database = postgres.database(sql=tried)
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=7MB -c synchronous_commit=on")
    assert drilled(postgres, database, place) == ([], ())


@pytest.mark.parametrize("postgres_matrix", [17, 18], indirect=True, ids=["pg17", "pg18"])
def test_a_login_trigger_that_lets_nobody_in(postgres_matrix, place):
    database = postgres_matrix.database(sql=NO_LOGIN)
    assert drilled(postgres_matrix, database, place) == ([], ())


def test_a_role_that_only_reads_unless_told_otherwise(postgres, place):
    database = postgres.database(sql="CREATE TABLE users (id int PRIMARY KEY)")
    role = postgres.role("CREATEDB")
    postgres.psql(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    assert drilled(postgres, database, place, role=role) == ([], ())
    assert left(postgres) == []
    postgres.psql(f"CREATE DATABASE {PREFIX}{place.run} OWNER {role}")
    rehearser(postgres, {**database, "user": role}).sweep(place, RunControl())
    assert left(postgres) == []


class StoppedWhenMade(RunControl):
    """Says stop as soon as there is a database of a drill."""

    def __init__(self, postgres):
        super().__init__()
        self._postgres = postgres

    def check(self) -> None:
        if left(self._postgres):
            raise InterruptedRunError("stopped")


def test_a_stop_while_the_database_is_made_leaves_none(postgres, place):
    database = postgres.database(sql="CREATE TABLE users (id int PRIMARY KEY)")
    with pytest.raises(InterruptedRunError):
        drilled(postgres, database, place, control=StoppedWhenMade(postgres))
    assert left(postgres) == []


@pytest.mark.parametrize("postgres_matrix", [14, 15, 18], indirect=True)
def test_a_schema_public_that_was_given_away_or_made_anew(postgres_matrix, place):
    owner, other = postgres_matrix.role(), postgres_matrix.role()
    for number, sql in enumerate(OF_PUBLIC):
        made = f"{sql.format(owner=owner, other=other)}; CREATE TABLE users (id int)"
        here = place_in(place.folder / str(number))
        assert drilled(postgres_matrix, postgres_matrix.database(sql=made), here) == ([], ()), sql
