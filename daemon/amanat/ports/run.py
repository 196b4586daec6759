"""What a run is steered and watched by: reins, progress, events, locks, scratch folders."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from amanat.domain.errors import ToolError
from amanat.domain.events import Event


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an engine is: bytes written, of how many if it is known, and the table being read.

    In a restore ``table`` may be another object, such as an index; the rows are those of the table, where known.
    """

    bytes_done: int
    bytes_total: int | None = None
    table: str = ""
    rows_done: int | None = None
    rows_total: int | None = None


class Control(Protocol):
    """The run's reins, handed to whatever takes long."""

    def check(self) -> None:
        """Raise TimeoutExceededError, InterruptedRunError or YieldedError if the run has to end now.

        Call it often.
        """

    def remaining(self) -> float:
        """Seconds until the deadline (never negative; ``inf`` without one)."""

    def progress(self, progress: Progress) -> None:
        """Tell how far it is; cheap, may be called often."""

    def wait(self, seconds: float) -> None:
        """Sleep, but not past the deadline or a stop; then ``check``."""


class Emit(Protocol):
    """Tell the world that something happened; never raises, never blocks for long."""

    def __call__(self, event: Event, /, **fields: object) -> None: ...


class Locks(Protocol):
    """Kernel locks; BusyError past the wait (seconds). ``holder``: whom that error names to others.

    In this order: ``migration``, ``database``, ``slot``, ``drill``, ``reading``. ``drill_and_slot`` takes both or
    neither: who waits for a drill keeps no place.
    """

    def migration(
        self, name: str, control: Control, *, wait: float, holder: str = ""
    ) -> AbstractContextManager[None]:
        """The mark that a migration of that database runs."""

    def is_migrating(self, name: str) -> bool:
        """Whether it is marked by somebody else; cheap where it is not."""

    def after_migration(self, name: str, control: Control, *, wait: float) -> None:
        """Returns when nobody else's mark is there."""

    def database(
        self, name: str, control: Control, *, wait: float, holder: str = ""
    ) -> AbstractContextManager[None]: ...
    def slot(
        self, limit: int, control: Control, *, wait: float, holder: str = ""
    ) -> AbstractContextManager[None]: ...
    def drill(self, control: Control, *, wait: float, holder: str = "") -> AbstractContextManager[None]: ...
    def drill_and_slot(
        self, limit: int, control: Control, *, wait: float, holder: str = ""
    ) -> AbstractContextManager[None]: ...
    def reading(self, snapshot: str, control: Control) -> AbstractContextManager[None]:
        """Together with others who read it; nobody deletes it meanwhile."""

    def deleting(self, snapshot: str) -> AbstractContextManager[None]:
        """BusyError at once if it is being read."""

    def documents(self, control: Control, *, wait: float) -> AbstractContextManager[None]: ...
    def run(self, run_id: str) -> AbstractContextManager[None]: ...
    def is_alive(self, run_id: str) -> bool: ...
    def forget(self, run_id: str) -> None: ...


class Scratch(Protocol):
    """Private folders for secrets files of runs."""

    def folder(self, run_id: str) -> AbstractContextManager[Path]:
        """Gone at the end with all that is in it."""

    def runs(self) -> list[str]:
        """Runs that have one, alive or dead."""

    def sweep(self, run_id: str) -> None:
        """Remove that of a dead run."""


class Controls(Protocol):
    """Makes the reins of a run; all of one process share the stop flag."""

    def __call__(self, *, timeout: timedelta | None, label: Mapping[str, str], stoppable: bool = True) -> Control:
        """``label`` goes with the progress that the run tells. Not ``stoppable``: what has to come to its end."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command of the user's own ended. ``command`` and ``output``, its last lines, are without secrets."""

    command: str
    succeeded: bool
    how: str
    seconds: float
    output: tuple[str, ...]

    def require_success(self) -> None:
        """ToolError with what it said last."""
        if not self.succeeded:
            said = f": {self.output[-1]}" if self.output else ""
            raise ToolError(f"{self.command} {self.how}{said}", hint="run it by hand with the same environment")


@dataclass(frozen=True, kw_only=True)
class Attached:
    """How a command that had our terminal ended. ``returncode``: negative for a signal. ``interrupted``: meanwhile
    somebody wanted an end, by a key of the terminal or by a signal to us; what it made of that is its own affair.
    """

    returncode: int
    interrupted: bool


class RunCommand(Protocol):
    def __call__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        timeout: timedelta,
        control: Control | None,
        folder: Path | None = None,
    ) -> Ran:
        """``environment``: beside ours. ``control``: the run's reins; None: the timeout alone ends it.

        ToolError when it cannot be started; otherwise what ``control.check`` raises.
        """
