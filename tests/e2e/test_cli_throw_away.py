"""A drill on a server that is made for it: by the real command, as a user who may run one, and killed in the middle."""

import json
import shutil
import signal
import subprocess
import sys

import pytest

from tests.support import unprivileged
from tests.support.cli import Amanat, wait_for
from tests.support.postgres_plugin import Postgres

pytestmark = pytest.mark.slow

TABLES = """
CREATE TABLE users AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 50000) n;
CREATE INDEX users_name ON users (name);
CREATE SCHEMA "of Alice" AUTHORIZATION {alice};
CREATE TABLE "of Alice".notes (id int PRIMARY KEY, owner text);
INSERT INTO "of Alice".notes SELECT n, 'x' FROM generate_series(1, 100) n;
ALTER TABLE "of Alice".notes OWNER TO {alice};
ALTER TABLE "of Alice".notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON "of Alice".notes FOR SELECT TO {bob}, {alice}
  USING (EXISTS (SELECT 1 FROM public.users u WHERE u.name = owner));
GRANT USAGE ON SCHEMA "of Alice" TO {bob}, {reader};
GRANT SELECT (id), UPDATE ON "of Alice".notes TO {bob} WITH GRANT OPTION;
SET SESSION AUTHORIZATION {bob}; GRANT UPDATE ON "of Alice".notes TO {reader}; RESET SESSION AUTHORIZATION;
ALTER DEFAULT PRIVILEGES FOR ROLE {alice} IN SCHEMA "of Alice" GRANT SELECT ON TABLES TO {bob};
CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER noted ON ddl_command_end WHEN TAG IN ('DROP CAST') EXECUTE FUNCTION note();
SELECT lo_from_bytea(0, 'large');
"""
COMPARED = """
import json, sys
from dataclasses import replace
from pathlib import Path
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.engines.postgresql import PostgresqlRehearser
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from amanat.store.local import LocalStore
path, client, folder = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
facts = LocalStore(path.parents[1]).read_manifest(f"{path.parent.name}/{path.name}").facts
spoilt = [replace(each, definition="nobody") if each.kind == "access" and each.name == "notes" else each
          for each in facts.description.objects]
facts = replace(facts, description=replace(facts.description, objects=tuple(spoilt)))
source = PostgresqlSource(parameters={}, client=client)
place = Place(run="0123456789ab", folder=folder, scratch=folder, is_dead=lambda run: False)
rehearser = PostgresqlRehearser(source, None, where=DrillPlace.THROW_AWAY)
found = rehearser.rehearse(path, facts, (), place, RunControl()).comparison
print(json.dumps([f"{each.kind} {each.name}" for each in found.differences]))
"""


class Site:
    """A database with owners and grants, whose role of backups may create none."""

    def __init__(self, folder, postgres):
        self.postgres = postgres
        self.amanat = Amanat(folder, around=unprivileged.around())
        unprivileged.give(folder, self.amanat.store)
        roles = {name: postgres.role() for name in ("alice", "bob")}
        self.reader = postgres.role("BYPASSRLS IN ROLE pg_read_all_data")
        self.database = postgres.database(sql=TABLES.format(**roles, reader=self.reader))
        postgres.psql(f"ALTER ROLE {self.reader} SET lo_compat_privileges = on")
        self.policies()

    def policies(self, more="", **connection):
        where = json.dumps({**self.database, "user": self.reader, **connection})
        self.amanat.policies(f"""
version: 1
databases:
  atis: {{engine: postgresql, environment: production, connection: {where}, client: {self.postgres.bin}}}
policies:
  nightly: {{databases: [atis], on_demand: true, proof: restored, keep: {{last: 3}}{more}}}
""")

    @property
    def is_clean(self):
        """Neither data nor a process of a throw-away server, and nothing on the database's own."""
        staging = self.amanat.store / ".staging"
        there = self.postgres.psql("SELECT datname FROM pg_database WHERE datname LIKE 'amanat_drill_%'")
        return not (list(staging.iterdir()) or unprivileged.working_below(staging) or there)

    def clusters(self):
        """Those that take connections; initdb has a pid file too, for a while."""
        found = self.amanat.store.glob(".staging/*/cluster/postmaster.pid")
        return [file.parent for file in found if is_ready(file)]


def is_ready(file):
    try:
        return file.read_text().rstrip().endswith("ready")
    except FileNotFoundError:
        return False


@pytest.fixture
def site(tmp_path, postgres):
    return Site(tmp_path, postgres)


@pytest.fixture(params=[14, 18], ids=lambda major: f"pg{major}")
def site_matrix(tmp_path, postgres_workspace, request):
    postgres = Postgres(postgres_workspace.server(request.param))
    yield Site(tmp_path, postgres)
    postgres.close()


def test_owners_and_grants_come_back_where_the_role_may_create_nothing(site_matrix, tmp_path):
    site = site_matrix
    taken = site.amanat.json("snapshot", "atis", "--policy=nightly")
    assert taken["proof"] == "restored" and site.is_clean
    assert "owners" not in site.amanat.ok("runs", "atis")
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o700)
    unprivileged.give(scratch)
    compared = [sys.executable, "-c", COMPARED, site.amanat.store / taken["path"], site.postgres.bin, scratch]
    said = subprocess.run([*site.amanat.around, *compared], check=True, capture_output=True, text=True)
    assert json.loads(said.stdout) == ["access of Alice.notes"]


def test_without_the_file_of_roles_they_are_made_by_what_the_archive_names(site):
    site.policies(", globals: false")
    assert site.amanat.json("snapshot", "atis", "--policy=nightly")["proof"] == "restored"


def test_a_killed_drill_leaves_nothing_after_reconcile(site):
    site.amanat.ok("snapshot", "atis")
    with site.amanat.started("drill") as drill:
        (data,) = wait_for("a server", site.clusters)
        drill.kill()
    wait_for("the server's end", lambda: not unprivileged.working_below(site.amanat.store), timeout=5)
    assert data.is_dir()
    stray = [*site.amanat.around, site.postgres.bin / "postgres", "-D", data, "-c", "listen_addresses=", "-k", "."]
    with subprocess.Popen(stray, stderr=subprocess.DEVNULL, cwd=site.amanat.folder) as left:
        try:
            wait_for("a server that outlived its drill", site.clusters)
            site.amanat.ok("reconcile")
            assert left.wait(5) == 0
        finally:
            left.kill()
    assert site.is_clean
    assert site.amanat.json("runs", "atis")[0]["outcome"] == "interrupted"


def test_a_stop_while_it_restores_leaves_nothing_by_itself(site):
    site.amanat.ok("snapshot", "atis")
    with site.amanat.started("drill") as drill:
        wait_for("a server", site.clusters)
        drill.signal(signal.SIGTERM)
        assert drill.wait() == 143
    assert site.is_clean


def test_root_is_told_what_to_do(site, root):
    shutil.chown(site.amanat.folder, 0)
    shutil.chown(site.amanat.store, 0)
    site.amanat.around = ()
    told = site.amanat.fails(4, "snapshot", "atis", "--policy=nightly")
    assert "may not create the database" in told and "root may run no PostgreSQL server" in told
    assert "CREATEDB" in told and "user of its own" in told
    (kept,) = site.amanat.json("list")
    assert kept["proof"] == "readable"
    site.policies(", drill_server: {place: own}")
    assert "root" not in site.amanat.fails(4, "drill")
    assert site.is_clean


def test_the_doctor_says_where_a_drill_would_be(site):
    assert "on a throw-away server, made by PostgreSQL 15" in drill_database(site)["found"]
    site.policies(", drill_server: {place: own}")
    refused = drill_database(site)
    assert refused["level"] == "fail" and "CREATEDB" in refused["remedy"]
    site.policies(", drill_server: {place: own}", user="postgres")
    assert "role postgres may create it" in drill_database(site)["found"]


def drill_database(site):
    checks = json.loads(site.amanat.run("doctor", "--json").stdout)["checks"]
    (found,) = (check for check in checks if check["name"] == "drill-database")
    return found
