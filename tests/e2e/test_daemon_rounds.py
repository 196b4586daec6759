"""The real daemon proves anew by itself: drills and re-reading on schedule, and what they find."""

import pytest

from tests.support.cli import Amanat
from tests.support.scene import SCRIPT, runs
from tests.support.sqlite_databases import build

POLICIES = """
version: 1
databases:
  app:
    engine: sqlite
    environment: staging
    path: app.sqlite
policies:
  nightly:
    databases: [app]
    schedule: {cron: "15 2 * * *", timezone: UTC}
    drills: {schedule: {cron: "15 3 * * sun", timezone: UTC}, sample: 0}
    verify: {schedule: {cron: "15 4 * * *", timezone: UTC}, read: all}
    checks: [{sql: "select count(*) from users", expect: ">= 500"}]
    facts: {counts: [users]}
    keep: {last: 10}
"""
PAIR = {"database": "app", "policy": "nightly"}


@pytest.fixture
def amanat(tmp_path):
    amanat = Amanat(tmp_path)
    amanat.policies(POLICIES)
    build(tmp_path / "app.sqlite", SCRIPT, journal_mode="delete")
    return amanat


def ended(amanat, stage):
    return [row["outcome"] for row in runs(amanat, stage) if row["outcome"]]


def test_a_new_daemon_drills_and_reads_again_what_is_there_and_finds_the_flipped_bit(amanat):
    spoilt, sound = (amanat.json("snapshot", "app", "--policy=nightly") for _ in range(2))
    file = amanat.store / spoilt["path"]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)
    with amanat.daemon() as daemon:
        daemon.wait_for("drills", lambda: "succeeded" in ended(amanat, "drill"))
        daemon.wait_for("a re-reading", lambda: "succeeded" in ended(amanat, "verify"))
        daemon.wait_for("the damage", lambda: daemon.metric("snapshots", proof="damaged", **PAIR) == 1)
        for stage in ("drill", "verify"):
            assert daemon.metric("run_last_success_timestamp_seconds", stage=stage, **PAIR) > 0
            assert daemon.metric("policy_interval_seconds", stage=stage, **PAIR) > 0
        assert daemon.metric("drill_duration_seconds", **PAIR) > 0
        assert daemon.metric("recovery_estimate_seconds", database="app") > 0
        status = daemon.status()
    (row,) = status["policies"]
    assert (row["damaged"], row["last_drill"]["restore_seconds"] > 0) == (1, True)
    assert row["last_reread"] and row["next_drill"] and row["next_reread"]
    assert status["recovery"]["app"]["basis"] == "measured"
    assert amanat.json("show", spoilt["id"])["state"] == "damaged"
    assert "neighbour of damaged" in amanat.ok("explain", sound["id"])
    assert amanat.run("verify", spoilt["id"]).returncode == 7


def test_the_first_drill_follows_the_first_snapshot(amanat):
    with amanat.daemon() as daemon:
        daemon.wait_for("a drill", lambda: "succeeded" in ended(amanat, "drill"))
        daemon.wait_for("a re-reading", lambda: "succeeded" in ended(amanat, "verify"))
    assert ended(amanat, "snapshot") == ["succeeded"]
    text = amanat.ok("status")
    assert "app/nightly: restored and compared in " in text and "app/nightly: next re-reading " in text
    assert "recovery of app: less than a second, measured in 1 restore of " in text
    assert "to restore the database" in amanat.ok("evidence", "app")
