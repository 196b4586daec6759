"""The reins of a run: a deadline, a stop flag, and a place where progress goes."""

import threading
from collections.abc import Callable
from datetime import timedelta
from math import inf

from amanat.domain.errors import InterruptedRunError, TimeoutExceededError
from amanat.domain.units import format_duration
from amanat.host import clock
from amanat.ports.run import Control, Progress


class RunControl:
    """Fulfils ``ports.Control``. ``stop`` may be shared by many runs: setting it ends them all."""

    def __init__(
        self,
        *,
        timeout: timedelta | None = None,
        stop: threading.Event | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._timeout = timeout
        self._deadline = clock.monotonic() + timeout.total_seconds() if timeout else inf
        self._stop = stop or threading.Event()
        self._on_progress = on_progress

    def check(self) -> None:
        if self._stop.is_set():
            raise InterruptedRunError("told to stop", hint="nothing of it is left; take it again when you like")
        if self._timeout and self.remaining() == 0:
            raise TimeoutExceededError(
                f"took longer than {format_duration(self._timeout)} and was stopped",
                hint="raise the limit that its policy sets, or see what held it up",
            )

    def remaining(self) -> float:
        return max(0.0, self._deadline - clock.monotonic())

    def progress(self, progress: Progress) -> None:
        if self._on_progress:
            self._on_progress(progress)

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the deadline or a stop; then ``check``."""
        self._stop.wait(min(seconds, self.remaining()))
        self.check()


class Limited:
    """The reins of a part of a run, which has less time; fulfils ``ports.Control`` too."""

    def __init__(self, control: Control, limit: timedelta) -> None:
        self._control = control
        self._own = RunControl(timeout=limit)

    def check(self) -> None:
        self._control.check()
        self._own.check()

    def remaining(self) -> float:
        return min(self._control.remaining(), self._own.remaining())

    def progress(self, progress: Progress) -> None:
        self._control.progress(progress)

    def wait(self, seconds: float) -> None:
        self._control.wait(min(seconds, self._own.remaining()))
        self._own.check()
