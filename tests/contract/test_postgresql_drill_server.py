"""Where a drill is made: on the database's own server, on another, or on one made by the server programs here."""

import os
import shutil

import pytest

from amanat.domain.errors import RefusedError, SourceError, SpaceError
from amanat.domain.model import Facts
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.engines.postgresql import DrillServer, PostgresqlRehearser
from amanat.engines.postgresql.clients import Places, servers
from amanat.engines.postgresql.rehearsing import cluster, preparing, roles
from amanat.engines.postgresql.rehearsing.database import PREFIX
from amanat.engines.postgresql.restoring.restore import entries
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import engine_for
from tests.support.rehearsal_place import place

__all__ = ["place"]

OWNED = """
CREATE TABLE users AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 300) n;
ALTER TABLE users OWNER TO {alice}; GRANT SELECT ON users TO {bob};
"""


def folder_in(base):
    (base / "taken").mkdir()
    return base / "taken"


@pytest.fixture
def newer(postgres_workspace):
    postgres = Postgres(postgres_workspace.server(16))
    yield postgres
    postgres.close()


@pytest.fixture
def owned(postgres, tmp_path):
    """A database, its artefact, and the names of its owner and of who may read."""
    names = {name: postgres.role() for name in ("alice", "bob")}
    database = postgres.database(sql=OWNED.format(**names))
    return database, engine_for(postgres, database).take(make_order(folder_in(tmp_path)), RunControl()), names


def on(another, database, **reached):
    server = DrillServer(parameters={**another.server.conninfo("postgres"), **reached})
    folders = (another.bin,)
    return PostgresqlRehearser(
        PostgresqlSource(parameters=database), None, another=server, extra_client_folders=folders
    )


def rehearsed(rehearser, artefact, place):
    found = rehearser.rehearse(artefact.path, artefact.facts, (), place, RunControl())
    return [difference.describe() for difference in found.comparison.differences], found.warnings


def left(postgres):
    return postgres.psql(f"SELECT datname FROM pg_database WHERE datname LIKE '{PREFIX}%' ORDER BY 1").split()


def test_another_server_without_the_roles_says_what_was_not_compared(owned, newer, place):
    database, artefact, names = owned
    differences, warnings = rehearsed(on(newer, database), artefact, place)
    assert differences == []
    lacking = ", ".join(sorted(names.values()))
    assert f"owners and grants were not compared, for the drill server lacks roles: {lacking}" in warnings
    assert left(newer) == []


def test_another_server_with_the_roles_has_owners_and_grants(owned, newer, place):
    database, artefact, names = owned
    for role in names.values():
        newer.psql(f"CREATE ROLE {role}")
    try:
        differences, warnings = rehearsed(on(newer, database), artefact, place)
    finally:
        newer.psql("; ".join(f"DROP ROLE {role}" for role in names.values()))
    assert differences == []
    assert not [warning for warning in warnings if "owners" in warning]


def test_a_policy_for_a_role_that_another_server_lacks(postgres, newer, tmp_path, place):
    database = postgres.database(sql=f"CREATE TABLE t (id int); CREATE POLICY p ON t TO {postgres.role()}")
    artefact = engine_for(postgres, database).take(make_order(folder_in(tmp_path)), RunControl())
    with pytest.raises(RefusedError, match="policies or user mappings are for roles that the drill server lacks"):
        rehearsed(on(newer, database), artefact, place)
    postgres.psql("DROP POLICY p ON t", database["dbname"])


def test_an_older_server_is_refused(newer, postgres, tmp_path, place):
    database = newer.database(sql="CREATE TABLE t (id int)")
    artefact = engine_for(newer, database).take(make_order(folder_in(tmp_path)), RunControl())
    rehearser = on(postgres, database)
    with pytest.raises(RefusedError, match="older than the database's 16"):
        rehearsed(rehearser, artefact, place)
    with pytest.raises(RefusedError, match="older than the database's 16"):
        rehearser.examine(place, RunControl())


def test_leftovers_on_another_server_are_swept(owned, newer, place):
    for run in ("dead00000000", "a11ce0000000"):
        newer.psql(f"CREATE DATABASE {PREFIX}{run}")
    try:
        on(newer, owned[0]).sweep(place, RunControl())
        assert left(newer) == [f"{PREFIX}a11ce0000000"]
    finally:
        newer.psql(f"DROP DATABASE {PREFIX}a11ce0000000")


def test_too_few_connections_are_told_before_anything_is_made(owned, postgres, place):
    database, artefact, _ = owned
    role = postgres.role("CREATEDB CONNECTION LIMIT 2")
    source = PostgresqlSource(parameters={**database, "user": role})
    rehearser = PostgresqlRehearser(source, None, where=DrillPlace.OWN, extra_client_folders=(postgres.bin,))
    with pytest.raises(SourceError, match="needs 3 connections, and the role's CONNECTION LIMIT leaves 2") as told:
        rehearsed(rehearser, artefact, place)
    assert told.value.transient


def test_the_databases_own_limit_is_not_that_of_the_drill(owned, postgres, place):
    database, artefact, _ = owned
    role = postgres.role("CREATEDB")
    postgres.psql(f"ALTER DATABASE {database['dbname']} CONNECTION LIMIT 2")
    source = PostgresqlSource(parameters={**database, "user": role})
    rehearser = PostgresqlRehearser(source, None, where=DrillPlace.OWN, extra_client_folders=(postgres.bin,))
    assert rehearsed(rehearser, artefact, place)[0] == []


def test_a_role_that_was_dropped_since_costs_owners_and_not_the_drill(owned, postgres, place):
    database, artefact, names = owned
    postgres.psql(f"ALTER ROLE {names['bob']} RENAME TO gone")
    source = PostgresqlSource(parameters=database)
    try:
        rehearser = PostgresqlRehearser(source, None, extra_client_folders=(postgres.bin,))
        differences, warnings = rehearsed(rehearser, artefact, place)
    finally:
        postgres.psql(f"ALTER ROLE gone RENAME TO {names['bob']}")
    assert differences == [] and [names["bob"] in warning for warning in warnings] == [True]


ODD = 'we"ird; TO Role'
GRANTED = f"""
CREATE TABLE t (id int);
GRANT SELECT (id) ON t TO "{ODD.replace('"', '""')}" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE {{alice}} GRANT SELECT ON TABLES TO {{bob}};
CREATE POLICY p ON t AS RESTRICTIVE FOR UPDATE TO {{carol}}
  USING (EXISTS (SELECT FROM t AS other WHERE other.id = t.id)) WITH CHECK (id > 0);
CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR {{dora}} SERVER s;
CREATE USER MAPPING FOR PUBLIC SERVER s;
"""


@pytest.mark.parametrize("companion", [True, False])
def test_the_roles_that_an_archive_needs(postgres, tmp_path, companion):
    names = {name: postgres.role() for name in ("alice", "bob", "carol", "dora")}
    odd = '"' + ODD.replace('"', '""') + '"'
    postgres.psql(f"CREATE ROLE {odd} SUPERUSER")
    database = postgres.database()
    try:
        postgres.psql(GRANTED.format(**names), database["dbname"])
        order = make_order(folder_in(tmp_path), globals=companion)
        artefact = engine_for(postgres, database).take(order, RunControl())
        found = roles.needed(entries(artefact.path, RunControl()), artefact.facts, artefact.path)
    finally:
        postgres.psql(f"DROP DATABASE {database['dbname']}")
        postgres.psql(f"DROP ROLE {odd}")
    assert found.bound == {names["carol"].encode(), names["dora"].encode()}
    assert found.left_out == {b"postgres", ODD.encode(), names["alice"].encode(), names["bob"].encode()}
    assert found.superusers == ({b"postgres", ODD.encode()} if companion else {b"postgres"})
    assert (found.others >= {ODD.encode(), names["dora"].encode()}) is companion


@pytest.mark.parametrize(("version", "major"), [("15.19", 15), ("19beta1", 19), ("18devel", 18)])
def test_the_major_of_a_snapshot(version, major):
    assert preparing.major_of(Facts(engine_version=version, source_bytes=1, tables=())) == major


def test_the_nearest_major_is_taken(postgres, newer):
    places = Places(extra=(newer.bin, postgres.bin))
    assert [each.major for each in servers(places, 15, RunControl())][:1] == [15]
    assert newer.bin in [each.folder for each in servers(places, 16, RunControl())]


def test_a_host_without_server_programs_is_told_which_package(monkeypatch, postgres):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(RefusedError, match="no server programs of PostgreSQL 99") as refused:
        cluster.programs(Places(extra=(postgres.bin,)), 99, RunControl())
    assert "postgresql-99" in refused.value.hint and "drill_server" in refused.value.hint


def test_too_little_room_is_told_before_it_is_made(tmp_path, postgres):
    (client,) = [
        each for each in servers(Places(extra=(postgres.bin,)), 15, RunControl()) if each.folder == postgres.bin
    ]
    needed = shutil.disk_usage(tmp_path).total
    with (
        pytest.raises(SpaceError, match="a throw-away server needs about"),
        cluster.running(client, tmp_path, needed, RunControl()),
    ):
        raise AssertionError
    assert list(tmp_path.iterdir()) == []
