"""Limits of drills against their schedule and the database: one that can never begin was meant otherwise."""

from datetime import datetime
from itertools import islice

from amanat.domain import drills
from amanat.domain.doctor.check import Check, Name
from amanat.domain.policy import Drills
from amanat.domain.schedule import next_instants
from amanat.domain.units import format_size

_LOOKED_AT = 500


def limits(wanted: Drills, now: datetime, source_bytes: int | None) -> list[Check]:
    """``source_bytes``: of the database when its newest snapshot was taken; None: there is none."""
    size = source_bytes or 0
    found = [*_too_large(wanted, size), *_never_allowed(wanted, now)]
    return found or [Check(name=Name.DRILL_LIMITS, found="a drill may begin when it is due")]


def _too_large(wanted: Drills, size: int) -> list[Check]:
    if wanted.max_bytes is None or size <= wanted.max_bytes:
        return []
    text = f"the database has {format_size(size)}, drills.max_size is {format_size(wanted.max_bytes)}"
    return [
        Check.warn(Name.DRILL_LIMITS, f"{text}: none of it is drilled", "raise drills.max_size, or remove drills")
    ]


def _never_allowed(wanted: Drills, now: datetime) -> list[Check]:
    slots = list(islice(next_instants(wanted.schedule, now), _LOOKED_AT))
    why = {drills.excuse(wanted, 0, slot)[1] for slot in slots}
    if "" in why:
        return []
    text = f"every drill of {wanted.schedule.cron} falls into not_between: {'; '.join(sorted(why))}"
    return [Check.warn(Name.DRILL_LIMITS, text, "choose a time outside of it")]
