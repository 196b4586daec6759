"""Back to a snapshot and forth again, while the application goes on writing: the rows tell, not the exit codes."""

import contextlib
import os
import pty
import signal
import time

import psycopg
import pytest

from tests.support.applications import PostgresqlApplication, SqliteApplication
from tests.support.cli import COMMAND, wait_for

pytestmark = pytest.mark.slow

ROLLBACK = ("rollback", "app", "--yes", "--purpose=the migration failed halfway")


@pytest.fixture
def sqlite_application(tmp_path):
    return SqliteApplication(tmp_path)


@pytest.fixture(params=["sqlite-wal", "postgresql"])
def application(request, tmp_path):
    if request.param == "postgresql":
        return PostgresqlApplication(tmp_path, request.getfixturevalue("postgres"))
    return SqliteApplication(tmp_path, request.param.removeprefix("sqlite-"))


whatever_the_engine = pytest.mark.parametrize("application", ["sqlite-wal"], indirect=True)
"""What the services do alike for all."""
in_every_journal_mode = pytest.mark.parametrize(
    "application", ["sqlite-wal", "sqlite-delete", "postgresql"], indirect=True
)


@in_every_journal_mode
def test_a_migration_that_failed_halfway_is_rolled_back_and_that_is_undone_and_that_too(application):
    amanat = application.amanat
    taken, held = application.digests(), application.snapshot()
    with application.writer() as written:
        application.migrate_halfway()
        spoiled = application.digests()
        before = set(written.texts)
        done = amanat.json(*ROLLBACK)
        swapped = time.monotonic()
        wait_for("writes to what is live now", lambda: len(written.after(swapped)) > 5)
    assert spoiled != taken
    assert application.digests() == taken
    assert done["outage_seconds"] < 1
    back = application.writes()
    amanat.ok("undo", "app", "--yes", "--purpose=it was not the migration")
    assert application.digests() == spoiled
    forth = application.writes()
    assert before <= forth
    assert set(written.texts) <= back | forth  # whatever was told to be in, is in one of the two
    assert not back & forth
    amanat.ok("undo", "app", "--yes")
    assert (application.digests(), application.writes()) == (taken, back)
    kinds = [row["kind"] for row in amanat.query("SELECT kind FROM entries ORDER BY sequence")]
    assert kinds == ["snapshot", "rollback", "undo", "undo"]
    log = (amanat.folder / "documents" / "rollback-log.md").read_text("utf-8")
    for told in (held, "the migration failed halfway", "it was not the migration", "amanat undo app"):
        assert told in log
    assert amanat.json("register", "verify")["valid"]


def test_it_tells_what_is_lost_and_asks(application):
    application.snapshot()
    application.execute("INSERT INTO surveys VALUES (501, 'later', 1)")
    application.migrate_halfway()
    done = application.amanat.run("rollback", "app", "--purpose=why")
    assert done.returncode == 4
    assert "surveys: 500 rows then, 501 now" in done.stdout
    assert "2026_11_23_000000_drop_phone" in done.stdout
    assert "--yes" in done.stderr
    assert application.amanat.query("SELECT * FROM runs WHERE stage = 'rollback'") == []


def test_what_is_kept_is_shown_held_and_dropped(application):
    amanat = application.amanat
    application.snapshot()
    kept = amanat.json(*ROLLBACK)["kept"]
    (aside,) = amanat.json("status")["asides"]
    assert (aside["name"], aside["kind"]) == (kept, "before")
    amanat.ok("hold", "kept:app", "--reason=until it is checked")
    assert "held" in amanat.fails(4, "accept", "app")
    amanat.ok("release", "kept:app", "--reason=checked")
    assert kept in amanat.ok("accept", "app")
    assert amanat.json("status")["asides"] == []
    amanat.fails(5, "undo", "app", "--yes")


def test_a_warm_one_is_only_swapped_in(application):
    application.configure(more="warm: true")
    amanat, taken = application.amanat, application.digests()
    application.snapshot()
    (first,) = amanat.json("status")["asides"]
    held = application.snapshot()
    (warm,) = amanat.json("status")["asides"]
    assert (warm["kind"], warm["snapshot"]) == ("warm", held)
    assert warm["name"] != first["name"]
    application.migrate_halfway()
    began = time.monotonic()
    done = amanat.json(*ROLLBACK)
    assert time.monotonic() - began < 3
    assert any(warm["name"] in step for step in done["steps"])
    assert application.digests() == taken
    assert [aside["kind"] for aside in amanat.json("status")["asides"]] == ["before"]


def test_what_others_lock_holds_up_no_rollback_to_a_warm_one(tmp_path, postgres):
    application = PostgresqlApplication(tmp_path, postgres)
    application.configure(more="warm: true")
    application.snapshot()
    with contextlib.closing(psycopg.connect(**application.conninfo)) as other:
        other.execute("LOCK TABLE users")
        began = time.monotonic()
        application.amanat.ok(*ROLLBACK)
        assert time.monotonic() - began < 3
    detail = application.amanat.query("SELECT detail FROM entries WHERE kind = 'rollback'")[0]["detail"]
    assert "not counted, then or now: public.users" in detail


@whatever_the_engine
def test_an_unhappy_question_before_the_swap_leaves_all_as_it_is(application):
    application.snapshot()
    application.migrate_halfway()
    spoiled = application.digests()
    application.configure(more='before_swap: [{sql: "SELECT count(*) FROM users", expect: "1"}]')
    said = application.amanat.fails(3, *ROLLBACK)
    assert "SELECT count(*) FROM users" in said
    assert application.digests() == spoiled
    assert application.amanat.json("status")["asides"] == []
    (entry,) = application.amanat.query("SELECT outcome FROM entries WHERE kind = 'rollback'")
    assert entry["outcome"] == "failed"


HOOKS = "{before_restore: [{shell: 'echo $AMANAT_STAGE-down >> told'}], after_swap: [{shell: 'echo $AMANAT_STAGE-up >> told'}], on_failure: [{shell: 'echo $AMANAT_STAGE-failed >> told'}]}"


@whatever_the_engine
def test_hooks_run_around_it(application):
    application.snapshot()
    application.configure(hooks=HOOKS)
    done = application.amanat.json(*ROLLBACK)
    application.amanat.ok("undo", "app", "--yes")
    told = (application.amanat.folder / "told").read_text().split()
    assert told == ["rollback-down", "rollback-up", "undo-down", "undo-up"]
    assert sum("/bin/sh" in step or "echo" in step for step in done["steps"]) == 2


@whatever_the_engine
def test_a_hook_that_fails_after_the_swap_is_told_and_undoes_nothing(application):
    taken = application.digests()
    application.snapshot()
    application.migrate_halfway()
    application.configure(hooks=HOOKS.replace("echo $AMANAT_STAGE-up >> told", "echo broken; exit 7"))
    said = application.amanat.fails(3, *ROLLBACK)
    assert "was swapped, and then" in said
    assert "amanat undo app" in said
    assert application.digests() == taken
    assert (application.amanat.folder / "told").read_text().split() == ["rollback-down", "rollback-failed"]
    application.configure()
    application.amanat.ok("undo", "app", "--yes", "--purpose=x")


@pytest.mark.parametrize("moment", ["before_restore", "after_swap"])
def test_killed_where_a_hook_runs_it_is_finished_or_taken_back(application, moment):
    amanat, taken = application.amanat, application.digests()
    application.snapshot()
    application.migrate_halfway()
    spoiled = application.digests()
    application.configure(hooks=f"{{{moment}: [{{shell: 'touch there; exec sleep 60'}}]}}")
    with amanat.started(*ROLLBACK) as process:
        process.wait_for("the hook", (amanat.folder / "there").exists)
        process.kill()
    application.configure()
    assert application.digests() == (taken if moment == "after_swap" else spoiled)
    told = amanat.json("reconcile")["swaps"]
    asides = amanat.json("status")["asides"]
    if moment == "after_swap":
        assert "finished" in told[0]
        amanat.ok("undo", "app", "--yes")
        assert application.digests() == spoiled
    else:
        assert (told, asides) == ([], [])
        amanat.ok(*ROLLBACK)
        assert application.digests() == taken


@whatever_the_engine
def test_a_plan_changes_nothing_and_names_a_newer_snapshot(application):
    held = application.snapshot()
    newer = application.amanat.json("snapshot", "app", "--name=by_hand")["id"]
    application.execute("INSERT INTO surveys VALUES (501, 'later', 1)")
    plan = application.amanat.json("rollback", "app", "--dry-run")
    assert (plan["snapshot"]["id"], plan["newer"]["id"], plan["warm"]) == (held, newer, None)
    assert any("surveys: 500 rows then, 501 now" in line for line in plan["lost"])
    assert f"a newer proven one is {newer}" in application.amanat.ok("rollback", "app", "--dry-run")
    assert application.amanat.query("SELECT * FROM runs WHERE stage = 'rollback'") == []


@pytest.mark.parametrize(
    "command", [("rollback", "app", "--purpose=x"), ("undo", "app")], ids=lambda words: words[0]
)
def test_a_question_is_seen_and_ctrl_c_ends_it(sqlite_application, command):
    """On a terminal: nothing is drawn over the question, and the first Ctrl-C is heard."""
    sqlite_application.snapshot()
    amanat, spoken = sqlite_application.amanat, b""
    amanat.ok(*ROLLBACK)
    before = amanat.json("runs")
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # who started the tests may ignore it, and that is inherited
        os.chdir(amanat.folder)
        os.execve(COMMAND[0], [*COMMAND, *command], amanat.environment())
    while b"[y/N]" not in spoken:
        spoken += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 130
    assert b"\x1b[2K" not in spoken
    assert amanat.json("runs") == before
