"""``amanat gate`` as a CI step: it refuses for each reason it knows, and for nothing else."""

import contextlib
import json
import os
import sqlite3
import threading

import psycopg
import pytest

from amanat.domain.gate import Reason
from tests.support.cli import Amanat, wait_for
from tests.support.faults import mounted
from tests.support.postgres_subject import clients_with
from tests.support.scene import POLICIES, SCRIPT, locked, staged, wait_for_open_run
from tests.support.sqlite_databases import bank_writers, build, build_bank

MIGRATED = """
CREATE TABLE migrations (id integer PRIMARY KEY, migration text, batch integer);
INSERT INTO migrations VALUES (1, '2026_01_01_000000_create_users', 1);
"""
STUCK = '"$real" "$@" | {{ [ -e {mark} ] && sleep 60; cat; }}'
OUR_LOCKS = """
SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE application_name LIKE 'amanat-%' AND relation = 'migrations'::regclass
"""
BANK = """
version: 1
databases:
  bank: {{engine: postgresql, environment: staging, connection: {connection}, client: {clients}}}
policies:
  pre-release: {{databases: [bank], on_demand: true, purpose: required, keep: {{last: 3}}}}
"""


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """For tests that change nothing."""
    scene = staged(tmp_path_factory.mktemp("calm"))
    scene.ok("snapshot", "app", "--policy=nightly")
    return scene


@pytest.fixture
def amanat(tmp_path):
    scene = staged(tmp_path)
    scene.ok("snapshot", "app", "--policy=nightly")
    return scene


def asked(amanat, *args, database="app", **options):
    """Why it is closed; nothing where it is open. Text, JSON and exit status say the same."""
    done = amanat.run("gate", database, "--json", *args, **options)
    assert done.returncode in {0, 4}, done.stderr
    found = json.loads(done.stdout)
    reasons = [refusal["reason"] for refusal in found["reasons"]]
    assert found["open"] is (done.returncode == 0) is (not reasons)
    assert all(refusal["message"] and refusal["hint"] for refusal in found["reasons"])
    return [Reason(reason) for reason in reasons]


def traces(amanat):
    """All that the gate must not change."""
    tables = [amanat.query(f"SELECT * FROM {table}") for table in ("runs", "entries", "snapshots")]
    folders = sorted(str(path) for path in amanat.folder.rglob("*") if "register.sqlite" not in path.name)
    return [[tuple(row) for row in table] for table in tables], folders


def change(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)


def test_it_is_open_with_a_fresh_snapshot_and_changes_nothing(calm):
    before = traces(calm)
    said = calm.ok("gate", "app").splitlines()
    (row,) = calm.json("list")
    assert said[0].startswith(f"snapshot {row['id']} of app: readable, taken ")
    assert said[1:] == ["the gate of app is open"]
    assert calm.json("gate", "app")["snapshot"] == row
    assert traces(calm) == before


def test_it_says_why_it_is_closed_and_what_to_do(calm):
    done = calm.run("gate", "app", "--max-age=0s")
    assert (done.returncode, done.stderr) == (4, "")
    reason, hint, verdict = done.stdout.splitlines()
    assert reason.startswith("old: snapshot ")
    assert "amanat snapshot, or ask with --take" in hint
    assert verdict == "the gate of app is closed"


@pytest.mark.parametrize(
    ("options", "reasons"),
    [
        (["--max-age=0s", "--level=restored"], [Reason.NOT_PROVEN, Reason.OLD]),
        (["--policy=pre-release"], [Reason.NO_SNAPSHOT]),
        (["--policy=nightly", "--level=stored", "--max-age=1d"], []),
    ],
)
def test_what_may_be_asked_for(calm, options, reasons):
    assert asked(calm, *options) == reasons


@pytest.mark.parametrize(
    ("code", "args", "words"),
    [
        (5, ["nope"], "no database 'nope'"),
        (5, ["app", "--policy=nope"], "no policy 'nope'"),
        (2, ["app", "--max-age=soon"], "--max-age"),
        (2, ["app", "--level=none"], "level none"),
        (2, ["app", "--take"], "requires a purpose"),  # before it is needed one day
    ],
)
def test_what_is_asked_wrongly(calm, code, args, words):
    assert words in calm.fails(code, "gate", *args)


def test_a_database_that_cannot_be_asked_is_an_error_and_no_verdict(amanat):
    (amanat.folder / "app.sqlite").unlink()
    assert "does not exist" in amanat.fails(3, "gate", "app")


def truncated(amanat, artefact):
    os.truncate(artefact, 1)


def edited(amanat, artefact):
    manifest = artefact.with_name(f"{artefact.name}.manifest.json")
    manifest.write_text(manifest.read_text().replace('"migrations": []', '"migrations":  []'))


def moved(amanat, artefact):
    (amanat.folder / "app.sqlite").rename(amanat.folder / "other.sqlite")
    amanat.policies(POLICIES.replace("app.sqlite", "other.sqlite"))


def of_another_environment(amanat, artefact):
    amanat.policies(POLICIES.replace("environment: staging", "environment: production"))


def migrated(amanat, artefact):
    change(amanat.folder / "app.sqlite", MIGRATED)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncated, Reason.DAMAGED),
        (edited, Reason.DAMAGED),
        (moved, Reason.OTHER_DATABASE),
        (of_another_environment, Reason.OTHER_ENVIRONMENT),
        (migrated, Reason.MIGRATED),
    ],
)
def test_what_was_done_since_closes_it(amanat, spoil, reason):
    (row,) = amanat.json("list")
    spoil(amanat, amanat.store / row["path"])
    assert asked(amanat) == [reason]


def test_a_part_is_nothing_to_go_back_to(tmp_path):
    amanat = Amanat(tmp_path)
    amanat.policies(POLICIES)
    build(tmp_path / "app.sqlite", SCRIPT)
    amanat.ok("snapshot", "app", "--tables=users")
    assert asked(amanat) == [Reason.PART]


@pytest.mark.slow
def test_without_a_register_it_makes_none_unless_it_may_take(amanat):
    env = {"AMANAT_STATE": str(amanat.folder / "new")}
    assert "there is no register" in amanat.fails(2, "gate", "app", env=env)
    assert not (amanat.folder / "new").exists()
    assert asked(amanat, "--take", "--purpose=first", env=env) == []


@pytest.mark.slow
def test_take_proves_as_far_as_is_asked_under_the_policy_for_releases(amanat):
    migrated(amanat, None)
    take = ("--take", "--purpose=r2", "--level=restored", "--by=ci")
    assert asked(amanat, *take) == []
    assert asked(amanat, *take) == []
    new, _ = amanat.json("list")  # the second time it served
    assert [new[key] for key in ("policy", "proof", "purpose", "by")] == ["pre-release", "restored", "r2", "ci"]


@pytest.mark.slow
def test_a_database_that_nobody_can_read_is_closed_not_waited_for(amanat):
    with locked(amanat.folder / "app.sqlite"), amanat.started("snapshot", "app") as process:
        wait_for_open_run(amanat)
        assert asked(amanat) == [Reason.RUNNING, Reason.LOCKS]
        process.kill()
    assert asked(amanat) == [], "a run that died is not running"


@pytest.mark.slow
def test_it_waits_for_what_passes_and_for_nothing_else(amanat):
    assert asked(amanat, "--wait=1h", "--max-age=0s") == [Reason.OLD]
    with contextlib.closing(sqlite3.connect(amanat.folder / "app.sqlite", check_same_thread=False)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(3, writer.rollback)
        timer.start()
        assert asked(amanat, "--wait=1m") == []
        assert timer.finished.is_set()


@pytest.mark.slow
def test_short_transactions_hold_up_nobody(tmp_path):
    amanat = Amanat(tmp_path)
    amanat.policies(POLICIES)
    path = build_bank(tmp_path / "app.sqlite", "wal")
    amanat.ok("snapshot", "app")
    with bank_writers(path, 2):
        assert asked(amanat) == []


@pytest.mark.slow
def test_there_must_be_room_to_go_back(tmp_path):
    amanat = Amanat(tmp_path)
    amanat.policies(POLICIES.replace("app.sqlite", "data/app.sqlite"))
    (tmp_path / "data").mkdir()
    build(tmp_path / "data" / "app.sqlite", SCRIPT, journal_mode="delete")
    amanat.ok("snapshot", "app")
    assert asked(amanat) == []
    full = 'cp "$1/app.sqlite" "$2"; mount -t tmpfs -o size=1m none "$1"; cp "$2" "$1"; head -c 1M /dev/zero >"$1/a" || true'
    with mounted(full, tmp_path / "data", tmp_path / "app.sqlite") as mounts:
        assert asked(amanat, around=mounts.around) == [Reason.ROOM]


@pytest.fixture
def bank(postgres, tmp_path):
    """Asked by a role that may not see what other sessions do; its pg_dump gets stuck while ``mark`` is there."""
    conninfo = postgres.database(sql=f"CREATE TABLE notes AS SELECT 1 AS id; {MIGRATED}")
    role = postgres.role("IN ROLE pg_read_all_data")
    clients = clients_with(tmp_path / "bin", postgres.bin, pg_dump=STUCK.format(mark=tmp_path / "mark"))
    made = Amanat(tmp_path)
    made.policies(BANK.format(connection=json.dumps({**conninfo, "user": role}), clients=clients))
    made.conninfo = conninfo
    return made


@pytest.mark.slow
def test_a_release_of_a_postgresql_database(bank, postgres):
    take = ("--take", "--purpose=release 2.1.0")
    assert asked(bank, *take, database="bank") == []
    with psycopg.connect(**bank.conninfo, application_name="forgotten") as session:
        session.execute("SELECT * FROM notes")
        said = bank.run("gate", "bank").stdout
        assert "locks: a migration would wait for session" in said
        assert "(forgotten, user postgres), which holds locks on public.notes" in said
    postgres.psql("INSERT INTO migrations VALUES (2, 'add_phone', 2)", bank.conninfo["dbname"])
    assert asked(bank, database="bank") == [Reason.MIGRATED]
    assert asked(bank, *take, database="bank") == []


@pytest.mark.slow
def test_the_sessions_of_a_dump_are_told_as_its_run(bank, postgres):
    bank.ok("snapshot", "bank")
    (bank.folder / "mark").touch()
    with bank.started("snapshot", "bank"):
        wait_for("locks of the dump", lambda: postgres.psql(OUR_LOCKS, bank.conninfo["dbname"]))
        assert asked(bank, database="bank") == [Reason.RUNNING]
