"""Checks of clock and schedules: is the time sane, what is overdue, what is due at the same moment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, islice, takewhile

from amanat.domain.doctor.check import Check, Level, Name
from amanat.domain.model import Run, Snapshot, utc_text
from amanat.domain.policy import Policy, Schedule
from amanat.domain.retention_guards import CLOCK_TOLERANCE
from amanat.domain.schedule import interval, next_instants
from amanat.domain.units import format_duration, format_span

_COMPARED = 2000
_AHEAD = timedelta(days=400)
_GRACE = timedelta(hours=1)


def clock(now: datetime, last_seen: datetime | None) -> Check:
    """``last_seen``: the newest time that the register knows."""
    if last_seen is None:
        return Check(name=Name.CLOCK, found=f"it is {_second(now)}; there is nothing yet to compare it with")
    if last_seen - now > CLOCK_TOLERANCE:
        found = f"the clock says {_second(now)}, the register already knows {_second(last_seen)}"
        return Check.fail(Name.CLOCK, found, "set the clock right: until then nothing is pruned")
    return Check(name=Name.CLOCK, found=f"it is {_second(now)}, after all that the register knows")


def last_success(policy: Policy, now: datetime, succeeded: Run | None, failed: Run | None) -> Check:
    """``failed``: the newest run that failed."""
    at = succeeded.finished_at if succeeded else None
    if at is None:
        return _never(failed)
    since = f"; the newest failed: {failed.reason}" if failed and failed.started_at > at else ""
    last = _Last(what="the last run that succeeded ended", at=at, since=since)
    return _age(
        Name.LAST_SUCCESS, policy, now, last, "see whether the daemon runs; `amanat runs` tells each attempt"
    )


def _never(failed: Run | None) -> Check:
    if failed:
        remedy = failed.hint or "`amanat runs` tells each attempt"
        return Check.fail(Name.LAST_SUCCESS, f"no run has succeeded yet: {failed.reason}", remedy)
    return Check.warn(Name.LAST_SUCCESS, "it has not run yet", "start the daemon, or take one: amanat snapshot")


def last_proof(policy: Policy, now: datetime, proven: Snapshot | None) -> Check:
    if proven is None:
        return Check.warn(Name.LAST_PROOF, "there is no proven snapshot yet", "take one: amanat snapshot")
    last = _Last(what="the newest proven snapshot was taken", at=proven.taken_at)
    remedy = "see `amanat list`: newer ones are damaged, missing or not proven, or there are none"
    return _age(Name.LAST_PROOF, policy, now, last, remedy)


def last_prune(policy: Policy, now: datetime, pruned: Run | None, refused: Run | None) -> Check:
    """Nothing is lost where it is late, but the store fills up."""
    at = pruned.finished_at if pruned else None
    if at is None:
        return _never_pruned(refused)
    since = f"; refused since: {refused.reason}" if refused and refused.started_at > at else ""
    last = _Last(what="snapshots were last pruned", at=at, since=since)
    found = _age(Name.LAST_PRUNE, policy, now, last, "see `amanat prune --dry-run`")
    return found if found.ok else replace(found, level=Level.WARN)


def _never_pruned(refused: Run | None) -> Check:
    if refused:
        return Check.warn(Name.LAST_PRUNE, f"it was always refused: {refused.reason}", refused.hint)
    return Check(name=Name.LAST_PRUNE, found="it was not due yet")


@dataclass(frozen=True, kw_only=True)
class _Last:
    """``since``: what happened after it."""

    what: str
    at: datetime
    since: str = ""


def _age(name: Name, policy: Policy, now: datetime, last: _Last, remedy: str) -> Check:
    """Too old: as for the alerts, more than two intervals and an hour."""
    assert policy.schedule  # noqa: S101 - only of scheduled policies this is asked
    pause, age = interval(policy.schedule, now), now - last.at
    found = f"{last.what} {format_duration(age)} ago, at {_second(last.at)}{last.since}"
    if age > 2 * pause + _GRACE:
        return Check.fail(name, f"{found}; it is due every {format_span(pause)}", remedy)
    return Check(name=name, found=found)


def overlaps(policies: Sequence[Policy], now: datetime) -> list[Check]:
    """``policies``: of one database."""
    scheduled = [(policy, policy.schedule) for policy in policies if policy.schedule]
    slots = {policy.name: _slots(schedule, now) for policy, schedule in scheduled}
    found = [
        check for one, other in combinations(slots, 2) for check in _both(one, other, slots[one], slots[other])
    ]
    return found or [Check(name=Name.OVERLAP, found="no two policies are due at the same minute")]


def _both(one: str, other: str, first: Sequence[datetime], second: Sequence[datetime]) -> Iterator[Check]:
    if common := set(first) & set(second):
        yield Check.warn(
            Name.OVERLAP,
            f"{one} and {other} are both due at {utc_text(min(common))}",
            "one waits for the other: give them different minutes",
        )


def _slots(schedule: Schedule, now: datetime) -> list[datetime]:
    until = now + _AHEAD
    coming = islice(next_instants(schedule, now), _COMPARED)
    return [slot.astimezone(UTC) for slot in takewhile(lambda slot: slot <= until, coming)]


def _second(time: datetime) -> str:
    return utc_text(time.replace(microsecond=0))
