"""Guards around retention: each reason for itself, and none where all is well."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from amanat.domain.policy import KeepRules
from amanat.domain.retention import Plan, decide
from amanat.domain.retention_guards import Refusal, RefusalReason, guard
from tests.support.snapshots import snapshot

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def plan_of(count: int, keep: int) -> Plan:
    some = [snapshot(NOW - DAY * age) for age in range(count)]
    return decide(some, KeepRules(last=keep), NOW)


def guarded(plan: Plan, **said: Any) -> tuple[Refusal, ...]:
    usual: dict[str, Any] = {"now": NOW, "interval": DAY, "last_seen": NOW, "newest_run_failed": False}
    return guard(plan, **{**usual, **said})


def reasons(plan: Plan, **said: Any) -> list[str]:
    return [refusal.reason for refusal in guarded(plan, **said)]


def test_a_plain_prune_is_let_through() -> None:
    assert guarded(plan_of(8, 7)) == ()
    assert guarded(plan_of(8, 7), interval=None, last_seen=None) == ()


def test_a_plan_that_removes_nothing_is_never_refused() -> None:
    wrong = {"now": NOW - DAY * 9, "last_seen": NOW, "newest_run_failed": True}
    assert guarded(plan_of(3, 3), **wrong) == ()
    assert guarded(decide([], KeepRules(last=1), NOW), **wrong) == ()


def test_the_clock_moved_backwards() -> None:
    plan = plan_of(8, 7)
    assert reasons(plan, last_seen=NOW + timedelta(seconds=60)) == []
    assert reasons(plan, last_seen=NOW + timedelta(seconds=61)) == ["clock-backwards"]
    refusal = guarded(plan, last_seen=NOW + DAY)[0]
    assert refusal.message == (
        "the clock says 2026-11-23T03:00:00Z, the register already knows 2026-11-24T03:00:00Z"
    )
    assert "set the clock right" in refusal.hint


def test_a_snapshot_from_the_future_means_the_clock_moved_backwards() -> None:
    some = [snapshot(NOW + timedelta(minutes=2)), *(snapshot(NOW - DAY * age) for age in range(8))]
    plan = decide(some, KeepRules(last=7), NOW)
    assert reasons(plan) == ["clock-backwards"]
    assert "2026-11-23T03:02:00Z" in guarded(plan)[0].message


def test_the_clock_jumped_ahead_or_snapshots_stopped() -> None:
    plan = plan_of(8, 7)
    limit = NOW + DAY * 2 + timedelta(hours=1)
    assert reasons(plan, now=limit) == []
    assert reasons(plan, now=limit + timedelta(seconds=1)) == ["clock-jumped"]
    assert reasons(plan, now=NOW + DAY * 400, interval=None) == []
    assert (
        "2d1h went by without a snapshot, its policy takes one every 1d"
        in guarded(plan, now=limit + timedelta(seconds=1))[0].message
    )


def test_a_snapshot_that_was_just_taken_does_not_hide_the_jump_before_it() -> None:
    plan = plan_of(8, 7)
    assert reasons(plan, newest=NOW - DAY * 30) == ["clock-jumped"]
    assert reasons(plan, newest=NOW - DAY) == []


@pytest.mark.parametrize(("count", "keep", "refused"), [(2, 1, False), (3, 1, True), (4, 2, False), (5, 2, True)])
def test_more_than_half_is_too_much(count: int, keep: int, refused: bool) -> None:
    assert reasons(plan_of(count, keep)) == (["too-many"] if refused else [])


def test_the_plans_own_id_confirms_it() -> None:
    plan = plan_of(8, 1)
    assert plan.id in guarded(plan)[0].hint
    assert guarded(plan)[0].message == "the plan would remove 7 of 8 snapshots, more than half"
    assert reasons(plan, confirmed=plan.id) == []
    assert reasons(plan, confirmed=plan_of(8, 2).id) == ["too-many"]
    assert reasons(plan, confirmed=plan.id, newest_run_failed=True) == ["last-run-failed"]


def test_after_a_failed_run_nothing_is_removed() -> None:
    assert reasons(plan_of(8, 7), newest_run_failed=True) == ["last-run-failed"]


def test_all_reasons_are_given_at_once() -> None:
    got = reasons(plan_of(8, 1), now=NOW + DAY * 30, last_seen=NOW + DAY * 40, newest_run_failed=True)
    assert got == list(RefusalReason)


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        guarded(plan_of(8, 7), now=NOW.replace(tzinfo=None))
