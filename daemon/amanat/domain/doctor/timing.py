"""Checks of clock and schedules: is the time sane, what is overdue, what is due at the same moment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, islice, takewhile

from amanat.domain.doctor.check import Check, Level, Name
from amanat.domain.model import Outcome, ProofLevel, Run, Snapshot, SnapshotState, Stage, utc_text
from amanat.domain.policy import Policy, Schedule
from amanat.domain.retention_guards import CLOCK_TOLERANCE
from amanat.domain.schedule import interval, next_instants
from amanat.domain.units import format_duration, format_span

_COMPARED = 2000
_AHEAD = timedelta(days=400)
_GRACE = timedelta(hours=1)
_DRILL = "restore the newest: amanat drill DATABASE; `amanat runs` tells what hindered it"
_ROUNDS = {
    Name.LAST_DRILL: ("drill", _DRILL),
    Name.LAST_REREADING: (
        "re-reading",
        "read one again: amanat verify SNAPSHOT --level=stored; `amanat runs` tells why",
    ),
}
_OF = {Stage.SNAPSHOT: "", Stage.DRILL: "the drills of ", Stage.VERIFY: "the re-reading of "}


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
    remedy = "see whether the daemon runs; `amanat runs` tells each attempt"
    return _age(Name.LAST_SUCCESS, policy.schedule, now, last, remedy)


def _never(failed: Run | None) -> Check:
    if failed:
        remedy = failed.hint or "`amanat runs` tells each attempt"
        return Check.fail(Name.LAST_SUCCESS, f"no run has succeeded yet: {failed.reason}", remedy)
    return Check.warn(Name.LAST_SUCCESS, "it has not run yet", "start the daemon, or take one: amanat snapshot")


def last_proof(policy: Policy, now: datetime, proven: Snapshot | None, newest: Snapshot | None) -> Check:
    """``newest``: of the policy, proven or not."""
    waiting = _hindered(proven, newest)
    if proven is None:
        remedy = _DRILL if waiting else "take one: amanat snapshot"
        return Check.warn(Name.LAST_PROOF, f"there is no proven snapshot yet{waiting}", remedy)
    last = _Last(what="the newest proven snapshot was taken", at=proven.taken_at, since=waiting)
    remedy = "see `amanat list`: newer ones are damaged, missing or not proven, or there are none"
    found = _age(Name.LAST_PROOF, policy.schedule, now, last, _DRILL if waiting else remedy)
    return Check.warn(Name.LAST_PROOF, found.found, _DRILL) if waiting and found.ok else found


def _hindered(proven: Snapshot | None, newest: Snapshot | None) -> str:
    """Decision 0013: it was to be restored for its proof, and something hindered that."""
    if newest is None or newest.proven or newest.state is not SnapshotState.PRESENT:
        return ""
    if newest.required_proof is not ProofLevel.RESTORED or (proven and proven.taken_at > newest.taken_at):
        return ""
    return f"; {newest.id} is {newest.proof}, but was not restored for its proof, so it does not count"


def last_prune(policy: Policy, now: datetime, pruned: Run | None, refused: Run | None) -> Check:
    """Nothing is lost where it is late, but the store fills up."""
    at = pruned.finished_at if pruned else None
    if at is None:
        return _never_pruned(refused)
    since = f"; refused since: {refused.reason}" if refused and refused.started_at > at else ""
    last = _Last(what="snapshots were last pruned", at=at, since=since)
    return _mild(_age(Name.LAST_PRUNE, policy.schedule, now, last, "see `amanat prune --dry-run`"))


def _never_pruned(refused: Run | None) -> Check:
    if refused:
        return Check.warn(Name.LAST_PRUNE, f"it was always refused: {refused.reason}", refused.hint)
    return Check(name=Name.LAST_PRUNE, found="it was not due yet")


def last_round(name: Name, schedule: Schedule, now: datetime, succeeded: Run | None, other: Run | None) -> Check:
    """``other``: the newest that did not succeed. Nothing is lost where it is late, but nobody knows that."""
    what, remedy = _ROUNDS[name]
    at = succeeded.finished_at if succeeded else None
    newer = other if other and (at is None or other.started_at > at) else None
    told = f"{newer.outcome}: {newer.reason}" if newer else ""
    if at is None:
        found = f"no {what} has succeeded yet{told and f'; the newest was {told}'}"
        return Check.warn(name, found, newer.hint if newer and newer.hint else remedy)
    last = _Last(what=f"the last {what} that succeeded ended", at=at, since=told and f"; the newest was {told}")
    aged = _mild(_age(name, schedule, now, last, remedy))
    if newer and newer.outcome is Outcome.FAILED and aged.ok:
        return Check.warn(name, aged.found, newer.hint or remedy)
    return aged


def _mild(check: Check) -> Check:
    return check if check.ok else replace(check, level=Level.WARN)


@dataclass(frozen=True, kw_only=True)
class _Last:
    """``since``: what happened after it."""

    what: str
    at: datetime
    since: str = ""


def _age(name: Name, schedule: Schedule | None, now: datetime, last: _Last, remedy: str) -> Check:
    """Too old: as for the alerts, more than two intervals and an hour."""
    assert schedule  # noqa: S101 - only of what is scheduled this is asked
    pause, age = interval(schedule, now), now - last.at
    found = f"{last.what} {format_duration(age)} ago, at {_second(last.at)}{last.since}"
    if age > 2 * pause + _GRACE:
        return Check.fail(name, f"{found}; it is due every {format_span(pause)}", remedy)
    return Check(name=name, found=found)


def overlaps(policies: Sequence[Policy], now: datetime) -> list[Check]:
    """``policies``: of one database."""
    slots = {
        f"{_OF[stage]}{policy.name}": _slots(schedule, now)
        for policy in policies
        for stage, schedule in policy.schedules.items()
    }
    found = [
        check for one, other in combinations(slots, 2) for check in _both(one, other, slots[one], slots[other])
    ]
    return found or [Check(name=Name.OVERLAP, found="nothing of it is due at the same minute as something else")]


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
