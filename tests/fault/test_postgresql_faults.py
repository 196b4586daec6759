"""A PostgreSQL snapshot that goes wrong: a clear error of the right kind, nothing left running."""

import contextlib
import os
import resource
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.errors import SourceError, SpaceError, TimeoutExceededError, ToolError
from amanat.domain.model import Scope
from amanat.engines.postgresql import PostgresqlProver
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import clients_with, engine_for

pytestmark = pytest.mark.fault
TABLES = """
CREATE TABLE users AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 5000) n;
CREATE TABLE surveys (id serial PRIMARY KEY, title text);
"""


@pytest.fixture
def control():
    return RunControl(timeout=timedelta(seconds=30))


@pytest.fixture
def database(postgres):
    return postgres.database(sql=TABLES)


def failing(kind, engine, base, control, scope=Scope(), **fields):  # noqa: B008 - frozen
    """The error of a snapshot that cannot succeed; each has a hint."""
    with pytest.raises(kind) as failure:
        engine.take(make_order(base, scope, **fields), control)
    assert failure.value.hint
    return failure.value


def eventually(condition, seconds=10.0):
    give_up = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)
    return result


@contextlib.contextmanager
def locked(postgres, conninfo, table):
    """Somebody holds ACCESS EXCLUSIVE on the table, as a migration does."""
    import psycopg

    with psycopg.connect(**conninfo) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def backends(postgres, conninfo, condition="true"):
    ours = f"datname = '{conninfo['dbname']}' AND application_name LIKE 'amanat-%'"
    return postgres.psql(f"SELECT pid FROM pg_stat_activity WHERE {ours} AND {condition}").split()


def test_a_table_without_select_is_named_with_the_grant(postgres, database, tmp_path, control):
    role = postgres.role()
    dbname = database["dbname"]
    postgres.psql(f"GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON users TO {role}", dbname)
    engine = engine_for(postgres, {**database, "user": role})
    error = failing(SourceError, engine, tmp_path, control)
    assert "public.surveys" in error.message
    assert "public.users" not in error.message
    assert not error.transient
    assert f'GRANT SELECT ON "public"."surveys" TO "{role}";' in error.hint
    assert f'GRANT SELECT ON SEQUENCE "public"."surveys_id_seq" TO "{role}";' in error.hint
    postgres.psql(error.hint.removeprefix("run: ").split(" — ")[0], dbname)
    again = tmp_path / "again"
    again.mkdir()
    assert engine.take(make_order(again), control).facts.tables == ("public.surveys", "public.users")
    postgres.psql(f"DROP OWNED BY {role}", dbname)


def test_a_table_that_is_not_wanted_needs_no_grant(postgres, database, tmp_path, control):
    role = postgres.role()
    postgres.psql(f"GRANT SELECT ON users TO {role}", database["dbname"])
    engine = engine_for(postgres, {**database, "user": role})
    artefact = engine.take(make_order(tmp_path, Scope(tables=("users",))), control)
    assert artefact.facts.tables == ("public.users",)
    postgres.psql(f"DROP OWNED BY {role}", database["dbname"])


def test_rows_hidden_by_row_security_are_not_left_out_silently(postgres, database, tmp_path, control):
    role = postgres.role("IN ROLE pg_read_all_data")
    postgres.psql("ALTER TABLE users ENABLE ROW LEVEL SECURITY", database["dbname"])
    error = failing(SourceError, engine_for(postgres, {**database, "user": role}), tmp_path, control)
    assert "public.users" in error.message
    assert "BYPASSRLS" in error.hint
    (tmp_path / "counted").mkdir()
    scope = Scope(exclude_data=("users",))
    engine = engine_for(postgres, {**database, "user": role})
    error = failing(SourceError, engine, tmp_path / "counted", control, scope, counts=("users",))
    assert "BYPASSRLS" in error.hint


@pytest.mark.parametrize(
    ("password", "hint"), [("wr0ng-password", "password"), (None, "password")], ids=["wrong", "none"]
)
def test_a_wrong_password(postgres_tcp, tmp_path, control, password, hint):
    role = postgres_tcp.role("PASSWORD 'right'")
    conninfo = postgres_tcp.server.tcp_conninfo("postgres", role)
    error = failing(SourceError, engine_for(postgres_tcp, conninfo, password=password), tmp_path, control)
    assert hint in error.hint
    assert not error.transient
    assert "wr0ng" not in str(error)
    assert "pgpass" not in str(error)


@pytest.mark.parametrize(
    "grant",
    ["ALTER ROLE {role} SET lo_compat_privileges = on", "GRANT SELECT ON LARGE OBJECT 4711 TO {role}"],
    ids=["all", "one"],
)
@pytest.mark.parametrize("major", [15, 18])
def test_a_large_object_that_may_not_be_read(postgres_workspace, tmp_path, control, major, grant):
    """pg_read_all_data does not cover them; each remedy of the hint helps."""
    postgres = Postgres(postgres_workspace.server(major))
    try:
        role = postgres.role("IN ROLE pg_read_all_data")
        database = postgres.database(sql=f"{TABLES} SELECT lo_from_bytea(4711, 'picture')")
        engine = engine_for(postgres, {**database, "user": role})
        error = failing(SourceError, engine, tmp_path, control)
        assert "may not read large objects 4711" in error.message
        assert grant.partition("{")[0].partition(" 4711")[0] in error.hint
        postgres.psql(grant.format(role=role), database["dbname"])
        again = tmp_path / "again"
        again.mkdir()
        assert engine.take(make_order(again), control).facts.tables
        postgres.psql(f"DROP OWNED BY {role}", database["dbname"])
    finally:
        postgres.close()


@pytest.mark.parametrize(
    ("change", "said", "transient"),
    [
        ({"dbname": "no_such"}, 'database "no_such" does not exist', False),
        ({"user": "no_such"}, 'role "no_such" does not exist', False),
        ({"service": "no_such"}, 'service "no_such" not found', False),
        ({"host": "/nonexistent"}, "No such file", True),
        ({"host": "127.0.0.1", "port": "1"}, "refused", True),
        ({"host": "no-such-host.invalid"}, "no-such-host.invalid", False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_database_that_cannot_be_reached(postgres, tmp_path, change, said, transient):
    control = RunControl(timeout=timedelta(seconds=30))
    engine = engine_for(postgres, {**postgres.server.conninfo("postgres"), **change})
    with pytest.raises(SourceError, match=said) as failure:
        engine.source_bytes(control, tmp_path)
    assert failure.value.transient is transient
    assert failure.value.hint


def test_tls_settings_pass_through(postgres_tcp, tmp_path, control):
    role = postgres_tcp.role("PASSWORD 'right'")
    conninfo = {**postgres_tcp.server.tcp_conninfo("postgres", role), "sslmode": "require"}
    error = failing(SourceError, engine_for(postgres_tcp, conninfo, password="right"), tmp_path, control)
    assert "SSL" in error.message
    assert "sslmode" in error.hint


def test_a_full_server_is_worth_another_try(postgres, database, tmp_path, control):
    role = postgres.role("CONNECTION LIMIT 0")
    error = failing(SourceError, engine_for(postgres, {**database, "user": role}), tmp_path, control)
    assert error.transient


def test_no_pg_dump_in_the_configured_folder(postgres, database, tmp_path, control):
    error = failing(ToolError, engine_for(postgres, database, client=tmp_path), tmp_path, control)
    assert str(tmp_path) in error.message


def test_a_pg_dump_older_than_the_server(postgres_workspace, postgres, database, tmp_path, control):
    older = postgres_workspace.server(14).bin
    error = failing(ToolError, engine_for(postgres, database, client=older), tmp_path, control)
    assert "PostgreSQL 15" in error.message
    assert "14." in error.message
    assert "postgresql-client-15" in error.hint


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ('"$real" "$@" | head -c 10K; exit 1', "exited with 1"),
        ('"$real" "$@" | head -c 10K; kill -KILL $$', "killed by SIGKILL"),
        ('echo "pg_dump: error: query failed: ERROR:  relation is gone" >&2; exit 1', "relation is gone"),
    ],
    ids=["half written", "killed", "told why"],
)
def test_a_pg_dump_that_fails(postgres, database, tmp_path, script, said):
    folder = clients_with(tmp_path / "bin", postgres.bin, pg_dump=script)
    engine = engine_for(postgres, database, client=folder)
    assert said in failing(ToolError, engine, tmp_path, RunControl(timeout=timedelta(seconds=30))).message


def test_a_full_disk(postgres, database, tmp_path, control):
    """A real limit of the kernel on the file's size: the write fails as on a full disk."""
    with files_of_at_most(20_000):
        error = failing(SpaceError, engine_for(postgres, database), tmp_path, control)
    assert "File too large" in error.message


@contextlib.contextmanager
def files_of_at_most(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Of a table without indexes and defaults nothing is printed for which the server takes a lock: pg_dump comes to wait.
def test_pg_dump_killed_while_it_works(postgres, database, tmp_path, control):
    folder = clients_with(tmp_path / "bin", postgres.bin, pg_dump=f'echo $$ > {tmp_path}/pid; exec "$real" "$@"')
    engine = engine_for(postgres, database, client=folder)

    def kill():
        eventually(lambda: backends(postgres, database, "wait_event_type = 'Lock'"))
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    with locked(postgres, database, "users"):
        killer = threading.Thread(target=kill)
        killer.start()
        error = failing(ToolError, engine, tmp_path, control)
        killer.join()
    assert "killed by SIGKILL" in error.message


def test_the_server_ends_the_connection_while_it_works(postgres, database, tmp_path, control):
    def terminate():
        pids = eventually(lambda: backends(postgres, database, "wait_event_type = 'Lock'"))
        postgres.psql(f"SELECT pg_terminate_backend({pids[0]})")

    with locked(postgres, database, "users"):
        terminator = threading.Thread(target=terminate)
        terminator.start()
        error = failing(SourceError, engine_for(postgres, database), tmp_path, control)
        terminator.join()
    assert "terminating connection" in error.message
    assert error.transient


@pytest.mark.parametrize("counts", [(), ("users",)], ids=["pg_dump waits", "our question waits"])
def test_a_lock_held_too_long_ends_in_the_timeout_and_leaves_no_session(postgres, database, tmp_path, counts):
    with locked(postgres, database, "users"):
        control = RunControl(timeout=timedelta(seconds=1))
        failing(TimeoutExceededError, engine_for(postgres, database), tmp_path, control, counts=counts)
        eventually(lambda: not backends(postgres, database))


def test_a_timeout_ends_the_whole_process_group(postgres, database, tmp_path):
    folder = clients_with(
        tmp_path / "bin", postgres.bin, pg_dump=f"sleep 300 & echo $! $$ > {tmp_path}/pids; wait"
    )
    engine = engine_for(postgres, database, client=folder)
    failing(TimeoutExceededError, engine, tmp_path, RunControl(timeout=timedelta(seconds=1)))
    pids = (tmp_path / "pids").read_text().split()
    assert len(pids) == 2
    eventually(lambda: not any(_runs(pid) for pid in pids))


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_limits_meant_for_everyday_use_do_not_end_a_backup(postgres, database, tmp_path, control):
    role = postgres.role("IN ROLE pg_read_all_data")
    for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
        postgres.psql(f"ALTER ROLE {role} SET {setting} = '150ms'")
    folder = clients_with(tmp_path / "bin", postgres.bin, pg_dump='sleep 0.5; exec "$real" "$@"')
    engine = engine_for(postgres, {**database, "user": role}, client=folder)
    assert engine.take(make_order(tmp_path), control).facts.tables


def test_a_broken_pg_restore_proves_nothing(postgres, database, tmp_path, control):
    artefact = engine_for(postgres, database).take(make_order(tmp_path), control)
    folder = clients_with(tmp_path / "bin", postgres.bin, pg_restore='"$real" "$@"; kill -KILL $$')
    with pytest.raises(ToolError, match="killed by SIGKILL"):
        PostgresqlProver(client=folder).prove_readable(artefact.path, artefact.facts, Scope(), control)
