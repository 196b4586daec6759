"""Every feature of PostgreSQL survives a drill, and what is lost of one is told of."""

import pytest

from amanat.domain.errors import SourceError
from amanat.domain.policy import PostgresqlSource
from amanat.engines.postgresql import PostgresqlRehearser
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from tests.contract.engine_contract import make_order
from tests.support import archives
from tests.support.postgres_features import features
from tests.support.postgres_subject import engine_for
from tests.support.restored import compared, told


def taken(postgres, base, sql):
    database = postgres.database(sql=f"CREATE SCHEMA own; CREATE TABLE own.kept (id int);\n{sql}")
    (base / "run").mkdir()
    return database, engine_for(postgres, database).take(make_order(base / "run"), RunControl())


def drilled(postgres, database, artefact, scratch):
    place = Place(run="0123456789ab", folder=scratch, scratch=scratch, is_dead=lambda _: False)
    rehearser = PostgresqlRehearser(
        PostgresqlSource(parameters=database), None, extra_client_folders=(postgres.bin,)
    )
    rehearsal = rehearser.rehearse(artefact.path, artefact.facts, (), place, RunControl())
    return told(rehearsal.comparison), rehearsal.comparison.not_compared


def test_every_feature_survives_a_drill_and_each_loss_is_told(postgres_matrix, tmp_path):
    there = features(postgres_matrix.major)
    database, artefact = taken(postgres_matrix, tmp_path, ";\n".join(one.made for one in there))
    assert drilled(postgres_matrix, database, artefact, tmp_path) == ([], ())

    copy = postgres_matrix.database()
    archives.restore(postgres_matrix, artefact.path, copy)
    for one in there:
        postgres_matrix.psql(one.lost, copy["dbname"])
    differences = told(compared(copy, artefact, tmp_path))
    expected = [start for one in there for start in one.told]
    assert [start for start in expected if not any(line.startswith(start) for line in differences)] == []
    assert [line for line in differences if not line.startswith(tuple(expected))] == []


EXCEPTIONS = {
    "tablespaces": "SET allow_in_place_tablespaces = on; CREATE TABLESPACE elsewhere LOCATION ''; CREATE TABLE t (a int) TABLESPACE elsewhere",
    "settings of the database": "SELECT format('ALTER DATABASE %I SET work_mem = %L', current_database(), '9MB') \\gexec",
    "invalid indexes": "CREATE TABLE t (a int); CREATE INDEX i ON t (a); UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass",
    "operators that were only named": "CREATE OPERATOR <=> (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, NEGATOR = <!>); DROP OPERATOR <=> (int, int)",
    "given to an extension": "CREATE EXTENSION citext; CREATE TABLE t (a int); ALTER EXTENSION citext ADD TABLE t",
    "public that was dropped": "DROP SCHEMA public",
    "settings of a role in the database": "SELECT format('ALTER ROLE postgres IN DATABASE %I SET work_mem = %L', current_database(), '9MB') \\gexec",
    "comment on the database": "SELECT format('COMMENT ON DATABASE %I IS %L', current_database(), 'ours') \\gexec",
    "triggers of a foreign key": "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a); ALTER TABLE b DISABLE TRIGGER ALL",
    "rows of a materialized view": "CREATE TABLE t (a int); CREATE MATERIALIZED VIEW v AS SELECT a FROM t; INSERT INTO t VALUES (1)",
    "stored generated columns": "CREATE FUNCTION next(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1'; CREATE TABLE t (a int, b int GENERATED ALWAYS AS (next(a)) STORED); INSERT INTO t VALUES (1); CREATE OR REPLACE FUNCTION next(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 + 1'",
    "rights in information_schema": "GRANT INSERT ON information_schema.sql_parts TO pg_monitor",
}  # fmt: skip
"""What a drill tells nothing of, though a restore does not bring it: named in documentation/facts.md."""


@pytest.mark.parametrize("sql", EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_documented_exceptions_are_no_difference(postgres, tmp_path, sql):
    database, artefact = taken(postgres, tmp_path, sql)
    try:
        assert drilled(postgres, database, artefact, tmp_path) == ([], ())
    finally:
        postgres.psql(f"DROP DATABASE {database['dbname']}")
        postgres.psql("DROP TABLESPACE IF EXISTS elsewhere")


def test_a_language_of_an_extensions_functions_cannot_be_restored_and_says_so(postgres, tmp_path):
    """pg_dump writes it without its handler (``dumpProcLang`` of ``pg_dump.c``)."""
    database, artefact = taken(postgres, tmp_path, "CREATE LANGUAGE again HANDLER plpgsql_call_handler")
    with pytest.raises(SourceError, match="at PROCEDURAL LANGUAGE again"):
        drilled(postgres, database, artefact, tmp_path)
