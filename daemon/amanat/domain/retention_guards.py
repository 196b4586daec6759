"""When not to prune although the rules would: guards around a retention plan (design section 6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from amanat.domain.model import require_aware, utc_text
from amanat.domain.retention import Plan
from amanat.domain.units import format_duration

CLOCK_TOLERANCE = timedelta(minutes=1)
_RUN_TOLERANCE = timedelta(hours=1)


class RefusalReason(StrEnum):
    """Label values of the metric ``amanat_retention_refused_total``."""

    CLOCK_BACKWARDS = "clock-backwards"
    CLOCK_JUMPED = "clock-jumped"
    TOO_MANY = "too-many"
    LAST_RUN_FAILED = "last-run-failed"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a plan must not be carried out now, and what to do about it."""

    reason: RefusalReason
    message: str
    hint: str


def guard(
    plan: Plan,
    *,
    now: datetime,
    interval: timedelta | None,
    last_seen: datetime | None,
    newest_run_failed: bool,
    newest: datetime | None = None,
    confirmed: str = "",
) -> tuple[Refusal, ...]:
    """Every reason to refuse ``plan``; none, and it may be carried out.

    ``interval``: the longest regular pause between runs of the policy, None without schedule.
    ``last_seen``: the newest time the register knows. ``newest``: when the newest snapshot was taken before
    the run that prunes now, whose own carries the same clock and shows no jump; by default that of the plan.
    ``confirmed``: a plan id somebody agreed to; it answers all but ``last-run-failed``.
    """
    require_aware(now, last_seen, newest)
    if not plan.remove:
        return ()
    doubts = (
        *_clock_backwards(plan, now, last_seen),
        *_clock_jumped(newest or _newest(plan), now, interval),
        *_too_many(plan),
    )
    return (*(() if confirmed == plan.id else doubts), *_last_run_failed(failed=newest_run_failed))


def _clock_backwards(plan: Plan, now: datetime, last_seen: datetime | None) -> Iterator[Refusal]:
    newest = _newest(plan)
    if last_seen is not None and last_seen - now > CLOCK_TOLERANCE:
        yield Refusal(
            reason=RefusalReason.CLOCK_BACKWARDS,
            message=f"the clock says {utc_text(now)}, the register already knows {utc_text(last_seen)}",
            hint=f"set the clock right; if it is and was not, `amanat prune --confirm {plan.id}`",
        )
    elif newest - now > CLOCK_TOLERANCE:
        yield Refusal(
            reason=RefusalReason.CLOCK_BACKWARDS,
            message=f"the clock says {utc_text(now)}, the newest snapshot is dated {utc_text(newest)}",
            hint="set the clock right; if the snapshot's date is wrong, move it out of the store",
        )


def _clock_jumped(newest: datetime, now: datetime, interval: timedelta | None) -> Iterator[Refusal]:
    pause = now.astimezone(UTC) - newest
    if interval is not None and pause > 2 * interval + _RUN_TOLERANCE:
        yield Refusal(
            reason=RefusalReason.CLOCK_JUMPED,
            message=f"{format_duration(pause)} went by without a snapshot, its policy takes one every"
            f" {format_duration(interval)}: the clock jumped ahead, or snapshots stopped",
            hint="check the clock and why there was none; after the next snapshot, prune again",
        )


def _too_many(plan: Plan) -> Iterator[Refusal]:
    removed, all_of_them = len(plan.remove), len(plan.verdicts)
    if 2 * removed > all_of_them:
        yield Refusal(
            reason=RefusalReason.TOO_MANY,
            message=f"the plan would remove {removed} of {all_of_them} snapshots, more than half",
            hint=f"look at it with `amanat prune --dry-run`, then `amanat prune --confirm {plan.id}`",
        )


def _last_run_failed(*, failed: bool) -> Iterator[Refusal]:
    if failed:
        yield Refusal(
            reason=RefusalReason.LAST_RUN_FAILED,
            message="the newest run of the policy failed",
            hint="see `amanat status`; after the next run that succeeds, prune again",
        )


def _newest(plan: Plan) -> datetime:
    return plan.verdicts[0].snapshot.taken_at.astimezone(UTC)
