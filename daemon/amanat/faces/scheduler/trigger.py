"""Triggers for APScheduler (design section 4: facts on both libraries): cron as cron means it, and pauses.

APScheduler asks again and again until it has every firing up to now. After a clock was set ahead those are
millions, so that what is over is left out: ``services.due`` knows what it was, from the register.
"""

from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger

from amanat.domain.policy import Schedule
from amanat.domain.schedule import jittered, next_instants


class ScheduleTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires at each instant of the schedule, later by its jitter. ``key``: what the jitter depends on."""

    def __init__(self, schedule: Schedule, key: str) -> None:
        self.schedule = schedule
        self._key = key

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first start after ``now`` and after the previous one; always in UTC."""
        after = max(previous_fire_time or now, now).astimezone(UTC)
        for slot in next_instants(self.schedule, after - self.schedule.jitter):
            start = jittered(self.schedule, slot, self._key).astimezone(UTC)
            if start > after:
                return start
        raise AssertionError  # unreachable: a schedule that ends is refused with the policy file


class PauseTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires again so long after the last time."""

    def __init__(self, pause: timedelta) -> None:
        self._pause = pause

    def get_next_fire_time(self, _previous_fire_time: datetime | None, now: datetime) -> datetime:
        return now + self._pause
