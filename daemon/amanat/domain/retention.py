"""Which snapshots stay and which go, with all reasons: a pure decision (design section 6).

One call judges the snapshots of one database and policy. What may never go is settled first (``_firm``),
then what the keep rules keep (``_kept_by_rules``), then what is too much for ``max_bytes`` (``_over_limit``).
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha256
from itertools import islice, takewhile
from types import MappingProxyType

from amanat.domain.model import Snapshot, SnapshotState, require_aware
from amanat.domain.policy import KeepRules
from amanat.domain.units import format_size, format_span

_JUDGED = (SnapshotState.PRESENT, SnapshotState.DAMAGED)
_DIAGNOSIS_COUNT = 3
_DIAGNOSIS_AGE = timedelta(days=1)
_NOTHING: Mapping[str, str] = MappingProxyType({})

# The name of the bucket a local time falls into. Hours carry the UTC offset: the hour that is repeated when
# summer time ends is two hours. Weeks are ISO weeks with the ISO year.
BUCKETS: Mapping[str, Callable[[datetime], str]] = MappingProxyType(
    {
        "hourly": lambda time: time.isoformat(timespec="hours"),
        "daily": lambda time: time.date().isoformat(),
        "weekly": lambda time: "{}-W{:02}".format(*time.isocalendar()),
        "monthly": lambda time: f"{time.year}-{time.month:02}",
        "yearly": lambda time: str(time.year),
    }
)

Reasons = dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of one snapshot, and every reason for it."""

    snapshot: Snapshot
    keep: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The verdicts, newest snapshot first."""

    verdicts: tuple[Verdict, ...]

    @property
    def keep(self) -> tuple[Snapshot, ...]:
        return tuple(verdict.snapshot for verdict in self.verdicts if verdict.keep)

    @property
    def remove(self) -> tuple[Snapshot, ...]:
        return tuple(verdict.snapshot for verdict in self.verdicts if not verdict.keep)

    @property
    def id(self) -> str:
        """Names exactly this set of removals, so that a confirmation cannot slip to another; empty: none."""
        ids = sorted(snapshot.id for snapshot in self.remove)
        return sha256("\n".join(ids).encode()).hexdigest()[:12] if ids else ""


def decide(
    snapshots: Sequence[Snapshot],
    rules: KeepRules,
    now: datetime,
    *,
    zone: tzinfo = UTC,
    floors: Mapping[str, str] = _NOTHING,
) -> Plan:
    """Judge the present and damaged ``snapshots`` of one database and policy; others are no part of the plan.

    ``zone``: of the policy, for calendar buckets. ``floors``: id → reason of what must stay whatever the
    rules say (see ``floors_of``; held snapshots need not be named).
    """
    require_aware(now)
    now = now.astimezone(UTC)
    judged = newest_first(snapshot for snapshot in snapshots if snapshot.state in _JUDGED)
    counted = [snapshot for snapshot in judged if _counts(snapshot, now)]
    proven = {snapshot.id for snapshot in counted}
    firm = _firm(judged, counted, proven, now, floors)
    by_rule = _kept_by_rules(judged, counted, rules, zone)
    over = _over_limit(counted, firm, by_rule, rules.max_bytes)
    return Plan(verdicts=tuple(_verdict(snapshot, firm, by_rule, over, proven) for snapshot in judged))


def floors_of(snapshots: Iterable[Snapshot], now: datetime) -> Mapping[str, str]:
    """Of all snapshots of one database, whatever their policy: those that must never go.

    The newest proven one, and the newest that holds the whole database: a part does not stand for it.
    """
    counted = [snapshot for snapshot in snapshots if _counts(snapshot, now)]
    if not counted:
        return {}
    floors = {}
    if whole := [snapshot for snapshot in counted if snapshot.scope.is_whole]:
        floors[max(whole, key=_age).id] = "newest proven of the whole database"
    return floors | {max(counted, key=_age).id: "newest proven of the database"}


def newest_first(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    return sorted(snapshots, key=_age, reverse=True)


def _age(snapshot: Snapshot) -> tuple[datetime, str]:
    """By the time taken; the id decides between equal times, so that the order of the input never does."""
    return _taken(snapshot), snapshot.id


def _taken(snapshot: Snapshot) -> datetime:
    """In UTC: two times that share a zone are compared and subtracted by wall clock."""
    return snapshot.taken_at.astimezone(UTC)


def _counts(snapshot: Snapshot, now: datetime) -> bool:
    """Only proven snapshots fill buckets, and none that claims to come from the future."""
    return snapshot.proven and snapshot.taken_at <= now


def _firm(
    judged: Sequence[Snapshot],
    counted: Sequence[Snapshot],
    proven: Container[str],
    now: datetime,
    floors: Mapping[str, str],
) -> Reasons:
    """Snapshots that neither a rule nor ``max_bytes`` can remove.

    The newest proven snapshot of the policy is among them: ``max_bytes`` smaller than one snapshot, or a
    newer snapshot of another policy with a narrower scope, must not leave this policy with nothing.
    """
    standing = {each.id: "newest proven of the policy" for each in counted[:1]} | dict(floors)
    firm: Reasons = defaultdict(list)
    for snapshot in judged:
        if snapshot.id in standing:
            firm[snapshot.id].append(standing[snapshot.id])
        if snapshot.held or snapshot.state is SnapshotState.DAMAGED or snapshot.taken_at > now:
            firm[snapshot.id].extend(_own_reasons(snapshot, now))
    for snapshot, reason in (*_for_diagnosis(judged, proven, now), *_neighbours(judged, counted)):
        firm[snapshot.id].append(reason)
    return firm


def _own_reasons(snapshot: Snapshot, now: datetime) -> Iterable[str]:
    yield from (f"held: {reason}" for reason in snapshot.held)
    if snapshot.taken_at > now:
        yield "future-dated: kept, counts for nothing"
    if snapshot.state is SnapshotState.DAMAGED:
        yield "damaged: never deleted by retention"


def _for_diagnosis(
    judged: Sequence[Snapshot], proven: Container[str], now: datetime
) -> Iterable[tuple[Snapshot, str]]:
    present = (each for each in judged if each.state is SnapshotState.PRESENT and each.taken_at <= now)
    unproven = (each for each in present if each.id not in proven)
    for rank, snapshot in enumerate(unproven):
        if rank < _DIAGNOSIS_COUNT:
            yield snapshot, "unproven, one of the newest three, kept for diagnosis"
        if now - snapshot.taken_at < _DIAGNOSIS_AGE:
            yield snapshot, "unproven, under a day old, kept for diagnosis"


def _neighbours(judged: Sequence[Snapshot], counted: Sequence[Snapshot]) -> Iterable[tuple[Snapshot, str]]:
    """In the stead of a damaged one: the proven ones next to it, which are nearest to what it held."""
    for damaged in (each for each in judged if each.state is SnapshotState.DAMAGED):
        older = next((each for each in counted if _age(each) < _age(damaged)), None)
        newer = next((each for each in reversed(counted) if _age(each) > _age(damaged)), None)
        for snapshot in (newer, older):
            if snapshot:
                yield snapshot, f"neighbour of damaged {damaged.id}"


def _kept_by_rules(
    judged: Sequence[Snapshot], counted: Sequence[Snapshot], rules: KeepRules, zone: tzinfo
) -> Reasons:
    kept: Reasons = defaultdict(list)
    for rank, snapshot in enumerate(counted[: rules.last], start=1):
        kept[snapshot.id].append(f"last {rank}/{rules.last}")
    for rule, bucket_of in BUCKETS.items():
        for snapshot, reason in _by_calendar(counted, rule, getattr(rules, rule), bucket_of, zone):
            kept[snapshot.id].append(reason)
    for snapshot in _within(counted, rules.within):
        kept[snapshot.id].append(f"within {format_span(rules.within or timedelta(0))}")
    for snapshot in judged if rules.all else ():
        kept[snapshot.id].append("its policy keeps everything")
    return kept


def _by_calendar(
    counted: Sequence[Snapshot], rule: str, count: int, bucket_of: Callable[[datetime], str], zone: tzinfo
) -> Iterable[tuple[Snapshot, str]]:
    """The newest of each of the newest ``count`` buckets; the oldest of all while there are fewer buckets.

    With one bucket too many, the newest ``count`` are settled: older snapshots change nothing.
    The oldest is what grows into the next weekly, monthly, yearly one. It harms no property: a larger count
    still keeps a superset, and judging what was kept finds the same buckets and the same oldest.
    """
    newest: dict[str, Snapshot] = {}
    for snapshot in counted:
        newest.setdefault(bucket_of(snapshot.taken_at.astimezone(zone)), snapshot)
        if len(newest) > count:
            break
    for bucket, snapshot in islice(newest.items(), count):
        yield snapshot, f"{rule} {bucket}"
    if 0 < len(newest) < count:
        yield counted[-1], f"oldest, {rule} not used up"


def _within(counted: Sequence[Snapshot], span: timedelta | None) -> Iterable[Snapshot]:
    """Measured from the newest one, not from the clock: when snapshots stop, deletion stops."""
    if span is None or not counted:
        return ()
    oldest = _taken(counted[0]) - span
    return takewhile(lambda snapshot: _taken(snapshot) >= oldest, counted)


def _over_limit(counted: Sequence[Snapshot], firm: Reasons, by_rule: Reasons, limit: int | None) -> dict[str, str]:
    """Oldest first, what has to go until the proven snapshots that stay fit into ``limit``.

    Only proven ones are added up: an unproven or future-dated newcomer must not push a proven one out.
    """
    if limit is None:
        return {}
    staying = [each for each in counted if firm.get(each.id) or by_rule.get(each.id)]
    total = sum(snapshot.size_bytes for snapshot in staying)
    over: dict[str, str] = {}
    for snapshot in reversed(staying):
        if total > limit and not firm.get(snapshot.id):
            over[snapshot.id] = f"over max_bytes {format_size(limit)}"
            total -= snapshot.size_bytes
    return over


def _verdict(
    snapshot: Snapshot, firm: Reasons, by_rule: Reasons, over: Mapping[str, str], proven: Container[str]
) -> Verdict:
    kept_by = (*by_rule.get(snapshot.id, ()), *firm.get(snapshot.id, ()))
    if snapshot.id in over:
        return Verdict(snapshot=snapshot, keep=False, reasons=(over[snapshot.id],))
    if kept_by:
        return Verdict(snapshot=snapshot, keep=True, reasons=kept_by)
    unproven = "unproven, over a day old, not among the newest three"
    why = "no rule keeps it" if snapshot.id in proven else unproven
    return Verdict(snapshot=snapshot, keep=False, reasons=(why,))
