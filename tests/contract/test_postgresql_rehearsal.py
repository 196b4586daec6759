"""A PostgreSQL artefact is restored into a database of its own, compared with its facts, and dropped again."""

import threading
from dataclasses import replace

import pytest

from amanat.domain.errors import IntegrityError, InterruptedRunError, RefusedError
from amanat.domain.model import Scope
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.engines.postgresql import PostgresqlRehearser
from amanat.engines.postgresql.clients import Places, newest_client
from amanat.engines.postgresql.connection import session, target
from amanat.engines.postgresql.rehearsing import row_order, rows
from amanat.engines.postgresql.rehearsing.database import PREFIX
from amanat.engines.postgresql.restoring import order
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support import archives, postgres_rich
from tests.support.postgres_subject import engine_for
from tests.support.rehearsal_place import place

__all__ = ["place"]

TABLES = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO users (name) SELECT md5(n::text) FROM generate_series(1, 5000) n;
CREATE TABLE surveys AS SELECT n AS id, repeat(n::text, 20) AS title FROM generate_series(1, 300) n;
CREATE INDEX surveys_title ON surveys (title);
SELECT lo_from_bytea(0, 'large');
"""


def take(postgres, database, base, name="run", **fields):
    (base / name).mkdir()
    return engine_for(postgres, database).take(make_order(base / name, **fields), RunControl())


def rehearser(postgres, database):
    source = PostgresqlSource(parameters=database)
    return PostgresqlRehearser(source, None, where=DrillPlace.OWN, extra_client_folders=(postgres.bin,))


def rehearsed(postgres, database, artefact, place, *, facts=None, control=None):
    found = rehearser(postgres, database).rehearse(
        artefact.path, facts or artefact.facts, (), place, control or RunControl()
    )
    return [difference.describe() for difference in found.comparison.differences], found


def left(postgres):
    return postgres.psql(f"SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%' ORDER BY 1").split()


def test_what_comes_back_is_what_was_taken_and_nothing_stays(postgres_matrix, tmp_path, place):
    database = postgres_matrix.database(sql=postgres_rich.schema(postgres_matrix.major))
    artefact = take(postgres_matrix, database, tmp_path)
    differences, found = rehearsed(postgres_matrix, database, artefact, place)
    assert differences == []
    assert (found.comparison.not_compared, found.warnings) == ((), ())
    assert found.seconds > 0
    assert left(postgres_matrix) == []


@pytest.mark.parametrize("sql", [archives.AWKWARD, TABLES], ids=["awkward", "plain"])
def test_odd_names_and_large_objects_are_the_same(postgres, tmp_path, place, sql):
    database = postgres.database(sql=sql)
    differences, found = rehearsed(postgres, database, take(postgres, database, tmp_path), place)
    assert (differences, found.comparison.not_compared) == ([], ())


def test_a_part_of_a_database_is_compared_as_the_part_it_is(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    artefact = take(postgres, database, tmp_path, scope=Scope(tables=("surveys",)))
    differences, found = rehearsed(postgres, database, artefact, place)
    assert (differences, found.comparison.not_compared) == ([], ())


def test_a_foreign_key_that_leads_out_of_the_part_is_a_warning(postgres, tmp_path, place):
    linked = f"""{TABLES}; ALTER TABLE surveys ADD owner int; UPDATE surveys SET owner = 1;
        ALTER TABLE surveys ADD CONSTRAINT owned FOREIGN KEY (owner) REFERENCES users"""
    database = postgres.database(sql=linked)
    artefact = take(postgres, database, tmp_path, scope=Scope(exclude_data=("users",)))
    differences, found = rehearsed(postgres, database, artefact, place)
    assert (differences, found.comparison.not_compared) == ([], ())
    assert any("owned" in warning for warning in found.warnings)


def test_another_nights_archive_is_found_by_its_rows(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    first = take(postgres, database, tmp_path, "first")
    postgres.psql("DELETE FROM users WHERE id = 17; DROP INDEX surveys_title", database["dbname"])
    second = take(postgres, database, tmp_path, "second")
    differences, _ = rehearsed(postgres, database, second, place, facts=first.facts)
    assert differences[0] == "index public.surveys.surveys_title: missing"
    assert differences[1].startswith("rows of public.users: expected 5000 rows with ")
    assert len(differences) == 2 and left(postgres) == []


def test_rows_that_are_not_in_the_archive_are_missed(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    artefact = take(postgres, database, tmp_path)
    without = tmp_path / "without.dump"
    without.write_bytes(archives.dump(postgres, database, "--exclude-table-data=users"))
    found = rehearsed(postgres, database, replace(artefact, path=without), place)[0]
    assert "rows of public.users: missing" in found


def test_the_same_rows_in_another_order_are_the_same(postgres, tmp_path, place):
    """PostgreSQL keeps no order, so a restore need not bring it back."""
    database = postgres.database(sql=TABLES)
    artefact = take(postgres, database, tmp_path)
    entries = order.read(artefact.path, lambda: None)
    client = newest_client(Places(extra=(postgres.bin,)), RunControl())

    def found():
        with session(target(database, None, place.scratch), RunControl()) as asked:
            reading = row_order.Reading(asked, client, artefact.path, entries, RunControl())
            there = rows.read(asked, entries, artefact.facts)
            return there, row_order.settled(there, artefact.facts, reading)

    postgres.psql("CREATE INDEX by_name ON users (name); CLUSTER users USING by_name", database["dbname"])
    plain, settled = found()
    assert plain != artefact.facts.rows and settled == artefact.facts.rows
    postgres.psql("UPDATE users SET name = reverse(name) WHERE id = 3", database["dbname"])
    plain, settled = found()
    assert plain == settled != artefact.facts.rows


def test_rows_of_another_archive_are_others_even_in_the_same_number(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    first = take(postgres, database, tmp_path, "first")
    postgres.psql("UPDATE users SET name = reverse(name) WHERE id = 3", database["dbname"])
    second = take(postgres, database, tmp_path, "second")
    (difference,) = rehearsed(postgres, database, second, place, facts=first.facts)[0]
    assert difference.startswith("rows of public.users: expected 5000 rows with ")


def test_a_damaged_archive_is_told_as_one(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    artefact = take(postgres, database, tmp_path)
    whole = artefact.path.read_bytes()
    artefact.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError):
        rehearsed(postgres, database, artefact, place)
    assert left(postgres) == []


@pytest.mark.parametrize("rights", ["CREATEDB", "NOCREATEDB"])
def test_a_role_that_is_no_superuser(postgres, tmp_path, place, rights):
    """It may drill where it may create a database; owners and grants are then not compared."""
    database = postgres.database(sql=TABLES)
    artefact = take(postgres, database, tmp_path)
    role = postgres.role(rights)
    if rights == "NOCREATEDB":
        with pytest.raises(RefusedError, match="may not create the database") as refused:
            rehearsed(postgres, {**database, "user": role}, artefact, place)
        assert f'ALTER ROLE "{role}" CREATEDB' in refused.value.hint
    else:
        assert rehearsed(postgres, {**database, "user": role}, artefact, place)[0] == []
    assert left(postgres) == []


def test_a_subscription_is_not_restored_with_it(postgres_matrix, tmp_path, place):
    """A database that has one cannot be dropped, and its slot is the live one's."""
    database = postgres_matrix.database(
        sql="""CREATE TABLE users (id int);
        CREATE SUBSCRIPTION far CONNECTION 'host=127.0.0.1 port=1' PUBLICATION told WITH (connect = false);
        COMMENT ON SUBSCRIPTION far IS 'from there'"""
    )
    try:
        artefact = take(postgres_matrix, database, tmp_path)
        assert rehearsed(postgres_matrix, database, artefact, place)[0] == []
        assert left(postgres_matrix) == []
    finally:
        postgres_matrix.psql(
            "ALTER SUBSCRIPTION far SET (slot_name = NONE); DROP SUBSCRIPTION far", database["dbname"]
        )


def test_a_stop_while_it_restores_leaves_no_database(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    artefact = take(postgres, database, tmp_path)
    stop = threading.Event()
    control = RunControl(stop=stop, on_progress=lambda _: stop.set())
    with pytest.raises(InterruptedRunError):
        rehearsed(postgres, database, artefact, place, control=control)
    assert left(postgres) == []


def test_what_dead_runs_left_is_swept_and_what_is_at_work_is_not(postgres, place):
    database = postgres.database(sql="")
    for run in ("dead00000000", "a11ce0000000", place.run):
        postgres.psql(f"CREATE DATABASE {PREFIX}{run}")
    try:
        rehearser(postgres, database).sweep(place, RunControl())
        assert left(postgres) == [f"{PREFIX}a11ce0000000"]
    finally:
        postgres.psql(f"DROP DATABASE {PREFIX}a11ce0000000")


def test_what_cannot_be_dropped_is_told_and_named_until_it_is_swept(postgres, tmp_path, place):
    database = postgres.database(sql=TABLES)
    artefact, name = take(postgres, database, tmp_path), f"{PREFIX}{place.run}"
    told = []

    def keep(_):
        postgres.psql(f"ALTER DATABASE {name} IS_TEMPLATE true")

    rehearsed(
        postgres,
        database,
        artefact,
        replace(place, warn=told.append),
        control=RunControl(on_progress=keep),
    )
    (warning,) = told
    assert warning.startswith(f"database {name} on the server of ")
    assert "is left: " in warning and "template" in warning
    dead = replace(place, run="other", is_dead=lambda run: run == place.run)
    asked = rehearser(postgres, database)
    assert f"; `amanat reconcile` drops {name}, left by drills" in asked.examine(dead, RunControl())
    postgres.psql(f"ALTER DATABASE {name} IS_TEMPLATE false")
    assert asked.sweep(dead, RunControl()) == [name]
    assert left(postgres) == []
    assert "reconcile" not in asked.examine(dead, RunControl())


@pytest.mark.parametrize("encoding", ["UTF8", "LATIN1", "SQL_ASCII"])
def test_it_is_encoded_and_ordered_as_the_original_was(postgres, tmp_path, place, encoding):
    database = postgres.database(sql="")
    name = f"{database['dbname']}_{encoding.lower()}"
    postgres.psql(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'")
    postgres.psql("CREATE TABLE \"wörter\" (word text); INSERT INTO \"wörter\" VALUES ('für'), ('Öl')", name)
    there = {**database, "dbname": name}
    artefact = take(postgres, there, tmp_path)
    assert rehearsed(postgres, there, artefact, place)[0] == []
    assert artefact.facts.extra["server"]["encoding"] == encoding
