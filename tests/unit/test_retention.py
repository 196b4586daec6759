"""Retention by example: the rules, the floors, and every reason that a verdict can give."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from amanat.domain.model import ProofLevel, Snapshot, SnapshotState
from amanat.domain.policy import KeepRules
from amanat.domain.retention import Plan, decide, floors_of
from tests.support.snapshots import snapshot

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)  # a Monday
PARIS = ZoneInfo("Europe/Paris")


def nightlies(count: int, *, end: datetime = NOW) -> list[Snapshot]:
    """One a day, the newest at ``end``, newest first."""
    return [snapshot(end - DAY * age) for age in range(count)]


def unproven(taken_at: datetime, **said: object) -> Snapshot:
    return snapshot(taken_at, proof=ProofLevel.STORED, **said)


def days_kept(plan: Plan) -> list[str]:
    return [f"{each.taken_at:%m-%d}" for each in plan.keep]


def reasons_of(plan: Plan, wanted: Snapshot) -> tuple[str, ...]:
    return next(verdict.reasons for verdict in plan.verdicts if verdict.snapshot.id == wanted.id)


def test_a_newcomers_example() -> None:
    """Ten nightlies, ``last: 3, weekly: 3``: three by count, and the newest of each week."""
    plan = decide(nightlies(10), KeepRules(last=3, weekly=3), NOW)

    assert [(f"{v.snapshot.taken_at:%a %m-%d}", v.keep, v.reasons) for v in plan.verdicts] == [
        ("Mon 11-23", True, ("last 1/3", "weekly 2026-W48", "newest proven of the policy")),
        ("Sun 11-22", True, ("last 2/3", "weekly 2026-W47")),
        ("Sat 11-21", True, ("last 3/3",)),
        ("Fri 11-20", False, ("no rule keeps it",)),
        ("Thu 11-19", False, ("no rule keeps it",)),
        ("Wed 11-18", False, ("no rule keeps it",)),
        ("Tue 11-17", False, ("no rule keeps it",)),
        ("Mon 11-16", False, ("no rule keeps it",)),
        ("Sun 11-15", True, ("weekly 2026-W46",)),
        ("Sat 11-14", False, ("no rule keeps it",)),
    ]


def test_every_calendar_rule_names_its_bucket() -> None:
    only = snapshot(NOW)
    rules = KeepRules(hourly=1, daily=1, weekly=1, monthly=1, yearly=1)

    assert reasons_of(decide([only], rules, NOW), only) == (
        "hourly 2026-11-23T03+00:00",
        "daily 2026-11-23",
        "weekly 2026-W48",
        "monthly 2026-11",
        "yearly 2026",
        "newest proven of the policy",
    )


def test_days_without_snapshots_do_not_count() -> None:
    taken = [NOW - DAY * age for age in (0, 10, 11, 40)]
    assert days_kept(decide([snapshot(time) for time in taken], KeepRules(daily=3), NOW)) == [
        "11-23",
        "11-13",
        "11-12",
    ]


def test_the_oldest_stays_while_a_counter_is_not_used_up() -> None:
    some = [snapshot(NOW - timedelta(hours=hours)) for hours in (0, 1, 2)]  # one month, three snapshots

    plan = decide(some, KeepRules(monthly=12), NOW)

    assert days_kept(plan) == ["11-23", "11-23"]
    assert reasons_of(plan, some[2]) == ("oldest, monthly not used up",)
    assert reasons_of(plan, some[1]) == ("no rule keeps it",)
    assert len(decide(some, KeepRules(monthly=1), NOW).keep) == 1


def test_within_is_measured_from_the_newest_proven_snapshot() -> None:
    """A year after the last snapshot nothing has become too old."""
    some = nightlies(10)
    plan = decide(some, KeepRules(within=DAY * 3), NOW + DAY * 365)
    assert days_kept(plan) == ["11-23", "11-22", "11-21", "11-20"]
    assert reasons_of(plan, some[3]) == ("within 3d",)
    assert "within 36h" not in reasons_of(decide(some, KeepRules(within=DAY * 1.5), NOW), some[1])
    assert "within 1d12h" in reasons_of(decide(some, KeepRules(within=DAY * 1.5), NOW), some[1])


def test_buckets_are_of_the_policys_zone() -> None:
    evening, night = (
        snapshot(datetime(2026, 11, 22, 22, 30, tzinfo=UTC)),
        snapshot(datetime(2026, 11, 22, 23, 30, tzinfo=UTC)),  # 00:30 of the 23rd in Paris
    )
    assert len(decide([evening, night], KeepRules(daily=2), NOW, zone=PARIS).keep) == 2
    assert decide([evening, night], KeepRules(daily=1), NOW).keep == (night,)


def test_the_hour_that_is_repeated_is_two_hours() -> None:
    first, again = (snapshot(datetime(2026, 10, 25, hour, 30, tzinfo=UTC)) for hour in (0, 1))
    plan = decide([first, again], KeepRules(hourly=2), NOW, zone=PARIS)
    assert reasons_of(plan, first)[0] == "hourly 2026-10-25T02+02:00"
    assert reasons_of(plan, again)[0] == "hourly 2026-10-25T02+01:00"


def test_times_that_share_a_zone_are_ordered_as_instants() -> None:
    early = snapshot(datetime(2026, 10, 25, 2, 50, tzinfo=PARIS, fold=0))
    late = snapshot(datetime(2026, 10, 25, 2, 10, tzinfo=PARIS, fold=1))
    assert decide([early, late], KeepRules(last=1), NOW).keep == (late,)


def test_the_first_of_january_may_belong_to_week_53_of_the_year_before() -> None:
    some = [snapshot(datetime(2027, 1, day, tzinfo=UTC)) for day in (3, 4)]
    plan = decide(some, KeepRules(weekly=2), datetime(2027, 1, 5, tzinfo=UTC))
    assert [v.reasons[0] for v in plan.verdicts] == ["weekly 2027-W01", "weekly 2026-W53"]


def test_unproven_snapshots_never_count_and_few_stay_for_diagnosis() -> None:
    bad = [unproven(NOW - timedelta(hours=hours)) for hours in (1, 2, 3, 4, 50)]
    good = nightlies(2, end=NOW - DAY * 5)

    plan = decide([*bad, *good], KeepRules(last=2), NOW)

    newest, young = (
        "unproven, one of the newest three, kept for diagnosis",
        "unproven, under a day old, kept for diagnosis",
    )
    assert [reasons_of(plan, each) for each in bad] == [
        (newest, young),
        (newest, young),
        (newest, young),
        (young,),
        ("unproven, over a day old, not among the newest three",),
    ]
    assert set(good) <= set(plan.keep)


def test_future_dated_snapshots_stay_and_anchor_nothing() -> None:
    ahead = snapshot(NOW + DAY * 400)
    some = nightlies(5)

    plan = decide([ahead, *some], KeepRules(last=1, within=DAY), NOW)

    assert days_kept(plan)[1:] == ["11-23", "11-22"]
    assert reasons_of(plan, ahead) == ("future-dated: kept, counts for nothing",)


def test_damaged_snapshots_stay_and_count_for_nothing() -> None:
    damaged = snapshot(NOW, state=SnapshotState.DAMAGED)
    good = nightlies(1, end=NOW - DAY)

    plan = decide([damaged, *good], KeepRules(last=1), NOW)

    assert reasons_of(plan, damaged) == ("damaged: never deleted by retention",)
    assert reasons_of(plan, good[0])[0] == "last 1/1"


def test_the_neighbours_of_a_damaged_one_are_kept_in_its_stead() -> None:
    *_, newer, lost, also_lost, older, _ = nights = nightlies(9)
    damaged = [replace(each, state=SnapshotState.DAMAGED) for each in (lost, also_lost)]
    there = [each for each in nights if each not in (lost, also_lost)]

    plan = decide([*there, *damaged], KeepRules(last=1, max_bytes=100), NOW)

    reasons = tuple(f"neighbour of damaged {each.id}" for each in (lost, also_lost))
    assert (reasons_of(plan, newer), reasons_of(plan, older)) == (reasons, reasons)
    assert set(plan.keep) == {there[0], newer, older, *damaged}


def test_what_counts_for_nothing_is_no_neighbour() -> None:
    newest, damaged, unproven, older = nightlies(4)
    damaged = replace(damaged, state=SnapshotState.DAMAGED)
    unproven = replace(unproven, proof=ProofLevel.NONE)
    plan = decide([newest, damaged, unproven, older], KeepRules(last=1), NOW)
    assert not any("neighbour" in reason for reason in reasons_of(plan, unproven))
    assert reasons_of(plan, older) == (f"neighbour of damaged {damaged.id}",)


@pytest.mark.parametrize("state", [SnapshotState.MISSING, SnapshotState.PRUNING, SnapshotState.PRUNED])
def test_what_is_not_there_is_no_part_of_the_plan(state: SnapshotState) -> None:
    gone = snapshot(NOW, state=state)
    assert days_kept(decide([gone, *nightlies(1, end=NOW - DAY)], KeepRules(last=1), NOW)) == ["11-22"]


def test_held_snapshots_and_floors_stay_with_their_reasons() -> None:
    some = nightlies(4)
    held = snapshot(NOW - DAY * 20, held=("audit 2026", "ticket 7"))
    floors = {some[3].id: "a restore reads it"}

    plan = decide([*some, held], KeepRules(last=1), NOW, floors=floors)

    assert reasons_of(plan, held) == ("held: audit 2026", "held: ticket 7")
    assert reasons_of(plan, some[3]) == ("a restore reads it",)
    assert set(plan.remove) == {some[1], some[2]}


def test_the_policy_that_keeps_everything_keeps_unproven_ones_too() -> None:
    some = [*nightlies(5), *(unproven(NOW - DAY * age) for age in range(20, 25))]
    plan = decide(some, KeepRules(all=True), NOW)
    assert plan.remove == ()
    assert plan.id == ""
    assert all("its policy keeps everything" in verdict.reasons for verdict in plan.verdicts)


def test_max_bytes_removes_the_oldest_first() -> None:
    plan = decide(nightlies(10), KeepRules(last=10, max_bytes=350), NOW)
    assert days_kept(plan) == ["11-23", "11-22", "11-21"]
    assert plan.verdicts[-1].reasons == ("over max_bytes 350 B",)


def test_max_bytes_stops_at_floors_and_counts_no_unproven_ones() -> None:
    some = nightlies(3)
    held = snapshot(NOW - DAY * 20, held=("audit",), size_bytes=10_000)
    bad = unproven(NOW, id="bad", size_bytes=10_000)

    plan = decide([*some, held, bad], KeepRules(last=9, max_bytes=1), NOW)
    assert set(plan.keep) == {some[0], held, bad}

    assert decide([*some, bad], KeepRules(last=9, max_bytes=300), NOW).remove == ()


def test_the_id_decides_between_equal_times() -> None:
    twins = [snapshot(NOW, id="a"), snapshot(NOW, id="b")]
    for order in (twins, twins[::-1]):
        assert [each.id for each in decide(order, KeepRules(last=1), NOW).keep] == ["b"]


def test_a_plan_is_named_by_what_it_removes() -> None:
    some = nightlies(5)
    plan, other = decide(some, KeepRules(last=2), NOW), decide(some, KeepRules(last=3), NOW)
    assert len(plan.id) == 12
    assert plan.id == decide(some[::-1], KeepRules(last=2), NOW).id
    assert plan.id != other.id


def test_the_floor_of_a_database_is_its_newest_proven_snapshot_of_any_policy() -> None:
    release = snapshot(NOW - DAY, policy="pre-release")
    others = [
        snapshot(NOW - DAY * 2),
        unproven(NOW),
        snapshot(NOW + DAY),
        snapshot(NOW, id="gone", state=SnapshotState.MISSING),
    ]
    assert floors_of([*others, release], NOW) == {release.id: "newest proven of the database"}
    assert floors_of([unproven(NOW)], NOW) == {}


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        decide([], KeepRules(last=1), NOW.replace(tzinfo=None))


def a_year_of_nights() -> list[Snapshot]:
    """2026, oldest first: every ninth night fails, every tenth is not proven, in May nothing runs."""
    nights = (datetime(2026, 1, 1, 2, 15, tzinfo=UTC) + DAY * night for night in range(365))
    return [
        unproven(time) if number % 10 == 9 else snapshot(time)
        for number, time in enumerate(nights)
        if number % 9 != 8 and time.month != 5
    ]


def test_a_year_of_nightlies_with_failures_keeps_what_the_rules_say() -> None:
    """Pruned every night; what is there in the end is what the rules name, read off the calendar by hand."""
    rules = KeepRules(last=3, daily=7, weekly=4, monthly=12, yearly=2)
    there: list[Snapshot] = []
    for night in a_year_of_nights():
        there = list(decide([*there, night], rules, night.taken_at).keep)

    proven = [each.taken_at.date() for each in a_year_of_nights() if each.proven]
    last_of_month = {day.month: day for day in proven}
    last_of_week = {day.isocalendar().week: day for day in proven}
    assert {each.taken_at.date() for each in there if each.proven} == {
        *proven[-7:],
        *list(last_of_week.values())[-4:],
        *last_of_month.values(),
        proven[0],  # the oldest: monthly and yearly are not used up
    }
    assert len(last_of_month) == 11
    assert [each for each in there if not each.proven] == [
        each for each in reversed(a_year_of_nights()) if not each.proven
    ][:3]
