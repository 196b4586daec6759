"""Signals to this process while a command has its terminal: they are meant for the command."""

import signal
from types import FrameType
from typing import Self

_MEANT_FOR_IT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Forwarding:
    """Within, none of them ends us. What the terminal's keys send is not told: a command of our process group has
    had it as well, and would end for good at the second. For the main thread.

    ``came``: whether there was any, told or not.
    """

    def __init__(self) -> None:
        self.came = False
        self._told: list[int] = []

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._tell) for number in _MEANT_FOR_IT}
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def command_started(self) -> None:
        """Only now, for a command inherits what is blocked. A handler is not told who sent a signal."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _MEANT_FOR_IT)

    def wait(self, seconds: float) -> list[int]:
        """What is to be sent on; at the first, or after so long."""
        info = signal.sigtimedwait(_MEANT_FOR_IT, seconds)
        self.came = self.came or info is not None
        if info and info.si_code <= 0:  # others are the kernel's own: sigaction(2), SI_KERNEL
            self._told.append(info.si_signo)
        told, self._told = self._told, []
        return told

    def _tell(self, number: int, _frame: FrameType | None) -> None:
        self.came = True
        self._told.append(number)
