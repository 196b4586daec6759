"""``amanat enforce`` and passes of the gate: by command, by psql and in the register."""

import json
import subprocess
from functools import partial

import pytest

from amanat.app import open_app
from amanat.domain.policy import Configuration, Database, PostgresqlSource
from amanat.ports.enforcing import Asked
from amanat.services import enforce
from amanat.settings.service import ServiceSettings
from tests.support.cli import Amanat
from tests.support.scene import staged

POLICIES = """
version: 1
databases:
  bank: {{engine: postgresql, environment: staging, connection: {connection}, client: {clients}}}
policies:
  pre-release: {{databases: [bank], on_demand: true, proof: restored, keep: {{last: 3}}}}
"""
CHANGE = "ALTER TABLE notes ADD at date"


@pytest.fixture
def bank(postgres, tmp_path):
    """Amanat connects as a superuser; ``owner`` is the application's role."""
    owner = postgres.role()
    conninfo = postgres.database(sql=f"CREATE TABLE notes AS SELECT 1 AS id; ALTER TABLE notes OWNER TO {owner}")
    made = Amanat(tmp_path)
    made.policies(POLICIES.format(connection=json.dumps(conninfo), clients=postgres.bin))
    made.conninfo, made.owner = conninfo, owner
    made.psql = partial(psql, postgres, {**conninfo, "user": owner})
    return made


def psql(postgres, conninfo, sql):
    where = ["-h", conninfo["host"], "-p", conninfo["port"], "-U", conninfo["user"], "-d", conninfo["dbname"]]
    done = subprocess.run(
        [postgres.bin / "psql", "-X", *where, "-c", sql], capture_output=True, text=True, check=False
    )
    return done.stderr


def entries(amanat):
    rows = amanat.query("SELECT * FROM entries WHERE kind = 'enforcement' ORDER BY sequence")
    return [(row["by"], row["purpose"], row["outcome"], row["detail"]) for row in rows]


@pytest.mark.slow
def test_from_installation_to_removal(bank):
    done = bank.json("enforce", "install", "bank", "--by=ops", "--purpose=audit")
    assert (done["installed"], done["enabled"], done["exempt"], done["passes"]) == (True, True, [], [])
    assert "amanat gate bank --issue-pass" in bank.psql(CHANGE)
    assert bank.fails(4, "gate", "bank", f"--issue-pass={bank.owner}") == ""  # no snapshot: closed
    assert bank.json("enforce", "status", "bank") == done

    bank.ok("snapshot", "bank", "--policy=pre-release")  # restored, and compared
    told = bank.ok("gate", "bank", f"--issue-pass={bank.owner}", "--purpose=release 2", "--by=ci").splitlines()
    assert told[-1].startswith(f"role {bank.owner} may change the schema until ")
    (issued,) = bank.json("enforce", "status", "bank")["passes"]
    assert (issued["role"], issued["by"], issued["purpose"]) == (bank.owner, "ci", "release 2")
    assert f"pass {issued['id']}: role {bank.owner} until " in bank.ok("enforce", "status", "bank")
    assert bank.psql(CHANGE) == ""

    bank.ok("enforce", "remove", "bank", "--by=ops")
    assert bank.ok("enforce", "status", "bank") == "bank: not installed\n"
    assert "not installed" in bank.fails(5, "enforce", "remove", "bank")
    assert bank.psql("ALTER TABLE notes DROP at") == ""
    assert entries(bank) == [
        ("ops", "audit", "succeeded", "installed; exempt: none; passes are issued by postgres"),
        ("ci", "release 2", "succeeded", f"pass {issued['id']} for role {bank.owner} until {issued['until']}"),
        ("ops", "", "succeeded", "removed"),
    ]
    bank.ok("register", "verify")


@pytest.mark.slow
def test_a_pass_of_the_gate_in_json(bank):
    bank.ok("snapshot", "bank")
    assert bank.json("gate", "bank")["pass"] is None
    assert "nothing is enforced there" in bank.fails(4, "gate", "bank", "--issue-pass=x")
    bank.ok("enforce", "install", "bank")
    assert "no role nobody_of_that_name" in bank.fails(5, "gate", "bank", "--issue-pass=nobody_of_that_name")
    assert "--pass-for" in bank.fails(2, "gate", "bank", "--issue-pass=x", "--pass-for=soon")
    found = bank.json("gate", "bank", f"--issue-pass={bank.owner}", "--pass-for=1h")["pass"]
    assert bank.json("enforce", "status", "bank")["passes"] == [found]
    assert len(entries(bank)) == 2


@pytest.mark.slow
def test_what_a_superuser_would_have_to_run(bank, postgres):
    bank.ok("snapshot", "bank")  # there is a register
    before = entries(bank)
    statements = bank.ok("enforce", "install", "bank", "--print-sql", f"--exempt={bank.owner}")
    assert bank.json("enforce", "install", "bank", "--print-sql", f"--exempt={bank.owner}") == {"sql": statements}
    assert not bank.json("enforce", "status", "bank")["installed"]
    postgres.psql(statements, bank.conninfo["dbname"])
    assert bank.json("enforce", "status", "bank")["exempt"] == [bank.owner]
    assert bank.psql(CHANGE) == ""
    postgres.psql(bank.ok("enforce", "remove", "bank", "--print-sql"), bank.conninfo["dbname"])
    assert not bank.json("enforce", "status", "bank")["installed"]
    assert entries(bank) == before


def test_sqlite_has_no_event_triggers(tmp_path):
    amanat = staged(tmp_path)
    amanat.ok("snapshot", "app", "--policy=nightly")
    for command in (["enforce", "install"], ["enforce", "status"], ["enforce", "remove"]):
        assert "SQLite has no event triggers" in amanat.fails(4, *command, "app")
    assert "SQLite has no event triggers" in amanat.fails(4, "gate", "app", "--issue-pass=x")


@pytest.fixture
def ports(bank):
    settings = ServiceSettings(_env_file=None, store=bank.store, state=bank.state)
    app = open_app(settings, emit=lambda *_, **__: None)
    app.use(Configuration())
    yield app.ports
    app.ports.register.close()


def test_a_pass_for_a_run_ends_with_it(bank, ports):
    database = Database(name="bank", environment="staging", source=PostgresqlSource(parameters=bank.conninfo))
    asked = Asked(by="ci", purpose="release 2")
    with enforce.passing(ports, database, asked) as issued:
        assert issued is None
    enforce.install(ports, database, exempt=(), issuer="", by="ops", purpose="")
    with pytest.raises(ZeroDivisionError), enforce.passing(ports, database, asked) as issued:
        assert issued.role == bank.owner
        assert bank.psql(CHANGE) == ""
        raise ZeroDivisionError
    assert "no valid pass" in bank.psql("ALTER TABLE notes DROP at")
    assert enforce.state(ports, database).passes == ()


def test_a_pass_that_cannot_be_revoked_is_told_and_harms_no_run(bank, ports, postgres):
    database = Database(name="bank", environment="staging", source=PostgresqlSource(parameters=bank.conninfo))
    enforce.install(ports, database, exempt=(), issuer="", by="ops", purpose="")
    with enforce.passing(ports, database, Asked(by="ci", purpose="release 2")) as issued:
        postgres.psql(f'DROP DATABASE "{bank.conninfo["dbname"]}"')
    by, purpose, outcome, detail = entries(bank)[-1]
    assert (by, purpose, outcome) == ("ci", "release 2", "failed")
    assert detail.startswith(f"pass {issued.id} for role {bank.owner} until ")
    assert "could not be revoked: " in detail
