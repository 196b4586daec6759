"""What is told of a server and a role before a dump is tried: clients, codecs, rights, archives of newer releases."""

from datetime import timedelta

import pytest

from amanat.domain.doctor import Level, Name
from amanat.domain.errors import ToolError
from amanat.domain.model import Scope
from amanat.domain.policy import CodecName, Compression
from amanat.engines.postgresql import PostgresqlProver
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import clients_with, engine_for

TABLES = "CREATE TABLE users (id serial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('a');"


@pytest.fixture
def control():
    return RunControl(timeout=timedelta(seconds=60))


@pytest.fixture
def newest(postgres_workspace):
    postgres = Postgres(postgres_workspace.server(18))
    yield postgres
    postgres.close()


def examined(engine, base, control, name, scope=Scope(), **order):  # noqa: B008 - frozen
    (found,) = (check for check in engine.examine(make_order(base, scope, **order), control) if check.name is name)
    return found


def test_a_client_older_than_the_server(newest, postgres, tmp_path, control):
    engine = engine_for(newest, newest.database(), client=postgres.bin)
    found = examined(engine, tmp_path, control, Name.CLIENT)
    assert found.level is Level.FAIL
    assert "PostgreSQL 18" in found.found
    assert "postgresql-client-18" in found.remedy


@pytest.mark.parametrize(
    ("codec", "level"), [(CodecName.AUTO, Level.WARN), (CodecName.ZSTD, Level.FAIL), (CodecName.GZIP, Level.OK)]
)
def test_a_client_without_zstd(newest, tmp_path, control, codec, level):
    script = 'echo "this build does not support compression with ZSTD" >&2; exit 1'
    client = clients_with(tmp_path / "bin", newest.bin, pg_restore=script)
    engine = engine_for(newest, newest.database(), client=client)
    found = examined(engine, tmp_path, control, Name.COMPRESSION, compression=Compression(codec=codec))
    assert found.level is level
    assert ("built without it" in found.found) is (level is not Level.OK)


def test_a_role_that_may_not_read_everything(postgres, tmp_path, control):
    role = postgres.role()
    engine = engine_for(postgres, {**postgres.database(sql=TABLES), "user": role})
    found = examined(engine, tmp_path, control, Name.ACCESS)
    assert (found.level, "public.users" in found.found) == (Level.FAIL, True)
    assert "GRANT SELECT" in found.remedy


def test_rows_that_row_level_security_hides(postgres, tmp_path, control):
    role = postgres.role("IN ROLE pg_read_all_data")
    engine = engine_for(
        postgres, {**postgres.database(sql=f"{TABLES} ALTER TABLE users ENABLE ROW LEVEL SECURITY"), "user": role}
    )
    found = examined(engine, tmp_path, control, Name.ACCESS)
    assert (found.level, "BYPASSRLS" in found.remedy) == (Level.FAIL, True)


def test_large_objects_that_the_role_may_not_read(postgres, tmp_path, control):
    role = postgres.role("IN ROLE pg_read_all_data")
    database = postgres.database(sql=f"{TABLES} SELECT lo_from_bytea(4711, 'a'), lo_from_bytea(4712, 'b');")
    postgres.psql(f"GRANT SELECT ON LARGE OBJECT 4712 TO {role}", database["dbname"])
    engine = engine_for(postgres, {**database, "user": role})
    found = examined(engine, tmp_path, control, Name.ACCESS)
    assert (found.level, "4711" in found.found, "4712" in found.found) == (Level.FAIL, True, False)
    part = tmp_path / "part"
    part.mkdir()
    assert examined(engine, part, control, Name.ACCESS, Scope(tables=("users",))).ok
    postgres.psql(f"DROP OWNED BY {role}", database["dbname"])


def test_an_archive_newer_than_the_host(newest, postgres, tmp_path, control):
    artefact = engine_for(newest, newest.database(sql=TABLES)).take(make_order(tmp_path), control).path
    assert "18" in PostgresqlProver(client=newest.bin).examine(artefact, control)
    with pytest.raises(ToolError, match="cannot read"):
        PostgresqlProver(client=postgres.bin).examine(artefact, control)
