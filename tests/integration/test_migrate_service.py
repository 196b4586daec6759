"""A guarded migration of a real SQLite database: what is run, what is told, what is kept meanwhile."""

import os
from datetime import timedelta

import pytest

from amanat.domain.account import parse
from amanat.domain.entry import EntryKind
from amanat.domain.errors import BusyError, SourceError, ToolError
from amanat.domain.gate import Wanted
from amanat.domain.model import Outcome, Stage
from amanat.host.control import RunControl
from amanat.host.locks import Locks
from amanat.services.migrate import Moments, Order
from amanat.services.request import Request
from tests.support.workshop import workshop

__all__ = ["workshop"]

ADD = "sqlite3 app.sqlite 'ALTER TABLE users ADD COLUMN phone text'"
LARAVEL = """sqlite3 app.sqlite "CREATE TABLE migrations (id integer PRIMARY KEY, migration text, batch integer);
INSERT INTO migrations VALUES (1, '2026_11_23_add_phone', 1)" """


@pytest.fixture(autouse=True)
def within(workshop, monkeypatch):
    monkeypatch.chdir(workshop.source.parent)


def migrate(workshop, script, *, moments=None, wait=0.0, **wanted):
    request = Request(
        database=workshop.database, policy=workshop.policy, by="ci", name="x", purpose="release 2.1.0", wait=wait
    )
    order = Order(
        wanted=Wanted(**{"database": workshop.database, "max_age": timedelta(hours=1), **wanted}),
        request=request,
        command=("sh", "-ec", script),
        environment=dict(os.environ),
        umask=0o022,
    )
    return workshop.app.migrate(order, moments or Moments())


def told(workshop):
    """Of the one migration: its entry, and what that says."""
    entries = workshop.app.ports.register.entries()
    (entry,) = (entry for entry in entries if entry.kind is EntryKind.MIGRATION)
    return entry, parse(entry.detail)


def runs(workshop, stage=Stage.MIGRATION):
    return [run for run in workshop.app.ports.register.recent_runs(50) if run.stage is stage]


def test_what_it_did_is_in_the_register(workshop):
    taken = workshop.take()
    done = migrate(workshop, f"{ADD}; {LARAVEL}")
    entry, account = told(workshop)
    assert (done.ended.returncode, done.account) == (0, account)
    assert (entry.by, entry.purpose, entry.outcome) == ("ci", "release 2.1.0", Outcome.SUCCEEDED)
    assert (entry.snapshot, entry.database, entry.environment) == (taken.id, "app", "local")
    assert taken.id in account.origin
    assert account.steps[0].startswith("sh -ec ")
    assert account.changes == (
        "migrations: none before, 2026_11_23_add_phone (laravel, 1 applied) now",
        "table migrations: added",
        "table users: changed",
    )
    assert (account.result, account.failure) == ("sh exited with 0", "")
    assert f"--to {taken.id}" in account.undo
    (run,) = runs(workshop)
    assert (run.outcome, run.snapshot, run.id) == (Outcome.SUCCEEDED, taken.id, entry.run)


def test_a_snapshot_is_taken_where_none_serves(workshop):
    done = migrate(workshop, "true")
    assert done.ended.returncode == 0
    assert told(workshop)[0].snapshot == workshop.app.ports.register.newest_snapshot(database="app").id


def test_behind_a_closed_gate_nothing_is_run_and_nothing_recorded(workshop):
    workshop.take()
    done = migrate(workshop, "touch ran", max_age=timedelta(seconds=-1))
    assert done.ended is None
    assert not done.verdict.is_open
    assert not workshop.source.with_name("ran").exists()
    assert runs(workshop) == []


@pytest.mark.parametrize(("script", "code", "how"), [("exit 7", 7, "exited with 7"), ("kill $$", -15, "SIGTERM")])
def test_a_command_that_fails_is_told_with_what_it_did_and_how_to_go_back(workshop, script, code, how):
    told_of = []
    done = migrate(workshop, f"{ADD}; {script}", moments=Moments(ended=told_of.append))
    entry, account = told(workshop)
    assert (done.ended.returncode, done.failed_by_itself) == (code, True)
    assert entry.outcome == Outcome.FAILED
    assert how in account.failure
    assert account.changes == ("table users: changed",)
    assert told_of == [done]
    assert done.verdict.snapshot.id == entry.snapshot
    (run,) = runs(workshop)
    assert (run.outcome, run.reason) == (Outcome.FAILED, account.failure)
    assert entry.snapshot in run.hint


def test_a_command_that_cannot_be_started_is_told(workshop, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolError, match="sh cannot be started"):
        migrate(workshop, "true")
    entry, account = told(workshop)
    assert entry.outcome == Outcome.FAILED
    assert "cannot be started" in account.failure
    assert account.changes == ()


def test_a_database_that_cannot_be_asked_before_is_left_alone(workshop):
    def gone(_snapshot):
        workshop.source.rename(workshop.source.with_name("moved.sqlite"))

    with pytest.raises(SourceError, match="does not exist"):
        migrate(workshop, "touch ran", moments=Moments(opened=gone))
    assert not workshop.source.with_name("ran").exists()
    assert "does not exist" in told(workshop)[1].failure


def test_a_database_that_is_down_afterwards_changes_no_exit_code(workshop):
    assert migrate(workshop, "rm app.sqlite; exit 3").ended.returncode == 3
    _, account = told(workshop)
    assert "what it changed is not known" in account.warnings[0]
    assert "what it changed is not known" in runs(workshop)[0].note


def test_the_command_is_told_of_its_migration(workshop):
    migrate(workshop, 'echo "$AMANAT_DATABASE $AMANAT_SNAPSHOT" > told')
    entry, _ = told(workshop)
    assert workshop.source.with_name("told").read_text() == f"app {entry.snapshot}\n"


def test_meanwhile_it_is_marked_and_its_snapshot_is_kept(workshop):
    others = Locks(workshop.app.settings.state / "locks")
    seen = []

    def opened(snapshot):
        seen.append(others.is_migrating("app"))
        with pytest.raises(BusyError, match="is being read"), others.deleting(snapshot.id):
            pass

    migrate(workshop, "true", moments=Moments(opened=opened))
    assert seen == [True]
    assert not others.is_migrating("app")


def test_one_migration_of_a_database_at_a_time(workshop):
    others = Locks(workshop.app.settings.state / "locks")
    mark = others.migration("app", RunControl(), wait=0, holder="run abc")
    with mark, pytest.raises(BusyError, match=r"a migration of app.*run abc"):
        migrate(workshop, "touch ran")
    assert not workshop.source.with_name("ran").exists()
    assert [(run.outcome, run.code) for run in runs(workshop)] == [(Outcome.SKIPPED, "busy")]


def test_a_failed_one_stays_marked_while_it_is_rolled_back(workshop):
    others = Locks(workshop.app.settings.state / "locks")
    seen = []
    migrate(workshop, "false", moments=Moments(ended=lambda _: seen.append(others.is_migrating("app"))))
    assert seen == [True]
