"""``amanat migrate`` as people and CI start it, and what becomes of a dump that is under way."""

import contextlib
import json
import os
import pty
import re
import shlex
import signal
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from tests.support.cli import COMMAND, Amanat, wait_for
from tests.support.postgres_subject import clients_with
from tests.support.scene import runs, staged

ADD = "sqlite3 app.sqlite 'ALTER TABLE users ADD COLUMN phone text'"
TABLE = "CREATE TABLE notes AS SELECT n AS id, repeat(md5(n::text), 40) AS body FROM generate_series(1, 10000) n"
ONCE_STUCK = '[ -e {mark} ] && exec "$real" "$@"; touch {mark}; "$real" "$@" | {{ sleep 60; cat; }}'
BANK = """
version: 1
databases:
  bank:
    engine: postgresql
    environment: staging
    connection: {{host: {host}, port: "{port}", dbname: {dbname}, user: postgres}}
    client: {clients}
policies:
  nightly:
    databases: [bank]
    {when}
    keep: {{last: 3}}
    yield_after: {yield_after}
    retry: {{backoff: 1s}}
    timeout: 1m
"""
YIELD_AFTER = 2.0


@pytest.fixture
def amanat(tmp_path):
    return staged(tmp_path)


def migrate(*command, **options):
    said = {"purpose": "release 2.1.0", **options}
    return [
        "migrate",
        "app",
        *(f"--{name.replace('_', '-')}={text}" for name, text in said.items()),
        "--",
        *command,
    ]


def columns(amanat):
    with contextlib.closing(sqlite3.connect(amanat.folder / "app.sqlite")) as connection:
        return [row[1] for row in connection.execute("PRAGMA table_info(users)")]


def accounts(amanat):
    return [json.loads(row["detail"]) for row in amanat.query("SELECT * FROM entries WHERE kind = 'migration'")]


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 4", 4), ("kill -KILL $$", 128 + signal.SIGKILL)]
)
def test_the_exit_code_is_that_of_the_command(amanat, script, code):
    done = amanat.run(*migrate("sh", "-c", f"{ADD}; echo done; {script}"))
    assert (done.returncode, done.stdout) == (code, "done\n")
    (account,) = accounts(amanat)
    assert account["changes"] == ["table users: changed"]
    assert "table users: changed" in done.stderr
    assert ("amanat rollback app --to" in done.stderr) is (code != 0)
    (run,) = runs(amanat, "migration")
    assert run["outcome"] == ("failed" if code else "succeeded")


def test_the_way_back_of_an_application_that_is_not_configured(amanat):
    folder = amanat.folder / "back end"
    folder.mkdir()
    (folder / "artisan").touch()
    env_file = f"APP_ENV=local\nDB_CONNECTION=sqlite\nDB_DATABASE={amanat.folder / 'app.sqlite'}\n"
    (folder / ".env").write_text(env_file)
    command = ["migrate", f"laravel:{folder}", "--purpose=x", "--", "sh", "-c", f"{ADD}; exit 1"]
    done = amanat.run(*command)
    (way_back,) = (line for line in done.stderr.splitlines() if "to go back" in line and "→" in line)
    assert "phone" in columns(amanat)
    words = shlex.split(way_back.partition("to go back: ")[2].replace("…", "back"))
    assert words[:3] == ["amanat", "rollback", f"laravel:{folder}"]
    amanat.ok(*words[1:], "--yes")
    assert "phone" not in columns(amanat)


def test_the_register_tells_it_in_short(amanat):
    amanat.ok(*migrate("sh", "-c", ADD))
    (account,) = accounts(amanat)
    assert re.fullmatch(r"snapshot \w+ of [\d-]+ [\d:]+ UTC \(readable\)", account["origin"])
    for told in (amanat.ok("register"), amanat.ok("register", "export", "--format=csv")):
        assert f"{account['origin']} → sh exited with 0" in told
        assert '"steps"' not in told
    (row,) = (row for row in amanat.json("register") if row["kind"] == "migration")
    assert json.loads(row["detail"]) == account


def test_the_command_has_our_terminal_and_our_umask(amanat):
    script = "test -t 0 && test -t 1 && test -t 2 && umask && read word && echo heard $word"
    pid, terminal = pty.fork()
    if pid == 0:
        os.umask(0o027)
        os.chdir(amanat.folder)
        argv = [*COMMAND, *migrate("sh", "-c", script)]
        os.execve(sys.executable, argv, {**amanat.environment(), "TERM": "xterm"})
    said = b""

    def has_said(words):
        nonlocal said
        said += os.read(terminal, 4096)
        return words in said

    wait_for("its umask", lambda: has_said(b"0027"))
    os.write(terminal, b"salam\n")
    wait_for("its answer", lambda: has_said(b"heard salam"))
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
        while os.read(terminal, 4096):
            pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_signal_goes_to_the_command_and_the_register_is_told(amanat):
    with amanat.started(*migrate("sh", "-c", "echo begun; exec sleep 60")) as migrating:
        wait_for("the command", lambda: "begun" in migrating.output())
        assert migrating.stop() == 128 + signal.SIGTERM
    (account,) = accounts(amanat)
    assert account["failure"] == "sh was killed by SIGTERM"


def test_nothing_is_run_where_the_gate_is_closed(amanat):
    amanat.ok("snapshot", "app")
    said = amanat.fails(4, *migrate("sh", "-c", ADD, max_age="0s", policy="manual"))
    assert "old: snapshot " in said
    assert "the gate of app is closed" in said
    assert "phone" not in columns(amanat)
    assert accounts(amanat) == []


@pytest.mark.parametrize(
    ("code", "args", "words"),
    [
        (2, ["migrate", "app", "--", "true"], "purpose"),
        (2, migrate("true", purpose=" "), "a migration needs a purpose"),
        (2, migrate("true", lock_timeout="soon"), "--lock-timeout"),
        (2, migrate("true", lock_timeout="5s"), "no PostgreSQL database"),
        (2, migrate("true", level="none"), "level none"),
        (5, ["migrate", "nope", "--purpose=x", "--", "true"], "no database 'nope'"),
        (3, migrate("/nowhere/artisan"), "/nowhere/artisan cannot be started"),
        (3, migrate("/nowhere/artisan", "--json"), "amanat: /nowhere/artisan cannot be started"),
    ],
)
def test_what_cannot_be_run(amanat, code, args, words):
    assert words in amanat.fails(code, *args)


def test_amanat_within_the_command_is_told_and_does_not_hang(amanat):
    own = " ".join(COMMAND)
    done = amanat.run(*migrate("sh", "-c", f"{own} snapshot app --wait=0s; {own} gate app --json"))
    assert done.returncode == 4
    assert "a migration of app is under way" in done.stderr
    assert [refusal["reason"] for refusal in json.loads(done.stdout)["reasons"]] == ["running"]


def test_status_shows_it(amanat):
    with amanat.started(*migrate("sh", "-c", "echo begun; exec sleep 60")) as migrating:
        wait_for("the command", lambda: "begun" in migrating.output())
        (running,) = amanat.json("status")["running"]
        assert (running["stage"], running["database"]) == ("migration", "app")


def test_one_that_was_killed_is_set_right_and_nobody_waits_for_it(amanat):
    with amanat.started(*migrate("sh", "-c", "echo begun; exec sleep 5")) as migrating:
        wait_for("the command", lambda: "begun" in migrating.output())
        migrating.kill()
    amanat.ok("snapshot", "app", "--wait=0s")
    (run,) = runs(amanat, "migration")
    assert (run["outcome"], run["code"]) == ("interrupted", "died")
    assert "what its command did stays" in run["hint"]
    (entry,) = amanat.query("SELECT * FROM entries WHERE kind = 'migration'")
    assert (entry["outcome"], entry["run"], entry["purpose"]) == ("interrupted", run["id"], "release 2.1.0")
    (account,) = accounts(amanat)
    assert "its process died" in account["failure"]
    assert account["undo"].startswith(f"amanat rollback app --to {run['snapshot']} ")
    assert entry["environment"] == "staging"


@pytest.fixture
def conninfo(postgres):
    return postgres.database(sql=TABLE)


@pytest.fixture
def bank(postgres, conninfo, tmp_path):
    """Its first pg_dump gets stuck while it reads."""
    script = ONCE_STUCK.format(mark=tmp_path / "mark")
    made = Amanat(tmp_path)
    made.clients = clients_with(tmp_path / "bin", postgres.bin, pg_dump=script)

    def configure(when):
        made.policies(BANK.format(**conninfo, clients=made.clients, yield_after=f"{YIELD_AFTER:.0f}s", when=when))

    made.configure = configure
    return made


@pytest.fixture
def altering(postgres, conninfo):
    """``amanat migrate`` with what alters the table that is being dumped."""
    command = [postgres.bin / "psql", "-X", "-v", "ON_ERROR_STOP=1", *postgres.server.where, conninfo["dbname"]]
    command += ["-c", "SHOW lock_timeout", "-Atc", "ALTER TABLE notes ADD seen boolean"]
    options = ["--purpose=release 2.1.0", "--policy=manual", "--lock-timeout=3s", "--wait=30s"]
    return ["migrate", "bank", *options, "--", *map(str, command)]


@pytest.fixture
def wait_until_it_reads(postgres, conninfo):
    reads = f"SELECT 1 FROM pg_stat_activity WHERE datname = '{conninfo['dbname']}' AND query LIKE 'COPY%'"
    return lambda: wait_for("pg_dump reads", lambda: postgres.psql(reads))


class Waits:
    """Asks the server all the while for how long anybody has waited for a lock on ``notes``."""

    def __init__(self, conninfo):
        self.longest = 0.0
        self._conninfo = conninfo
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _watch(self):
        with psycopg.connect(**self._conninfo, autocommit=True) as asking:
            while not self._over.wait(0.05):
                waited = asking.execute(
                    "SELECT max(extract(epoch FROM clock_timestamp() - waitstart)) FROM pg_locks WHERE NOT granted"
                ).fetchone()[0]
                self.longest = max(self.longest, float(waited or 0))


@pytest.mark.pg
@pytest.mark.slow
def test_a_dump_under_way_gives_way_and_is_taken_again(bank, conninfo, altering, wait_until_it_reads):
    bank.configure("on_demand: true")
    with bank.started("snapshot", "bank", "--policy=nightly") as taking, Waits(conninfo) as waits:
        wait_until_it_reads()
        began = time.monotonic()
        done = bank.run(*altering, env={"PGOPTIONS": "-c work_mem=8MB"})
        assert done.returncode == 0, done.stderr
        assert "3s" in done.stdout
        assert time.monotonic() - began < 25
        assert waits.longest < YIELD_AFTER + 1
        assert taking.wait(30) == 0
    assert_given_way(bank)


@pytest.mark.pg
@pytest.mark.slow
def test_a_dump_of_the_daemons_schedule_gives_way_and_is_taken_again(
    bank, conninfo, altering, wait_until_it_reads
):
    bank.configure('schedule: {cron: "15 2 * * *", timezone: UTC}')
    with bank.daemon() as daemon, Waits(conninfo) as waits:
        wait_until_it_reads()
        with bank.started(*altering) as migrating:
            wait_for("the mark", (bank.state / "locks" / "migration-bank.lock").exists)
            marked = datetime.now(UTC)
            assert migrating.wait(40) == 0
        assert waits.longest < YIELD_AFTER + 1
        after = "SELECT 1 FROM snapshots WHERE policy = 'nightly'"
        daemon.wait_for("the snapshot after it", lambda: bank.query(after))
        assert (
            daemon.metric("runs_total", stage="snapshot", database="bank", policy="nightly", outcome="yielded")
            == 1
        )
        assert daemon.stop() == 0
    first, second = assert_given_way(bank)
    assert datetime.fromisoformat(first["finished_at"]) - marked < timedelta(seconds=YIELD_AFTER + 1)
    assert first["scheduled_at"] == second["scheduled_at"]


def assert_given_way(bank):
    """The two runs of the policy."""
    first, second = (run for run in runs(bank) if run["policy"] == "nightly")
    assert (first["outcome"], second["outcome"]) == ("yielded", "succeeded")
    assert "gave way to a migration of bank" in first["reason"]
    (migration,) = runs(bank, "migration")
    assert first["finished_at"] <= migration["started_at"] < migration["finished_at"] <= second["started_at"]
    (account,) = accounts(bank)
    assert account["changes"] == ["column public.notes.seen: added"]
    return first, second
