"""The real daemon with a real clock: its start, what it serves, its reload, its log."""

import contextlib
import json
import re
import signal
import socket
import time
from datetime import datetime, timedelta

import pytest

from amanat.domain.events import Event
from amanat.domain.model import Outcome
from tests.support.scene import POLICIES, locked, runs, staged

SECRET = "correct-horse-battery"
NEXT = "policy_next_run_timestamp_seconds"
RELOADED = "config_last_reload_successful"
WEEKLY = """
  weekly:
    databases: [app]
    schedule: {cron: "0 3 * * sun", timezone: Asia/Baku}
    keep: {last: 4}
"""
HOURLY = POLICIES.replace("15 2 * * *", "0 * * * *")
LOCKED_OUT = """
version: 1
databases:
  far:
    engine: postgresql
    environment: production
    connection: {host: /nowhere, dbname: far, user: amanat}
    password: {env: FAR_PASSWORD}
policies:
  nightly:
    databases: [far]
    schedule: {cron: "15 2 * * *", timezone: UTC}
    keep: {last: 3}
"""


@pytest.fixture
def amanat(tmp_path):
    return staged(tmp_path)


def succeeded(daemon, policy="nightly"):
    """When the last snapshot succeeded, once one has."""
    name, labels = "run_last_success_timestamp_seconds", {"policy": policy, "stage": "snapshot"}
    return daemon.wait_for(f"a snapshot for {policy}", lambda: daemon.metric(name, **labels))


def test_a_policy_that_never_ran_is_due_at_once(amanat):
    before = time.time()
    with amanat.daemon() as daemon:
        assert before < succeeded(daemon) < time.time()
        (row,) = amanat.json("list")
        assert (row["by"], row["policy"], row["proof"]) == ("scheduler", "nightly", "readable")
        assert datetime.fromisoformat(row["scheduled_at"]).strftime("%H:%M") == "02:15"
        assert amanat.files() == [row["path"], f"{row['path']}.manifest.json"]
        assert row["id"] in (amanat.store / f"{row['path']}.manifest.json").read_text("utf-8")
        document = amanat.folder / "documents/backup-register.md"
        daemon.wait_for(
            "the document",
            lambda: document.exists() and "| scheduler | scheduled nightly |" in document.read_text(),
        )
        assert daemon.stop() == 0
    assert "daemon.stopped" in daemon.output()


def test_metrics_after_the_first_run(amanat):
    with amanat.daemon() as daemon:
        succeeded(daemon)
        counted = {"policy": "nightly", "stage": "snapshot"}
        outcomes = {name: daemon.metric("runs_total", outcome=name, **counted) for name in Outcome}
        assert outcomes == {**dict.fromkeys(Outcome, 0.0), Outcome.SUCCEEDED: 1.0}
        never = {"policy": "pre-release", "stage": "snapshot"}
        assert daemon.metric("run_last_success_timestamp_seconds", **never) == 0
        assert daemon.metric("last_proven_snapshot_timestamp_seconds", policy="pre-release") == 0
        assert daemon.metric("last_proven_snapshot_timestamp_seconds", policy="nightly") > time.time() - 60
        assert daemon.metric("policy_interval_seconds", policy="nightly") == 86400
        assert time.time() < daemon.metric(NEXT, policy="nightly") <= time.time() + 86400
        assert daemon.metric("policy_missed_runs_total", policy="nightly") == 0
        assert daemon.metric("snapshots", policy="nightly", proof="readable") == 1
        assert daemon.metric("snapshot_size_bytes", policy="nightly") == daemon.metric("store_used_bytes")
        assert daemon.metric("store_free_bytes") > 0
        assert daemon.metric(RELOADED) == 1
        assert daemon.metric("scheduler_heartbeat_timestamp_seconds") > time.time() - 30
        assert abs(daemon.metric("clock_skew_seconds")) < 1
        assert daemon.metric("build_info") == 1


def test_health_readiness_and_status(amanat):
    with amanat.daemon() as daemon:
        succeeded(daemon)
        assert daemon.get("/healthz") == (200, "ok\n")
        status, checks = daemon.readiness()
        assert status == 200, checks
        assert checks.keys() == {"register", "store", "scheduler", "configuration"}
        found = daemon.status()
        assert [row["policy"] for row in found["policies"]] == ["nightly", "pre-release"]
        assert found["policies"][0]["last_run"]["outcome"] == "succeeded"
        assert found["running"] == []
        assert daemon.get("/nosuch")[0] == 404


def test_a_store_that_goes_away_is_not_ready_until_it_is_back(amanat):
    with amanat.daemon() as daemon:
        succeeded(daemon)
        amanat.store.rename(amanat.folder / "away")
        status, checks = daemon.readiness()
        assert status == 503
        assert "is missing" in checks["store"]["detail"]
        assert "mount it" in checks["store"]["hint"]
        assert [name for name, check in checks.items() if not check["ok"]] == ["store"]
        assert daemon.get("/healthz")[0] == 200
        assert daemon.metric("store_free_bytes") is None
        (amanat.folder / "away").rename(amanat.store)
        assert daemon.readiness()[0] == 200


def test_a_register_that_somebody_holds_is_told_soon(amanat):
    with amanat.daemon() as daemon:
        succeeded(daemon)
        with locked(amanat.state / "register.sqlite"):
            began = time.monotonic()
            status, checks = daemon.readiness()
            assert (status, [name for name, check in checks.items() if not check["ok"]]) == (503, ["register"])
            assert "another process holds it" in checks["register"]["hint"]
            assert daemon.metric(RELOADED) == 1
            assert time.monotonic() - began < 8
        assert daemon.readiness()[0] == 200


def test_a_second_start_does_not_run_it_again(amanat):
    for _ in range(2):
        with amanat.daemon() as daemon:
            first = succeeded(daemon)
            time.sleep(0.5)  # a run would have begun by now
            assert daemon.stop() == 0
        assert len(runs(amanat)) == 1
    assert datetime.fromisoformat(runs(amanat)[0]["finished_at"]).timestamp() == pytest.approx(first, abs=0.01)


def test_after_downtime_it_runs_once_and_counts_what_is_too_old(amanat):
    """30 hours off, an hourly schedule, 12 hours of catching up."""
    amanat.policies(HOURLY)
    with amanat.daemon() as daemon:
        succeeded(daemon)
    slept_from = datetime.fromisoformat(runs(amanat)[0]["scheduled_at"]) - timedelta(hours=30)
    text = slept_from.isoformat(timespec="microseconds").replace("+00:00", "Z")
    amanat.query("UPDATE runs SET scheduled_at = ? WHERE stage = 'snapshot'", text)
    amanat.query("UPDATE slots SET last_at = ?", text)
    with amanat.daemon() as daemon:
        daemon.wait_for(
            "the run that makes good", lambda: daemon.metric("policy_missed_runs_total", policy="nightly")
        )
        made_good = datetime.fromisoformat(runs(amanat)[-1]["scheduled_at"])
        slots = (made_good - slept_from) / timedelta(hours=1)
        assert slots in (30, 31)
        assert daemon.metric("policy_missed_runs_total", policy="nightly") == slots - 12
        assert daemon.metric("runs_total", policy="nightly", stage="snapshot", outcome="succeeded") == 2
    assert "schedule.missed" in daemon.output()


def by_signal(daemon, amanat, text):
    """Through a link, whose far end the watcher does not see."""
    amanat.file.write_text(text)
    daemon.signal(signal.SIGHUP)


def by_rename(daemon, amanat, text):
    """As editors and configuration managers do."""
    beside = amanat.file.with_suffix(".new")
    beside.write_text(text)
    beside.replace(amanat.file)


def by_writing(daemon, amanat, text):
    amanat.file.write_text(text)


@pytest.mark.parametrize("change", [by_signal, by_rename, by_writing])
def test_a_reload_is_a_diff(amanat, change):
    if change is by_signal:
        (amanat.folder / "elsewhere").mkdir()
        amanat.file.rename(amanat.folder / "elsewhere/policies.yaml")
        amanat.file.symlink_to("elsewhere/policies.yaml")
    with amanat.daemon() as daemon:
        succeeded(daemon)
        next_run = daemon.metric(NEXT, policy="nightly")
        change(daemon, amanat, POLICIES + WEEKLY)
        succeeded(daemon, "weekly")  # at once, since it never ran
        assert daemon.metric(NEXT, policy="nightly") == next_run
        assert daemon.metric("runs_total", policy="nightly", stage="snapshot", outcome="succeeded") == 1
        change(daemon, amanat, POLICIES)
        daemon.wait_for("the old policies", lambda: daemon.metric(NEXT, policy="weekly") is None)
        assert daemon.metric(NEXT, policy="nightly") == next_run
    changes = re.findall(r"schedule\.changed .*change=(\w+) job=(\S+)", daemon.output())
    assert changes[:3] == [("added", "nightly/app"), ("added", "weekly/app"), ("removed", "weekly/app")]


def test_a_bad_file_leaves_the_last_good_one_in_force(amanat):
    with amanat.daemon() as daemon:
        succeeded(daemon)
        loaded = daemon.metric("config_last_reload_success_timestamp_seconds")
        by_writing(daemon, amanat, POLICIES.replace("keep:", "kepe:"))
        daemon.wait_for("the reason", lambda: "did you mean 'keep'" in daemon.output())
        assert daemon.metric(RELOADED) == 0
        assert daemon.metric("config_last_reload_success_timestamp_seconds") == loaded
        assert daemon.metric(NEXT, policy="nightly") > time.time()
        status, checks = daemon.readiness()
        assert (status, checks["configuration"]["ok"]) == (503, False)
        assert "amanat config check" in checks["configuration"]["hint"]
        amanat.file.unlink()
        daemon.wait_for("a second reason", lambda: "there is no such file" in daemon.output())
        by_writing(daemon, amanat, POLICIES + WEEKLY)
        daemon.wait_for("the good file", lambda: daemon.metric(RELOADED) == 1)
        assert daemon.metric("config_last_reload_success_timestamp_seconds") > loaded
        assert daemon.readiness()[0] == 200
        succeeded(daemon, "weekly")


@pytest.mark.parametrize("text", [None, "", "- a list", POLICIES.replace("version: 1", "version: 7")])
def test_a_bad_policy_file_is_fatal_at_the_start(amanat, text):
    amanat.file.unlink() if text is None else amanat.file.write_text(text)
    with amanat.daemon(ready=False) as daemon:
        assert daemon.wait() == 2
    assert f"amanat: {amanat.file}" in daemon.output()
    assert "→" in daemon.output()
    assert "Traceback" not in daemon.output()


def test_without_a_policy_file_at_the_usual_place_it_says_what_to_write(amanat):
    with amanat.daemon(ready=False, AMANAT_POLICIES="") as daemon:
        assert daemon.wait() == 2
    assert "config/policies.yaml: there is no such file" in daemon.output()


def test_a_port_in_use_is_fatal_before_it_is_ready(amanat):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with amanat.daemon(ready=False, AMANAT_HTTP=address) as daemon:
            assert daemon.wait() == 2
    assert f"cannot listen on {address}" in daemon.output()
    assert "AMANAT_HTTP" in daemon.output()
    assert "daemon.ready" not in daemon.output()


def test_without_http_it_works_as_well(amanat):
    with amanat.daemon(AMANAT_HTTP="off") as daemon:
        daemon.wait_for("a snapshot", lambda: amanat.json("list"))
        assert daemon.stop() == 0


def test_a_missing_store_is_fatal_at_the_start(amanat):
    amanat.store.rmdir()
    with amanat.daemon(ready=False) as daemon:
        assert daemon.wait() == 3
    assert "mkdir" in daemon.output()


def test_a_second_daemon_on_the_state_folder_names_the_first(amanat):
    with amanat.daemon() as first, amanat.daemon(ready=False) as second:
        assert second.wait() == 6
        assert f"another daemon (process {first.pid})" in second.output()
        assert "AMANAT_STATE" in second.output()
        assert first.readiness()[0] == 200


def test_every_line_of_the_json_log_is_a_named_event(amanat):
    with amanat.daemon(AMANAT_LOG_FORMAT="json") as daemon:
        succeeded(daemon)
        by_writing(daemon, amanat, "nonsense")
        daemon.wait_for("a rejection", lambda: "config.rejected" in daemon.output())
        assert daemon.stop() == 0
    lines = [json.loads(line) for line in daemon.output().splitlines()]
    events = [line["event"] for line in lines]
    assert set(events) <= set(Event)
    assert {"daemon.ready", "run.finished", "config.rejected", "daemon.stopped"} <= set(events)
    assert all(datetime.fromisoformat(line["timestamp"]).tzinfo for line in lines)
    levels = {line["event"]: line["level"] for line in lines}
    assert (levels["run.finished"], levels["config.rejected"]) == ("info", "error")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_password_is_seen_nowhere(amanat, log_format):
    amanat.policies(LOCKED_OUT)
    with amanat.daemon(FAR_PASSWORD=SECRET, AMANAT_LOG_FORMAT=log_format, AMANAT_LOG_LEVEL="debug") as daemon:
        daemon.wait_for("a failed run", lambda: [row for row in runs(amanat) if row["outcome"] == "failed"])
        told = [daemon.output(), *(daemon.get(path)[1] for path in ("/metrics", "/status", "/readyz"))]
        assert daemon.stop() == 0
    told.append(amanat.ok("status"))
    assert "/nowhere" in daemon.output()
    assert not any(SECRET in text for text in told)
    kept = [path for path in amanat.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    assert list((amanat.state / "scratch").iterdir()) == []
