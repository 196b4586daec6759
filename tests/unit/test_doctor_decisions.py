"""What the doctor decides: for each check a planted defect that it tells, with a remedy, and a state that is well."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from amanat.domain.doctor import Check, Level, Name, asked, check, daylight, drilling, host, keeping, timing
from amanat.domain.doctor.host import Listening, Standing, Unit
from amanat.domain.errors import InterruptedRunError, SourceError
from amanat.domain.model import Outcome, ProofLevel, Run, SnapshotState, Stage
from amanat.domain.policy import Drills, KeepRules, Policy, Rereading, Schedule, Window
from tests.support.snapshots import snapshot

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NIGHTLY = Schedule(cron="15 2 * * *", timezone="UTC")
WEEKLY = Schedule(cron="0 3 * * 0", timezone="Europe/Paris")
POLICY = Policy(name="nightly", databases=("app",), schedule=NIGHTLY, keep=KeepRules(last=3))


def told(found: Check, level: Level, *words: str) -> None:
    assert found.level is level, found
    assert all(word in found.found for word in words), found
    assert bool(found.remedy) is (level is not Level.OK)


def run(ended: datetime, outcome: Outcome = Outcome.SUCCEEDED, **said: object) -> Run:
    values = {"id": "1", "stage": Stage.SNAPSHOT, "database": "app", "policy": "nightly", "by": "scheduler"}
    return Run(**{**values, "started_at": ended, "finished_at": ended, "outcome": outcome, **said})


def scheduled(cron: str, timezone: str = "UTC", name: str = "nightly", **keep: object) -> Policy:
    return replace(
        POLICY, name=name, schedule=Schedule(cron=cron, timezone=timezone), keep=KeepRules(**(keep or {"last": 1}))
    )


# clock and schedules


@pytest.mark.parametrize(("ahead", "level"), [(timedelta(0), Level.OK), (HOUR, Level.FAIL)])
def test_a_clock_that_is_behind_the_register(ahead, level):
    told(timing.clock(NOW, NOW + ahead), level, "2026-03-01T12:00:00Z")


def test_a_clock_without_anything_to_compare_with():
    told(timing.clock(NOW, None), Level.OK, "nothing yet")


@pytest.mark.parametrize(
    ("age", "level"), [(DAY, Level.OK), (2 * DAY, Level.OK), (2 * DAY + 2 * HOUR, Level.FAIL)]
)
def test_a_last_success_that_is_too_old(age, level):
    told(timing.last_success(POLICY, NOW, run(NOW - age), None), level, "ago, at 2026-02-2")


def test_a_last_success_tells_what_failed_since():
    failed = run(NOW, Outcome.FAILED, reason="role {role} may not {}")
    told(
        timing.last_success(POLICY, NOW, run(NOW - 9 * DAY), failed),
        Level.FAIL,
        "role {role} may not {}",
        "every 1d",
    )
    assert "may not" not in timing.last_success(POLICY, NOW, run(NOW - HOUR), run(NOW - DAY, Outcome.FAILED)).found


def test_no_success_ever():
    told(timing.last_success(POLICY, NOW, None, None), Level.WARN, "not run yet")
    failed = run(NOW, Outcome.FAILED, reason="no such file", hint="correct the path")
    found = timing.last_success(POLICY, NOW, None, failed)
    told(found, Level.FAIL, "no such file")
    assert found.remedy == "correct the path"


@pytest.mark.parametrize(("age", "level"), [(DAY, Level.OK), (3 * DAY, Level.FAIL)])
def test_a_last_proof_that_is_too_old(age, level):
    told(timing.last_proof(POLICY, NOW, snapshot(NOW - age), None), level, "newest proven")


def test_no_proof_ever():
    told(timing.last_proof(POLICY, NOW, None, None), Level.WARN, "no proven snapshot")


def test_a_newest_that_waits_for_its_drill_is_named():
    proven = snapshot(NOW - DAY)
    waiting = snapshot(NOW, id="abc", proof=ProofLevel.READABLE, required_proof=ProofLevel.RESTORED)
    told(
        timing.last_proof(POLICY, NOW, proven, waiting),
        Level.WARN,
        "newest proven",
        "abc is readable, but was not",
    )
    told(timing.last_proof(POLICY, NOW, None, waiting), Level.WARN, "no proven snapshot", "abc is readable")
    told(timing.last_proof(POLICY, NOW, snapshot(NOW - 9 * DAY), waiting), Level.FAIL, "abc is readable")
    assert "amanat drill" in timing.last_proof(POLICY, NOW, None, waiting).remedy
    for other in (replace(waiting, state=SnapshotState.DAMAGED), replace(waiting, taken_at=NOW - 2 * DAY), proven):
        told(timing.last_proof(POLICY, NOW, proven, other), Level.OK)


@pytest.mark.parametrize("name", [Name.LAST_DRILL, Name.LAST_REREADING])
def test_drills_and_re_readings_that_stopped(name):
    told(timing.last_round(name, NIGHTLY, NOW, run(NOW - DAY), None), Level.OK)
    told(timing.last_round(name, NIGHTLY, NOW, run(NOW - 3 * DAY), None), Level.WARN, "due every 1d")
    skipped = run(NOW, Outcome.SKIPPED, reason="no drills between 08:00 and 20:00")
    since = timing.last_round(name, NIGHTLY, NOW, run(NOW - 3 * DAY), skipped)
    told(since, Level.WARN, "the newest was skipped: no drills between")
    told(timing.last_round(name, NIGHTLY, NOW, None, None), Level.WARN, "has succeeded yet")
    failed = run(NOW, Outcome.FAILED, reason="an index is missing", hint="look")
    told(timing.last_round(name, NIGHTLY, NOW, None, failed), Level.WARN, "yet; the newest was failed: an index")
    assert timing.last_round(name, NIGHTLY, NOW, None, failed).remedy == "look"
    told(timing.last_round(name, NIGHTLY, NOW, run(NOW - DAY), failed), Level.WARN, "the newest was failed")


def test_limits_that_let_no_drill_begin():
    by_day = Window(begin=time(8), end=time(20), zone="UTC")
    at_noon = Drills(schedule=Schedule(cron="0 12 * * *", timezone="UTC"), not_between=(by_day,))
    (found,) = drilling.limits(at_noon, NOW, None)
    told(found, Level.WARN, "0 12 * * *", "no drills between 08:00 and 20:00 (UTC)")
    hourly = replace(at_noon, schedule=Schedule(cron="0 * * * *", timezone="UTC"))
    (found,) = drilling.limits(hourly, NOW, None)
    told(found, Level.OK)


@pytest.mark.parametrize(("size", "level"), [(None, Level.OK), (2048, Level.OK), (2049, Level.WARN)])
def test_a_database_that_has_outgrown_its_drills(size, level):
    (found,) = drilling.limits(Drills(schedule=NIGHTLY, max_bytes=2048), NOW, size)
    told(found, level, *(["2.0 KiB", "max_size"] if size == 2049 else []))


def test_a_last_prune_that_is_too_old_or_refused():
    told(timing.last_prune(POLICY, NOW, run(NOW - DAY), None), Level.OK, "last pruned")
    refused = run(NOW, Outcome.REFUSED, reason="more than half", hint="amanat prune --confirm x")
    told(timing.last_prune(POLICY, NOW, run(NOW - 5 * DAY), refused), Level.WARN, "refused since: more than half")
    told(timing.last_prune(POLICY, NOW, None, refused), Level.WARN, "always refused", "more than half")
    told(timing.last_prune(POLICY, NOW, None, None), Level.OK, "not due yet")


def test_policies_that_are_due_at_the_same_minute():
    monthly = scheduled("15 2 1 * *", name="monthly")
    (found,) = timing.overlaps([POLICY, monthly], NOW)
    told(found, Level.WARN, "nightly and monthly", "2026-04-01T02:15:00Z")
    (found,) = timing.overlaps([POLICY, scheduled("16 2 1 * *", name="monthly")], NOW)
    told(found, Level.OK)
    (found,) = timing.overlaps([POLICY, replace(POLICY, name="by hand", schedule=None)], NOW)
    told(found, Level.OK)


def test_drills_and_re_reading_wait_for_snapshots_as_other_policies_do():
    busy = replace(POLICY, drills=Drills(schedule=NIGHTLY), rereading=Rereading(schedule=WEEKLY))
    (found,) = timing.overlaps([busy], NOW)
    told(found, Level.WARN, "nightly and the drills of nightly are both due")


def test_policies_that_meet_across_zones():
    there = scheduled("15 6 * * *", "Asia/Baku", name="baku")
    (found,) = timing.overlaps([POLICY, there], NOW)
    told(found, Level.WARN, "2026-03-02T02:15:00Z")


# summer time


def test_runs_that_fall_into_a_change_of_the_clock():
    skipped, repeated = daylight.summer_time(Schedule(cron="30 2 * * *", timezone="Europe/Paris"), NOW)
    told(skipped, Level.WARN, "02:30 on 2026-03-29 does not exist", "at 03:00")
    assert "outside 02:00 to 03:00" in skipped.remedy
    told(repeated, Level.WARN, "02:30 on 2026-10-25 comes twice", "first time only")


def test_a_shift_of_half_an_hour():
    (repeated,) = daylight.summer_time(Schedule(cron="45 1 * * *", timezone="Australia/Lord_Howe"), NOW)
    told(repeated, Level.WARN, "01:45 on 2026-04-05 comes twice")
    assert "01:30 to 02:00" in repeated.remedy


@pytest.mark.parametrize(
    ("cron", "zone", "words"),
    [
        ("30 4 * * *", "Europe/Paris", "2026-03-29 or 2026-10-25"),
        ("30 2 * * *", "Asia/Baku", "changes no clock"),
        ("*/30 * * * *", "Europe/Paris", "every hour"),
        ("30 2 * * 1", "Europe/Paris", "2026-03-29"),
    ],
)
def test_runs_that_no_change_of_the_clock_hits(cron, zone, words):
    (found,) = daylight.summer_time(Schedule(cron=cron, timezone=zone), NOW)
    told(found, Level.OK, words)


# keep rules


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (scheduled("0 3 * * 0", hourly=24, weekly=8), "weekly: 8 keeps nothing that hourly: 24"),
        (scheduled("0 3 * * 0", hourly=4, weekly=8), "hourly: 4 keeps nothing that weekly: 8"),
        (scheduled("0 3 * * 0", "Europe/Paris", daily=7, weekly=8), "daily: 7 keeps nothing"),
        (scheduled("0 3 1 * *", daily=7, monthly=12), "daily: 7 keeps nothing that monthly: 12"),
        (scheduled("0 3 * * 0", within=3 * DAY, last=2), "within: 3d keeps only the newest"),
    ],
)
def test_a_rule_that_can_never_keep_anything(policy, words):
    (found,) = keeping.keep_rules(policy, NOW)
    told(found, Level.WARN, words)


@pytest.mark.parametrize(
    "policy",
    [
        scheduled("15 2 * * *", last=3, daily=7, weekly=4, monthly=12, yearly=2),
        scheduled("15 2 * * *", hourly=24),
        scheduled("0 */6 * * *", hourly=24, daily=30),
        scheduled("0 3 * * 0", weekly=8, monthly=3),
        scheduled("15 2 * * *", within=30 * DAY, last=3),
        scheduled("*/15 * * * *", hourly=24, daily=7, within=HOUR),
        replace(POLICY, schedule=None, keep=KeepRules(hourly=24, weekly=8)),
    ],
)
def test_rules_that_can_each_keep_something(policy):
    (found,) = keeping.keep_rules(policy, NOW)
    told(found, Level.OK)


def test_keep_rules_in_words():
    rules = KeepRules(last=3, daily=7, yearly=2, within=90 * DAY, max_bytes=10 * 2**30)
    assert rules.describe() == (
        "the newest 3; the newest of each of 7 days; the newest of each of 2 years; all within 90d of the newest, "
        "but no more than 10.0 GiB"
    )
    assert KeepRules(all=True).describe() == "everything"


# the host


def standing(mode: int, device: int = 1) -> Standing:
    return Standing(mode=mode, device=device)


@pytest.mark.parametrize(
    ("mode", "level"),
    [
        (0o700, Level.OK),
        (0o600, Level.OK),
        (0o750, Level.WARN),
        (0o604, Level.WARN),
        (0o720, Level.FAIL),
        (0o602, Level.FAIL),
    ],
)
def test_modes_of_what_holds_the_rows(mode, level):
    found = host.permissions({Path("/store"): standing(0o700), Path("/store/app"): standing(mode)})
    told(found, level)
    assert (f"/store/app ({mode:04o})" in found.found) is (level is not Level.OK)


def test_many_open_files_are_told_by_the_first_and_their_number():
    found = host.permissions({Path(f"/store/{number}"): standing(0o644) for number in range(9)})
    told(found, Level.WARN, "/store/2", "6 more")
    assert "/store/3" not in found.found


def test_a_store_in_two_file_systems():
    root = Path("/store")
    told(host.staging(root, {root: standing(0o700), root / "app": standing(0o700)}), Level.OK)
    told(host.staging(root, {root: standing(0o700), root / "app": standing(0o700, 2)}), Level.FAIL, "/store/app")


def test_secrets_that_others_may_use():
    password = Path("/etc/amanat/password")
    told(host.passwords({}), Level.OK, "no file")
    told(host.passwords({password: standing(0o600)}), Level.OK, str(password))
    told(host.passwords({password: standing(0o640)}), Level.FAIL, str(password))
    told(host.environments({password: standing(0o640)}), Level.OK)
    told(host.environments({password: standing(0o644)}), Level.WARN, str(password))


def test_the_metrics_port():
    store = Path("/store")

    def port(listening: Listening | None) -> Check:
        return host.metrics_port("127.0.0.1:9847", listening, store)

    told(port(None), Level.OK, "off")
    told(port(Listening()), Level.OK, "free")
    told(port(Listening(store=store)), Level.OK, "the daemon serves")
    told(port(Listening(store=Path("/other"))), Level.FAIL, "another store")
    told(port(Listening(refusal="Address already in use")), Level.FAIL, "already in use")


@pytest.mark.parametrize(
    ("unit", "level"),
    [
        (None, Level.OK),
        (Unit(watchdog="30s"), Level.OK),
        (Unit(watchdog="0"), Level.WARN),
        (Unit(watchdog="infinity"), Level.WARN),
    ],
)
def test_the_watchdog(unit, level):
    told(host.watchdog(unit), level)


# checks as such


def test_an_error_is_a_check_that_fails_but_a_stop_goes_on():
    def broken() -> str:
        raise SourceError("no such file", hint="correct the path")

    def stopped() -> str:
        raise InterruptedRunError("told to stop")

    found = asked(Name.SOURCE, broken)
    told(found, Level.FAIL, "no such file")
    assert found.remedy == "correct the path"
    told(asked(Name.SOURCE, lambda: "fine"), Level.OK, "fine")
    with pytest.raises(InterruptedRunError):
        asked(Name.SOURCE, stopped)


def test_checks_stand_together_by_their_subject():
    found = [Check(name=Name.CLIENT, found=str(number), subject=subject) for number, subject in enumerate("abab")]
    assert [each.found for each in check.grouped(found)] == ["0", "2", "1", "3"]


def test_what_holds_for_every_policy_is_told_once():
    fine = Check(name=Name.CLIENT, found="fine")
    poor = Check.warn(Name.ACCESS, "poor", "mend it")
    found = check.of_database("app", {"nightly": [fine, poor], "weekly": [fine]})
    assert [(each.subject, each.name) for each in found] == [("app", Name.CLIENT), ("app/nightly", Name.ACCESS)]
