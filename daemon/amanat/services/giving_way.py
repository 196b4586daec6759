"""The reins of a run that gives way: a migration of its database never waits for it for long."""

from datetime import datetime, timedelta

from amanat.domain.errors import YieldedError
from amanat.domain.units import format_duration
from amanat.ports import Ports
from amanat.ports.run import Control, Progress

_LOOK_EVERY = timedelta(milliseconds=250)
_PIECE_SECONDS = 0.25


class GivingWay:
    """Fulfils ``ports.Control``: the run's own reins, and YieldedError from the mark."""

    def __init__(self, control: Control, mark: "Mark") -> None:
        self._control = control
        self._mark = mark

    def with_less(self, control: Control) -> "GivingWay":
        """For a part of the run, which has reins of its own."""
        return GivingWay(control, self._mark)

    def check(self) -> None:
        self._control.check()
        self._mark.check()

    def remaining(self) -> float:
        return self._control.remaining()

    def progress(self, progress: Progress) -> None:
        self._control.progress(progress)

    def wait(self, seconds: float) -> None:
        """In pieces: a migration may begin meanwhile."""
        while seconds > _PIECE_SECONDS:
            self._control.wait(_PIECE_SECONDS)
            self.check()
            seconds -= _PIECE_SECONDS
        self._control.wait(seconds)
        self.check()


class Mark:
    """What one run sees of migrations: YieldedError once another's has been under way for ``after``.

    None: it goes on all the same. Once it has given way it is over, even if the migration is.
    """

    def __init__(self, ports: Ports, database: str, *, after: timedelta | None) -> None:
        self._ports = ports
        self._database = database
        self._after = after
        self._looked: datetime | None = None
        self._since: datetime | None = None
        self._verdict: YieldedError | None = None

    def check(self) -> None:
        if self._verdict:
            raise self._verdict
        now = self._ports.now()
        if self._after is not None and self._is_due(now):
            self._look(now, self._after)

    def _is_due(self, now: datetime) -> bool:
        """A clock that was set back must not stop it."""
        due = self._looked is None or abs(now - self._looked) >= _LOOK_EVERY
        if due:
            self._looked = now
        return due

    def _look(self, now: datetime, after: timedelta) -> None:
        if not self._ports.locks.is_migrating(self._database):
            self._since = None
            return
        self._since = self._since or now
        if now - self._since >= after:
            self._verdict = _verdict(self._database, now - self._since)
            raise self._verdict


def _verdict(database: str, marked: timedelta) -> YieldedError:
    return YieldedError(
        f"gave way to a migration of {database}, which had been under way for {format_duration(marked)}",
        hint="it is tried again when the migration is over, for as long as the policy's timeout allows",
        transient=True,
    )
