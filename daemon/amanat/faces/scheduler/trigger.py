"""A trigger for APScheduler that follows cron as cron means it (design section 4: facts on both libraries)."""

from datetime import UTC, datetime

from apscheduler.triggers.base import BaseTrigger

from amanat.domain.policy import Schedule
from amanat.domain.schedule import jittered, next_instants


class ScheduleTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires at each instant of the schedule, later by its jitter. ``key``: what the jitter depends on."""

    def __init__(self, schedule: Schedule, key: str) -> None:
        self.schedule = schedule
        self._key = key

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The first start after the previous one, or after ``now`` for a new job; always in UTC."""
        after = (previous_fire_time or now).astimezone(UTC)
        for slot in next_instants(self.schedule, after - self.schedule.jitter):
            start = jittered(self.schedule, slot, self._key).astimezone(UTC)
            if start > after:
                return start
        raise AssertionError  # unreachable: a schedule that ends is refused with the policy file
