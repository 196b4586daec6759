"""What becomes of the daemon's runs: stopped, killed, overlapping, side by side, and beside the command line."""

import contextlib
import signal
import time
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tests.support.cli import wait_for
from tests.support.scene import POLICIES, SCRIPT, locked, runs, staged, wait_for_open_run
from tests.support.sqlite_databases import build

TWO = """
version: 1
databases:
  app: {engine: sqlite, environment: staging, path: app.sqlite}
  other: {engine: sqlite, environment: staging, path: other.sqlite}
policies:
  nightly:
    databases: [app, other]
    schedule: {cron: "15 2 * * *", timezone: UTC}
    keep: {last: 3}
"""
EVERY_MINUTE = POLICIES.replace("15 2 * * *", "* * * * *")
RUNS = "runs_total"
SNAPSHOT = {"stage": "snapshot", "database": "app", "policy": "nightly"}


@pytest.fixture
def amanat(tmp_path):
    return staged(tmp_path)


@pytest.fixture
def database(amanat):
    return amanat.folder / "app.sqlite"


def wait_for_success(amanat, daemon, count=1):
    def look():
        found = [row for row in runs(amanat) if row["outcome"] == "succeeded"]
        return found if len(found) == count else []

    return daemon.wait_for(f"{count} snapshots", look)


def assert_swept(amanat):
    assert list((amanat.store / ".staging").iterdir()) == []
    assert list((amanat.state / "scratch").iterdir()) == []
    assert list((amanat.state / "locks").glob("run-*")) == []


def test_sigterm_lets_a_run_finish(amanat, database):
    with amanat.daemon(AMANAT_SHUTDOWN_GRACE="60s") as daemon:
        with locked(database):
            wait_for_open_run(amanat)
            daemon.signal(signal.SIGTERM)
            daemon.wait_for("its word that it stops", lambda: "daemon.stopping" in daemon.output())
            assert daemon.get("/healthz")[0] == 200  # it is still there, and says what it does
            assert len(daemon.status()["running"]) == 1
        assert daemon.wait() == 0
    assert [row["outcome"] for row in runs(amanat)] == ["succeeded"]


def test_past_the_grace_a_run_is_interrupted_and_due_again(amanat, database):
    with locked(database), amanat.daemon(AMANAT_SHUTDOWN_GRACE="1s") as daemon:
        wait_for_open_run(amanat)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.output()
    (row,) = runs(amanat)
    assert (row["outcome"], row["code"]) == ("interrupted", "interrupted")
    assert amanat.files() == []
    assert_swept(amanat)
    with amanat.daemon() as daemon:
        (again,) = wait_for_success(amanat, daemon)
        assert (again["scheduled_at"], again["attempt"]) == (row["scheduled_at"], 2)
        assert daemon.metric(RUNS, outcome="interrupted", **SNAPSHOT) == 1


def test_after_kill_9_the_run_is_closed_and_due_again(amanat, database):
    with locked(database), amanat.daemon() as daemon:
        (dead,) = wait_for_open_run(amanat)
        wait_for("its staging", (amanat.store / ".staging" / dead["id"]).is_dir)
        daemon.kill()
    with amanat.daemon() as daemon:
        (again,) = wait_for_success(amanat, daemon)
        assert (again["scheduled_at"], again["attempt"]) == (dead["scheduled_at"], 2)
        assert daemon.status()["running"] == []
        assert daemon.stop() == 0
    closed = runs(amanat)[0]
    assert (closed["id"], closed["outcome"], closed["code"]) == (dead["id"], "interrupted", "died")
    assert_swept(amanat)


def test_a_command_does_not_close_a_run_that_is_alive(amanat, database):
    with amanat.daemon() as daemon:
        with locked(database):
            (alive,) = wait_for_open_run(amanat)
            assert not any(amanat.json("reconcile").values())
            assert (amanat.store / ".staging" / alive["id"]).is_dir()
            assert [row["id"] for row in amanat.json("status")["running"]] == [alive["id"]]
        wait_for_success(amanat, daemon)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_overlap_is_skipped_counted_and_shown(amanat, database):
    """With a schedule of every minute: the next one comes within the minute."""
    amanat.policies(EVERY_MINUTE)
    with locked(database), amanat.daemon() as daemon:
        (first,) = wait_for_open_run(amanat)
        daemon.wait_for("an overlap", lambda: daemon.metric(RUNS, outcome="skipped", **SNAPSHOT), timeout=70)
        assert daemon.metric(RUNS, outcome="failed", **SNAPSHOT) == 0
        assert daemon.metric("policy_missed_runs_total", policy="nightly") == 0
        assert "schedule.skipped" in daemon.output()
        assert daemon.stop() == 0
    stopped, skipped = runs(amanat)
    assert (stopped["outcome"], skipped["outcome"], skipped["code"]) == ("interrupted", "skipped", "overlap")
    assert seconds(first["scheduled_at"], skipped["scheduled_at"]) == 60
    restarted = datetime.now(UTC)
    with amanat.daemon() as daemon:  # neither of the two was served: that is due at once
        (served,) = wait_for_success(amanat, daemon)
    assert datetime.fromisoformat(served["scheduled_at"]) < restarted


def seconds(one, other):
    return (datetime.fromisoformat(other) - datetime.fromisoformat(one)).total_seconds()


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_runs_at_once_than_allowed(amanat, database, limit):
    amanat.policies(TWO)
    other = build(amanat.folder / "other.sqlite", SCRIPT, journal_mode="delete")
    with amanat.daemon(AMANAT_MAX_CONCURRENCY=str(limit)) as daemon:
        with locked(database), locked(other):
            wait_for_open_run(amanat, limit)
            time.sleep(1)
            wait_for_open_run(amanat, limit)
            assert len(daemon.status()["running"]) == limit
        found = wait_for_success(amanat, daemon, 2)
    apart = all(one["finished_at"] <= following["started_at"] for one, following in pairwise(found))
    assert apart == (limit == 1)


def test_the_command_line_waits_for_the_daemons_run_or_is_busy(amanat, database):
    with amanat.daemon() as daemon, contextlib.ExitStack() as application:
        application.enter_context(locked(database))
        (ahead,) = wait_for_open_run(amanat)
        assert "database app" in amanat.fails(6, "snapshot", "app", "--wait=0s")
        with amanat.started("snapshot", "app", "--wait=30s") as waiting:
            time.sleep(1)
            assert [row["id"] for row in wait_for_open_run(amanat)] == [ahead["id"]]
            application.close()
            assert waiting.wait() == 0
        first, second = wait_for_success(amanat, daemon, 2)
    assert (first["id"], second["policy"]) == (ahead["id"], "manual")
    assert first["finished_at"] <= second["started_at"]


def test_runs_of_the_command_line_count_for_the_daemon(amanat):
    with amanat.daemon() as daemon:
        wait_for_success(amanat, daemon)
        before = daemon.metric("run_last_success_timestamp_seconds", **SNAPSHOT)
        amanat.ok("snapshot", "app", "--policy=nightly")
        assert daemon.metric(RUNS, outcome="succeeded", **SNAPSHOT) == 2
        assert daemon.metric("run_last_success_timestamp_seconds", **SNAPSHOT) > before
        assert daemon.metric("snapshots", policy="nightly", proof="readable") == 2
        amanat.ok("snapshot", "app")
        assert daemon.metric(RUNS, outcome="succeeded", **{**SNAPSHOT, "policy": "manual"}) == 1
        (amanat.store / amanat.json("list")[0]["path"]).unlink()
        amanat.fails(7, "verify", "latest")
        assert daemon.metric("snapshots", policy="manual", proof="missing") == 1
