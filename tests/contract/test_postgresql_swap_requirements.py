"""What would keep a swap from being done is told before a database is restored for it, with what mends it."""

import contextlib
import re
from dataclasses import replace

import psycopg
import pytest

from amanat.domain.description import DatabaseObject
from amanat.domain.errors import RefusedError
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.engines.postgresql.swapping.swap import require
from amanat.host.control import RunControl
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_server import Workspace
from tests.support.postgres_swap import ON_BOTH_ENDS, Pair, connected, major, pair, postgres
from tests.support.rehearsal_place import place

__all__ = ["major", "pair", "place", "postgres"]


def refused(pair, found, server=None):
    with pytest.raises(RefusedError) as caught:
        require(server or pair.server, found, pair.place, RunControl())
    return caught.value


def test_nothing_is_required_of_a_superuser(pair, tmp_path):
    require(pair.server, pair.facts(tmp_path), pair.place, RunControl())


@ON_BOTH_ENDS
def test_what_a_role_lacks_is_named_at_once_with_the_sql_that_gives_it(pair, tmp_path):
    role, owner, visitor = (pair.postgres.role() for _ in range(3))
    found = pair.facts(tmp_path)
    told = refused(pair, found, pair.by(role))
    assert "may not rename databases" in told.message and f'ALTER ROLE "{role}" CREATEDB;' in told.hint
    assert "it belongs to postgres" in told.message
    assert f'ALTER DATABASE "{pair.name}" OWNER TO "{role}";' in told.hint
    pair.postgres.psql(f'ALTER DATABASE "{pair.name}" OWNER TO {owner}')
    with connected(pair.live, user=visitor) as one, connected(pair.live, application_name="psql") as mighty:
        told = refused(pair, found, pair.by(role))
        assert f'GRANT "{owner}" TO "{role}";' in told.hint
        assert f"role {role} may not end session {one.info.backend_pid} (user {visitor})" in told.message
        assert f'GRANT pg_signal_backend TO "{role}";' in told.hint
        assert f"only a superuser may end session {mighty.info.backend_pid} (user postgres, psql)" in told.message
    for statement in re.findall("(?:ALTER|GRANT) .*?;", told.hint):
        pair.postgres.psql(statement)
    with connected(pair.live, user=visitor):
        require(pair.by(role), found, pair.place, RunControl())


def test_who_may_end_all_who_are_there_needs_no_more(pair, tmp_path):
    role, owner = pair.plain_roles()
    pair.postgres.psql(f"REVOKE pg_signal_backend FROM {role}")
    found = pair.facts(tmp_path)
    with connected(pair.live, user=owner):
        require(pair.by(role), found, pair.place, RunControl())


def test_what_keeps_anybody_from_it(pair, tmp_path):
    found = pair.facts(tmp_path)
    missing = DatabaseObject(kind="extension", within="", name="not_there", definition="1 in public")
    there = DatabaseObject(kind="extension", within="", name="plpgsql", definition="1 in public")
    description = replace(found.description, objects=(missing, there))
    with pair.left_over():
        told = refused(pair, replace(found, engine_version="19beta1", description=description))
    assert "older than the snapshot's 19" in told.message
    assert "extensions that the server does not offer: not_there;" in told.message
    assert "the prepared transaction left over of postgres" in told.message and "ROLLBACK PREPARED" in told.hint


def test_too_few_connections(pair, tmp_path):
    role, _ = pair.plain_roles()
    pair.postgres.psql(f"ALTER ROLE {role} CONNECTION LIMIT 2")
    told = refused(pair, pair.facts(tmp_path), pair.by(role))
    assert "need 3 connections, and the role's CONNECTION LIMIT leaves 2" in told.message


def test_a_database_that_is_not_there(pair, tmp_path):
    server = Server(parameters={**pair.live, "dbname": "no_such"})
    assert "the server has no such database" in refused(pair, pair.facts(tmp_path), server).message


@contextlib.contextmanager
def closed(postgres, *names):
    for name in names:
        postgres.psql(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    yield
    for name in names:
        postgres.psql(f'GRANT CONNECT ON DATABASE "{name}" TO PUBLIC')


_OPEN = """
SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT')
"""


def others(pair):
    """All but the live one, whichever tests they are of."""
    with psycopg.connect(**pair.live) as asked:
        found = asked.execute(_OPEN)
        return [name for (name,) in found if name != pair.name]


def test_another_database_serves_to_connect_to_and_if_there_is_none_that_is_told(pair, tmp_path):
    role, _ = pair.plain_roles()
    found = pair.facts(tmp_path)
    with closed(pair.postgres, "postgres", "template1"):
        require(pair.by(role), found, pair.place, RunControl())
        with closed(pair.postgres, *others(pair)):
            pair.postgres.psql(f'ALTER DATABASE "{pair.beside}" OWNER TO postgres')
            told = refused(pair, found, pair.by(role))
    assert 'permission denied for database "postgres"' in told.message
    assert 'permission denied for database "template1"' in told.message


@pytest.mark.slow
def test_a_standby(tmp_path, place):
    workspace = Workspace()
    try:
        pair = Pair(Postgres(workspace.server(15)), place)
        found = pair.facts(tmp_path)
        workspace.standby(15)
        assert "the server is a standby" in refused(pair, found).message
    finally:
        workspace.close()
