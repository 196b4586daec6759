"""What holds for retention whatever the snapshots and the rules are."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from amanat.domain.model import ProofLevel, Snapshot, SnapshotState
from amanat.domain.policy import KeepRules
from amanat.domain.retention import Plan, decide
from tests.support.snapshots import snapshot

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
COUNTERS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
ZONES = [
    ZoneInfo(name) for name in ("UTC", "Europe/Paris", "America/Santiago", "Australia/Lord_Howe", "Asia/Baku")
]

# Next to these a snapshot's hour, day, week or year is easily got wrong.
EDGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # summer time begins in Paris
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # and ends
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # half an hour at Lord Howe
    datetime(2026, 9, 6, 4, tzinfo=UTC),  # midnight skipped in Santiago
    datetime(2026, 12, 31, 23, tzinfo=UTC),  # in week 53 of 2026, and so are the first days of 2027
    datetime(2027, 1, 3, 23, tzinfo=UTC),
    datetime(2028, 2, 29, tzinfo=UTC),
]
NOW = datetime(2028, 3, 1, tzinfo=UTC)


def times() -> st.SearchStrategy[datetime]:
    near = st.builds(
        lambda edge, minutes: edge + timedelta(minutes=minutes),
        st.sampled_from(EDGES),
        st.integers(-200, 200),
    )
    return near | st.integers(-3, 30_000).map(lambda hours: NOW - timedelta(hours=hours))


@st.composite
def snapshot_lists(draw: st.DrawFn, *, max_size: int = 25) -> list[Snapshot]:
    """Mostly proven ones; some unproven, damaged, held, gone, of the same instant, or from the future."""
    taken = draw(st.lists(times(), max_size=max_size))
    proofs = st.sampled_from([ProofLevel.READABLE, ProofLevel.READABLE, ProofLevel.RESTORED, ProofLevel.STORED])
    states = st.sampled_from([SnapshotState.PRESENT] * 6 + [SnapshotState.DAMAGED, SnapshotState.MISSING])
    held = st.sampled_from([(), (), (), ("audit",)])
    return [
        snapshot(
            time,
            id=f"s{number}",
            proof=draw(proofs),
            state=draw(states),
            held=draw(held),
            size_bytes=draw(st.integers(0, 1000)),
        )
        for number, time in enumerate(taken)
    ]


def counts() -> st.SearchStrategy[dict[str, int]]:
    return st.fixed_dictionaries(dict.fromkeys(COUNTERS, st.sampled_from([0, 0, 1, 2, 5, 40])))


def rule_sets(*, limited: bool) -> st.SearchStrategy[KeepRules]:
    within = st.none() | st.integers(0, 400).map(lambda days: days * DAY)
    limit = st.none() | st.integers(0, 5000) if limited else st.none()
    return st.builds(
        lambda counters, within, limit: KeepRules(**counters, within=within, max_bytes=limit),
        counts(),
        within,
        limit,
    )


SNAPSHOTS, RULES, UNLIMITED, ANY_ZONE = (
    snapshot_lists(),
    rule_sets(limited=True),
    rule_sets(limited=False),
    st.sampled_from(ZONES),
)
FLOORS = st.sets(st.integers(0, 24)).map(lambda numbers: {f"s{number}": "a floor" for number in numbers})
some = settings(max_examples=50, deadline=None)


def removed(plan: Plan) -> set[str]:
    return {each.id for each in plan.remove}


def countable(snapshots: list[Snapshot]) -> list[Snapshot]:
    proven = (each for each in snapshots if each.proven and each.taken_at <= NOW)
    return sorted(proven, key=lambda each: (each.taken_at, each.id))


@some
@given(SNAPSHOTS, RULES, ANY_ZONE, FLOORS)
def test_each_snapshot_that_is_there_gets_one_verdict_with_reasons(
    snapshots: list[Snapshot], rules: KeepRules, zone: ZoneInfo, floors: dict[str, str]
) -> None:
    plan = decide(snapshots, rules, NOW, zone=zone, floors=floors)
    there = [each.id for each in snapshots if each.state in (SnapshotState.PRESENT, SnapshotState.DAMAGED)]
    assert sorted(verdict.snapshot.id for verdict in plan.verdicts) == sorted(there)
    assert sorted(each.id for each in (*plan.keep, *plan.remove)) == sorted(there)
    assert all(verdict.reasons for verdict in plan.verdicts)
    assert bool(plan.id) == bool(plan.remove)


@some
@given(st.data(), SNAPSHOTS, RULES, ANY_ZONE)
def test_the_order_of_the_input_is_of_no_account(
    data: st.DataObject, snapshots: list[Snapshot], rules: KeepRules, zone: ZoneInfo
) -> None:
    shuffled = data.draw(st.permutations(snapshots))
    assert decide(shuffled, rules, NOW, zone=zone) == decide(snapshots, rules, NOW, zone=zone)


@some
@given(SNAPSHOTS, RULES, ANY_ZONE, FLOORS)
def test_judging_what_was_kept_removes_nothing(
    snapshots: list[Snapshot], rules: KeepRules, zone: ZoneInfo, floors: dict[str, str]
) -> None:
    kept = decide(snapshots, rules, NOW, zone=zone, floors=floors).keep
    assert decide(kept, rules, NOW, zone=zone, floors=floors).remove == ()


@some
@given(SNAPSHOTS, RULES, ANY_ZONE)
def test_the_newest_proven_snapshot_stays(snapshots: list[Snapshot], rules: KeepRules, zone: ZoneInfo) -> None:
    newest = countable(snapshots)[-1:]
    assert set(newest) <= set(decide(snapshots, rules, NOW, zone=zone).keep)


@some
@given(SNAPSHOTS, RULES, FLOORS)
def test_floors_stay_whatever_the_limit(
    snapshots: list[Snapshot], rules: KeepRules, floors: dict[str, str]
) -> None:
    gone = decide(snapshots, replace(rules, max_bytes=0), NOW, floors=floors).remove
    assert not any(
        each.id in floors or each.held or each.taken_at > NOW or each.state is SnapshotState.DAMAGED
        for each in gone
    )


@some
@given(SNAPSHOTS, RULES)
def test_no_proven_one_is_nearer_to_a_damaged_one_than_those_that_stay(
    snapshots: list[Snapshot], rules: KeepRules
) -> None:
    proven, kept = countable(snapshots), set(decide(snapshots, rules, NOW).keep)
    for damaged in (each for each in snapshots if each.state is SnapshotState.DAMAGED):
        at = (damaged.taken_at, damaged.id)
        older = [each for each in proven if (each.taken_at, each.id) < at]
        newer = [each for each in proven if (each.taken_at, each.id) > at]
        assert {*older[-1:], *newer[:1]} <= kept


@some
@given(SNAPSHOTS, UNLIMITED, counts(), ANY_ZONE)
def test_more_rules_never_remove_more(
    snapshots: list[Snapshot], rules: KeepRules, more: dict[str, int], zone: ZoneInfo
) -> None:
    raised = replace(rules, **{name: getattr(rules, name) + count for name, count in more.items()})
    fewer, all_of_them = (decide(snapshots, each, NOW, zone=zone) for each in (raised, rules))
    assert removed(fewer) <= removed(all_of_them)


@some
@given(SNAPSHOTS, RULES, ANY_ZONE, times())
def test_a_newcomer_that_is_not_proven_changes_no_verdict_of_a_proven_one(
    snapshots: list[Snapshot], rules: KeepRules, zone: ZoneInfo, time: datetime
) -> None:
    newcomer = snapshot(time, id="newcomer", proof=ProofLevel.NONE, size_bytes=10**6)
    before = decide(snapshots, rules, NOW, zone=zone)
    after = decide([*snapshots, newcomer], rules, NOW, zone=zone)
    assert [v for v in after.verdicts if v.snapshot.proven] == [v for v in before.verdicts if v.snapshot.proven]


@some
@given(SNAPSHOTS, st.integers(-200, 200), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_whole_weeks_earlier_or_later_the_same_ones_go(
    snapshots: list[Snapshot], weeks: int, last: int, daily: int, weekly: int
) -> None:
    rules = KeepRules(last=last, daily=daily, weekly=weekly)
    shifted = [replace(each, taken_at=each.taken_at + weeks * WEEK) for each in snapshots]
    assert removed(decide(shifted, rules, NOW + weeks * WEEK)) == removed(decide(snapshots, rules, NOW))


@some
@given(SNAPSHOTS, UNLIMITED, ANY_ZONE, st.integers(0, 5000))
def test_a_limit_only_takes_away_and_the_oldest_first(
    snapshots: list[Snapshot], rules: KeepRules, zone: ZoneInfo, limit: int
) -> None:
    free = decide(snapshots, rules, NOW, zone=zone)
    tight = decide(snapshots, replace(rules, max_bytes=limit), NOW, zone=zone)
    over = [v.snapshot for v in tight.verdicts if "over max_bytes" in v.reasons[0]]
    loose = [v.snapshot for v in free.verdicts if v.keep and v.snapshot.proven and not _is_firm(v.reasons)]
    assert removed(tight) == removed(free) | {each.id for each in over}
    assert over == loose[len(loose) - len(over) :]
    fits = sum(each.size_bytes for each in tight.keep if each in countable(snapshots)) <= limit
    assert fits or len(over) == len(loose)


def _is_firm(reasons: tuple[str, ...]) -> bool:
    return any(reason.startswith(("held", "newest proven", "future-dated", "neighbour")) for reason in reasons)


@some
@given(SNAPSHOTS, ANY_ZONE, st.sampled_from(["daily", "weekly", "monthly", "yearly"]), st.integers(1, 40))
def test_a_calendar_rule_keeps_the_newest_of_each_bucket_across_clock_changes_and_week_53(
    snapshots: list[Snapshot], zone: ZoneInfo, rule: str, count: int
) -> None:
    """Said again without buckets: a snapshot is the newest of its bucket if the next one is in another."""
    proven = countable(snapshots)
    ends = [
        one for one, other in zip_longest(proven, proven[1:]) if other is None or not _same(one, other, rule, zone)
    ]
    expected = {each.id for each in ends[-count:]} | ({proven[0].id} if proven and len(ends) < count else set())
    plan = decide(snapshots, KeepRules(**{rule: count}), NOW, zone=zone)
    assert {v.snapshot.id for v in plan.verdicts if any(rule in reason for reason in v.reasons)} == expected


def _same(one: Snapshot, other: Snapshot, rule: str, zone: ZoneInfo) -> bool:
    days = [each.taken_at.astimezone(zone).date() for each in (one, other)]
    starts = {
        "daily": days,
        "weekly": [day - timedelta(days=day.weekday()) for day in days],
        "monthly": [day.replace(day=1) for day in days],
        "yearly": [day.replace(month=1, day=1) for day in days],
    }[rule]
    return starts[0] == starts[1]
