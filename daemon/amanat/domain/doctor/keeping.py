"""Keep rules against the schedule: a rule that can never keep what no other keeps was meant otherwise.

Judged by what the schedule takes; snapshots that somebody takes by hand under the policy are left out of it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from zoneinfo import ZoneInfo

from amanat.domain.doctor.check import Check, Name
from amanat.domain.policy import KeepRules, Policy, Schedule
from amanat.domain.retention import BUCKETS
from amanat.domain.schedule import next_instants
from amanat.domain.units import format_span

_AHEAD = timedelta(days=3 * 366)
_MOST = 2000


def keep_rules(policy: Policy, now: datetime) -> list[Check]:
    if not policy.schedule:
        return [_fine("taken on demand: every rule can keep something")]
    found = [*_superfluous(policy.keep, policy.schedule, now), *_short(policy.keep, policy.schedule, now)]
    return found or [_fine(policy.keep.describe())]


def _superfluous(keep: KeepRules, schedule: Schedule, now: datetime) -> Iterator[Check]:
    """Rules whose every bucket holds one snapshot at most count snapshots alike: the largest does it all."""
    counts = {rule: getattr(keep, rule) for rule in BUCKETS if getattr(keep, rule)}
    if len(counts) < 2:  # noqa: PLR2004
        return
    alike = {rule: count for rule, count in counts.items() if _one_a_bucket(rule, schedule, now)}
    largest = max(alike, key=alike.__getitem__, default="")
    for rule, count in alike.items():
        if rule != largest:
            yield Check.warn(
                Name.KEEP_RULES,
                f"{rule}: {count} keeps nothing that {largest}: {alike[largest]} does not keep:"
                f" the schedule takes no two snapshots in what both count",
                f"remove {rule}, or see whether another rule or schedule was meant",
            )


def _one_a_bucket(rule: str, schedule: Schedule, now: datetime) -> bool:
    zone, seen = ZoneInfo(schedule.timezone), set[str]()
    for slot in _slots(schedule, now):
        bucket = BUCKETS[rule](slot.astimezone(zone))
        if bucket in seen:
            return False
        seen.add(bucket)
    return len(seen) > 1


def _short(keep: KeepRules, schedule: Schedule, now: datetime) -> Iterator[Check]:
    pauses = [other - one for one, other in pairwise(_slots(schedule, now))]
    if keep.within and pauses and keep.within < min(pauses):
        yield Check.warn(
            Name.KEEP_RULES,
            f"within: {format_span(keep.within)} keeps only the newest, which always stays: the schedule takes"
            f" one every {format_span(min(pauses))} or more",
            "write a longer time, or a rule that counts",
        )


def _slots(schedule: Schedule, now: datetime) -> Iterator[datetime]:
    coming = islice(next_instants(schedule, now), _MOST)
    return (slot.astimezone(UTC) for slot in takewhile(lambda slot: slot <= now + _AHEAD, coming))


def _fine(found: str) -> Check:
    return Check(name=Name.KEEP_RULES, found=found)
