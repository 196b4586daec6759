"""What was written to a PostgreSQL database since its snapshot is told before that is gone back to."""

import subprocess
import time

import pytest

from amanat.domain.changes import Changed, Changes
from amanat.domain.model import Scope
from amanat.domain.policy import PostgresqlSource
from amanat.engines.postgresql import PostgresqlRestorer
from amanat.engines.postgresql.connection import LOCK_WAIT_SECONDS
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.postgres_subject import engine_for
from tests.support.rehearsal_place import place

__all__ = ["place"]

TABLES = """
CREATE TABLE users (id serial PRIMARY KEY, name text);
INSERT INTO users (name) SELECT n FROM generate_series(1, 100) n;
CREATE TABLE sessions (id int); INSERT INTO sessions VALUES (1);
CREATE TABLE migrations (id serial, migration text, batch int);
INSERT INTO migrations (migration, batch) VALUES ('2026_01_users', 1);
"""
BIG = "CREATE TABLE big (id serial PRIMARY KEY, n int); INSERT INTO big (n) SELECT generate_series(1, 5000);"
SINCE = """
INSERT INTO users (name) VALUES ('new'), ('newer');
DROP TABLE sessions; CREATE TABLE polls (id int); INSERT INTO polls VALUES (1), (2), (3);
ALTER TABLE users ADD born date;
INSERT INTO migrations (migration, batch) VALUES ('2026_02_polls', 2), ('2026_03_born', 2);
"""


@pytest.fixture
def since(tmp_path, place):
    def asked(postgres, database, artefact, *, seconds=5.0, **user):
        source = PostgresqlSource(parameters={**database, **user})
        restorer = PostgresqlRestorer(source, None, extra_client_folders=(postgres.bin,))
        return restorer.changes(artefact.facts, place, RunControl(), seconds=seconds)

    return asked


def taken(postgres, database, base, **fields):
    (base / "taken").mkdir()
    return engine_for(postgres, database).take(make_order(base / "taken", **fields), RunControl())


def test_nothing_was_written(postgres, tmp_path, since):
    database = postgres.database(sql=TABLES)
    assert since(postgres, database, taken(postgres, database, tmp_path)) == Changes()


@pytest.mark.parametrize("postgres_matrix", [14, 18], indirect=True, ids=["pg14", "pg18"])
def test_rows_tables_sequences_migrations_and_the_schema(postgres_matrix, tmp_path, since):
    database = postgres_matrix.database(sql=TABLES)
    artefact = taken(postgres_matrix, database, tmp_path)
    postgres_matrix.psql(SINCE, database["dbname"])
    found = since(postgres_matrix, database, artefact)
    assert found.tables == (
        Changed(name="public.migrations", then=1, now=3),
        Changed(name="public.polls", then=None, now=3),
        Changed(name="public.sessions", then=1, now=None),
        Changed(name="public.users", then=100, now=102),
    )
    assert found.sequences == (
        Changed(name="public.migrations_id_seq", then=2, now=4),
        Changed(name="public.users_id_seq", then=101, now=103),
    )
    assert found.migrations == ("2026_03_born", "2026_02_polls")
    assert found.schema == (
        "column public.users.born: made since",
        "table public.polls: made since",
        "table public.sessions: dropped since",
    )
    assert found.not_counted == ()


def test_a_snapshot_of_a_part_says_nothing_of_the_rest(postgres, tmp_path, since):
    database = postgres.database(sql=TABLES)
    artefact = taken(postgres, database, tmp_path, scope=Scope(tables=("users",)))
    postgres.psql(SINCE, database["dbname"])
    found = since(postgres, database, artefact)
    assert [each.name for each in found.tables] == ["public.users"]
    assert found.schema == ("column public.users.born: made since",)


def test_what_the_role_may_not_read_is_not_counted(postgres, tmp_path, since):
    database = postgres.database(sql=TABLES)
    artefact = taken(postgres, database, tmp_path)
    role = postgres.role()
    postgres.psql(f"GRANT SELECT ON sessions TO {role}", database["dbname"])
    found = since(postgres, database, artefact, user=role)
    assert found.not_counted == ("public.migrations", "public.users")
    postgres.psql(f"REVOKE ALL ON sessions FROM {role}", database["dbname"])


def test_small_tables_are_counted_first_and_what_others_lock_costs_a_moment_only(postgres, tmp_path, since):
    database = postgres.database(sql=f"{TABLES}{BIG}")
    artefact = taken(postgres, database, tmp_path)
    postgres.psql("INSERT INTO users (name) VALUES ('new')", database["dbname"])
    held = "BEGIN; LOCK TABLE big IN ACCESS EXCLUSIVE MODE; SELECT 'locked'; SELECT pg_sleep(60);"
    command = [postgres.bin / "psql", "-XAtq", *postgres.server.where, "-d", database["dbname"], "-f", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        holder.stdin.write(held)
        holder.stdin.close()
        assert holder.stdout.readline().strip() == "locked"
        began = time.monotonic()
        found = since(postgres, database, artefact, seconds=0.4)
        waited = time.monotonic() - began
        holder.kill()
    assert waited < LOCK_WAIT_SECONDS  # in all, as little as each lock otherwise
    assert found.not_counted == ("public.big",)
    assert found.tables == (Changed(name="public.users", then=100, now=101),)
    assert found.schema == ("not compared, for others have locked what is in it",)
