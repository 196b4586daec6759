"""What a process says: its pipes are read in threads, so that neither fills up and stalls it."""

import threading
from collections import deque
from collections.abc import Callable
from typing import IO

_STDERR_LINES = 200
_LINE_BYTES = 64 * 1024  # a "line" of a broken tool may be gigabytes


class Drains:
    """Reads until both are closed."""

    def __init__(
        self, stderr: IO[bytes] | None, stdout: IO[bytes] | None, on_stderr: Callable[[str], None] | None
    ) -> None:
        self._stdout: list[str] = []
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._on_stderr = on_stderr
        self._threads = [threading.Thread(target=self._read_stderr, args=(stderr,), daemon=True)]
        if stdout:
            self._threads.append(threading.Thread(target=self._read_stdout, args=(stdout,), daemon=True))
        for thread in self._threads:
            thread.start()

    def join(self, timeout: float | None = None) -> None:
        for thread in self._threads:
            thread.join(timeout)

    @property
    def stdout(self) -> str:
        return "".join(self._stdout)

    @property
    def stderr(self) -> str:
        return "\n".join(self._stderr)

    def _read_stdout(self, pipe: IO[bytes]) -> None:
        with pipe:
            self._stdout.append(pipe.read().decode("utf-8", "replace"))

    def _read_stderr(self, pipe: IO[bytes]) -> None:
        with pipe:
            while raw := pipe.readline(_LINE_BYTES):
                line = raw.decode("utf-8", "replace").rstrip("\n")
                self._stderr.append(line)
                if self._on_stderr:
                    self._on_stderr(line)
