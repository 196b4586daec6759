"""APScheduler's loop, made to come round whatever the wall clock does."""

from collections.abc import Callable

from apscheduler.schedulers.background import BackgroundScheduler


class Loop(BackgroundScheduler):  # type: ignore[misc]
    """``on_round`` is called in this loop, at least every ``every_seconds`` by the monotonic clock.

    When the loop hangs, it is not called. A job on an interval could not do that: APScheduler plans by wall
    clock, and after that is set back by an hour, an hour passes without a firing.
    """

    def __init__(self, *, on_round: Callable[[], None], every_seconds: float, **options: object) -> None:
        super().__init__(**options)
        self._on_round = on_round
        self._every_seconds = every_seconds

    def _process_jobs(self) -> float:
        """What APScheduler 3.11's ``_main_loop`` does in each round; returns the seconds to wait at most."""
        self._on_round()
        wait_seconds = super()._process_jobs()
        return self._every_seconds if wait_seconds is None else min(wait_seconds, self._every_seconds)
