"""What commands of one process share: settings from flags, the opened application, signals."""

import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amanat.domain.events import Event

if TYPE_CHECKING:
    from amanat.app import App, OnProgress
    from amanat.settings.service import ServiceSettings

_TOLD_BY_ITS_ERROR = frozenset({Event.RUN_FINISHED, Event.SLOT_SKIPPED, Event.SNAPSHOT_DAMAGED})


@dataclass(frozen=True, kw_only=True)
class Caller:
    """What we were started with, for commands that are not ours."""

    environment: Mapping[str, str]
    umask: int


flags: dict[str, Path | None] = {}
caller = Caller(environment=os.environ, umask=0o077)
_caught: list[int] = []


def settings() -> "ServiceSettings":
    from amanat.settings import service

    return service.load(**flags)


def open_app(
    *,
    on_progress: "OnProgress | None" = None,
    quiet: bool = True,
    create: bool = False,
    state: Path | None = None,
) -> "App":
    """``quiet``: only warnings are logged, and not what the command says by itself: its output, its error.

    ``state``: another folder than that of the settings.
    """
    from amanat.app import open_app

    loaded = settings()
    if state:
        loaded = loaded.model_copy(update={"state": state})
    return open_app(loaded, emit=_Emit(loaded, quiet=quiet), on_progress=on_progress, create=create)


def stop_on_signals(stop: threading.Event) -> None:
    """The first one ends runs cleanly, as ``interrupted``; the second one ends the process, but for SIGHUP: a
    terminal that goes sends several. Under nohup that stays ignored.
    """
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def handle(number: int, _frame: object) -> None:
        _caught.append(number)
        stop.set()
        if number == signal.SIGHUP:
            _silence(terminals)
        else:
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


def _silence(terminals: Sequence[int]) -> None:
    """What is written to one that is gone would be an error, in the middle of what has to come to its end."""
    for descriptor in terminals:
        if not os.isatty(descriptor):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def signal_code() -> int | None:
    """128 + the signal that stopped this process, or None."""
    return 128 + _caught[0] if _caught else None


def report_bug() -> None:
    from amanat.observability import logs

    logs.configure(log_format="auto", level="error")
    logs.emit(Event.BUG, exc_info=True, hint="please report it, with this trace")


class _Emit:
    """Configures the log at the first event: most commands have none."""

    def __init__(self, loaded: "ServiceSettings", *, quiet: bool) -> None:
        self._settings = loaded
        self._left_out = _TOLD_BY_ITS_ERROR if quiet else frozenset()
        self._level = "warning" if quiet and loaded.log_level in {"debug", "info"} else loaded.log_level
        self._configured = False

    def __call__(self, event: Event, /, **fields: object) -> None:
        from amanat.observability import logs

        if event in self._left_out:
            return
        if not self._configured:
            logs.configure(log_format=self._settings.log_format, level=self._level)
            self._configured = True
        logs.emit(event, **fields)
        sys.stderr.flush()
