"""Progress of long runs as events: bytes, rate and table, now and then."""

from collections.abc import Mapping

from amanat.domain.events import Event
from amanat.host import clock
from amanat.ports.run import Emit, Progress

_EVERY_SECONDS = 30.0


class ProgressEvents:
    """One per run; fulfils what ``RunControl`` calls with each progress."""

    def __init__(self, emit: Emit, label: Mapping[str, str]) -> None:
        self._emit = emit
        self._label = label
        self._began = self._told = clock.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = clock.monotonic()
        if now - self._told < _EVERY_SECONDS:
            return
        self._told = now
        self._emit(
            Event.RUN_PROGRESS,
            **self._label,
            bytes_done=progress.bytes_done,
            bytes_total=progress.bytes_total,
            bytes_per_second=int(progress.bytes_done / (now - self._began)),
            table=progress.table,
        )
