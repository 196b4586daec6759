"""The main job on a live PostgreSQL 15: a nightly policy, run by the daemon while an application writes.

Every dump is restored by stock tools alone (``psql``, ``createdb``, ``pg_restore``) into another server that never saw
the database or its roles, and nothing may be missing.
"""

import os
import re
import subprocess
from dataclasses import dataclass

import pytest

from tests.support.cli import Amanat, wait_for
from tests.support.postgres_bank import CURIOSITIES, GRANTS, SCHEMA, SUMS, writing
from tests.support.postgres_server import Server, Workspace

pytestmark = [pytest.mark.pg, pytest.mark.slow]

POLICIES = """
version: 1
databases:
  bank:
    engine: postgresql
    environment: production
    connection: {{host: {host}, port: "{port}", dbname: {dbname}, user: postgres}}
    documents: {{register: documents/backup-register.md}}
policies:
  nightly:
    databases: [bank]
    schedule: {{cron: "15 2 * * *", timezone: Asia/Baku, catch_up: 12h}}
    file_name: "{{environment}}_{{count.transfers}}transfers_{{timestamp}}"
    keep: {{last: 3, daily: 7}}
  chosen:
    databases: [bank]
    on_demand: true
    scope: {{tables: [accounts, "trans*", billing.invoices], exclude: [billing.invoices_2025]}}
    keep: {{last: 1}}
  without:
    databases: [bank]
    on_demand: true
    scope: {{exclude: [sessions, "Odd*"]}}
    globals: false
    keep: {{last: 1}}
  slim:
    databases: [bank]
    on_demand: true
    scope: {{exclude_data: [sessions, billing.invoices]}}
    keep: {{last: 1}}
"""


@dataclass(frozen=True, kw_only=True)
class Bank:
    """The live database, what Amanat took of it, and a server to restore into."""

    amanat: Amanat
    live: Server
    dbname: str
    fresh: Server

    def restored(self, snapshot: dict, *, before: str = "") -> str:
        """Restore with all stock tools stopping at the first error; the new database's name."""
        dump = self.amanat.store / snapshot["path"]
        dbname = f"restored_{snapshot['id']}"
        stock(self.fresh, "createdb", "--template=template0", dbname)
        if before:
            self.fresh.psql(before, dbname)
        stock(self.fresh, "pg_restore", "--exit-on-error", f"--dbname={dbname}", dump)
        return dbname

    def snapshot(self, policy: str) -> dict:
        return self.amanat.json("snapshot", "bank", f"--policy={policy}")


def stock(server: Server, tool: str, *options: object) -> str:
    done = subprocess.run(
        [server.bin / tool, *server.where, *options], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def schema(server: Server, dbname: str, *options: str) -> str:
    """The whole definition as stock pg_dump writes it, but for its random key."""
    text = stock(server, "pg_dump", "--schema-only", *options, f"--dbname={dbname}")
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def fresh():
    """A server of its own: it has neither the roles nor anything else of the live one."""
    workspace = Workspace()
    try:
        yield workspace.server(15)
    finally:
        workspace.close()


@pytest.fixture
def bank(tmp_path, postgres, fresh):
    owner, reader = postgres.role(), postgres.role("CONNECTION LIMIT 7 PASSWORD 'secret'")
    where = postgres.database(sql=SCHEMA + GRANTS.format(owner=owner, reader=reader))
    amanat = Amanat(tmp_path, PATH=f"{postgres.bin}:{os.environ['PATH']}")
    amanat.policies(POLICIES.format(**where))
    try:
        with writing(where) as writer:
            yield Bank(amanat=amanat, live=postgres.server, dbname=where["dbname"], fresh=fresh)
            assert writer.committed > 0
    finally:
        postgres.psql(f"DROP OWNED BY {owner}, {reader}", where["dbname"])


def apply_globals(bank: Bank, snapshot: dict) -> None:
    """As the recipe says: an error for a role that exists already, here the superuser, does no harm."""
    (file,) = snapshot["companions"]
    path = bank.amanat.store / file
    assert "PASSWORD" not in path.read_text().upper()
    command = [bank.fresh.bin / "psql", "-X", *bank.fresh.where, "-d", "postgres"]
    done = subprocess.run(command, input=path.read_text(), capture_output=True, text=True, check=True)
    errors = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert all("already exists" in line for line in errors), errors


def test_every_nightly_dump_restores_with_nothing_missing(bank):
    with bank.amanat.daemon() as daemon:
        found = daemon.wait_for(
            "a policy that never ran is due at once", lambda: bank.amanat.json("list"), timeout=60
        )
        assert (found[0]["by"], found[0]["policy"], found[0]["proof"]) == ("scheduler", "nightly", "readable")
        for _ in range(2):
            bank.snapshot("nightly")
        wait_for(
            "the daemon shows all three",
            lambda: daemon.metric("snapshots", policy="nightly", proof="readable") == 3,
        )
        assert daemon.metric("runs_total", policy="nightly", stage="snapshot", outcome="succeeded") == 3
        assert daemon.metric("runs_total", policy="nightly", stage="snapshot", outcome="failed") == 0
    snapshots = bank.amanat.json("list")
    assert len(snapshots) == 3
    apply_globals(bank, snapshots[0])
    wanted, unchanged = schema(bank.live, bank.dbname), bank.live.psql(CURIOSITIES, bank.dbname)
    for snapshot in snapshots:
        dbname = bank.restored(snapshot)
        assert bank.fresh.psql(SUMS, dbname) == "t|t|t|t|t"
        assert bank.fresh.psql(CURIOSITIES, dbname) == unchanged
        assert schema(bank.fresh, dbname) == wanted
        counted = int(re.search(r"production_(\d+)transfers_", snapshot["path"])[1])
        assert counted == int(bank.fresh.psql("SELECT count(*) FROM transfers", dbname)), (
            "the facts are of the dump"
        )
    assert len({snapshot["path"].partition("_2")[0] for snapshot in snapshots}) == 3, "the writer wrote in between"
    roles = "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname LIKE 'role_%' ORDER BY 1"
    assert set(bank.live.psql(roles).split()) <= set(bank.fresh.psql(roles).split())


def test_the_recipe_of_the_manifest_restores_as_it_stands(bank, tmp_path):
    """Line by line in a shell, in the snapshot's folder, as somebody would who has nothing but the store."""
    snapshot = bank.snapshot("nightly")
    lines = bank.amanat.json("show", snapshot["id"])["restore"]
    env = {
        "PATH": f"{bank.fresh.bin}:{os.environ['PATH']}",
        "PGHOST": str(bank.fresh.socket_dir),
        "PGPORT": str(bank.fresh.port),
        "PGUSER": "postgres",
    }
    folder = (bank.amanat.store / snapshot["path"]).parent
    subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=folder, env=env, check=True, capture_output=True)
    try:
        assert bank.fresh.psql(SUMS, "restored") == "t|t|t|t|t"
        assert schema(bank.fresh, "restored") == schema(bank.live, bank.dbname)
    finally:
        bank.fresh.psql("DROP DATABASE restored")


def tables(bank: Bank, dbname: str, server: Server | None = None) -> list[str]:
    listed = "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    ours = "WHERE relkind IN ('r', 'p') AND nspname IN ('public', 'billing') ORDER BY 1"
    return (server or bank.fresh).psql(f"{listed} {ours}", dbname).splitlines()


def test_chosen_tables_restore_with_rows_sequences_and_indexes(bank):
    """A dump of tables holds neither schemas nor types (manual, pg_dump, --table): they are made first."""
    snapshot = bank.snapshot("chosen")
    apply_globals(bank, snapshot)
    before = "CREATE SCHEMA billing; CREATE TYPE billing.mood AS ENUM ('glad', 'sad')"
    dbname = bank.restored(snapshot, before=before)
    assert tables(bank, dbname) == ["accounts", "invoices", "invoices_2026", "transfers"]
    assert bank.fresh.psql(SUMS, dbname) == "t|t|t|t|t"
    assert bank.fresh.psql("SELECT count(*) FROM billing.invoices", dbname) == "250"
    assert bank.fresh.psql("SELECT count(*) FROM pg_indexes WHERE indexname = 'transfers_large'", dbname) == "1"
    kept = ("--table=accounts", "--table=transfers")
    assert schema(bank.fresh, dbname, *kept) == schema(bank.live, bank.dbname, *kept)


def test_without_excluded_tables_all_the_rest_restores(bank):
    snapshot = bank.snapshot("without")
    assert snapshot["companions"] == []
    roles = bank.live.psql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'role_%'").split()
    bank.fresh.psql(";".join(f"CREATE ROLE {role}" for role in roles))
    dbname = bank.restored(snapshot)
    assert set(tables(bank, bank.dbname, bank.live)) - set(tables(bank, dbname)) == {"sessions", 'Odd "name".x'}
    assert bank.fresh.psql(SUMS, dbname) == "t|t|t|t|t"
    left_out = ("--exclude-table=sessions", '--exclude-table="Odd ""name"".x"')
    assert schema(bank.fresh, dbname) == schema(bank.live, bank.dbname, *left_out)


def test_tables_without_rows_restore_with_their_whole_definition(bank):
    snapshot = bank.snapshot("slim")
    apply_globals(bank, snapshot)
    dbname = bank.restored(snapshot)
    assert schema(bank.fresh, dbname) == schema(bank.live, bank.dbname)
    empty = "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM billing.invoices)"
    assert bank.fresh.psql(empty, dbname) == "0|0"
    assert bank.fresh.psql(SUMS, dbname) == "t|t|t|t|t"
