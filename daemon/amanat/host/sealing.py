"""Follows a file to the disk: hashes what is written, syncs it, and hashes what the disk gives back.

All that goes on at the same time, one a stretch behind the other, while the file is still being written: no byte
is read back before an fdatasync(2) that covers it has returned and the page cache has been told to forget it.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from amanat.domain.errors import StoreError
from amanat.host import files
from amanat.ports import Control

_STRETCH = 32 * 1024 * 1024
_PIECE = 256 * 1024  # stays in the processor's cache between reading and hashing
_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Seal:
    """``sha256``: of what was written. ``read_back``: of what the disk gave back, once it was on the disk."""

    sha256: str
    read_back: str


class _AbandonedError(Exception):
    """Nobody waits for the seal any more."""


class Sealing:
    """A context, which ends its threads. ``advance`` while the file grows from front to back, then ``seal``.

    What lies before the mark that ``advance`` got must not change any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._news = threading.Condition()
        self._far = {"written": 0, "hashed": 0, "synced": 0, "asked": 0}
        self._final: int | None = None
        self._failure: OSError | StoreError | None = None
        self._abandoned = False
        self._descriptor = -1
        self._written, self._read_back = hashlib.sha256(), hashlib.sha256()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._news:
            self._abandoned = True
            self._news.notify_all()
        for thread in self._threads:
            thread.join()
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def advance(self, written: int) -> None:
        """The first ``written`` bytes are there, for good."""
        if not self._threads:
            self._start()
        self._mark("written", written)

    def seal(self, control: Control) -> Seal:
        """Waits until the whole file, as long as it is now, has been dealt with. StoreError."""
        size = max(self._path.stat().st_size, self._far["written"])
        self.advance(size)
        with self._news:
            self._final = size
            self._news.notify_all()
        while any(thread.is_alive() for thread in self._threads):
            self._threads[-1].join(_POLL_SECONDS)
            control.check()
        with files.explained(f"{self._path.name} cannot be written to the disk"):
            if self._failure:
                raise self._failure
        return Seal(sha256=self._written.hexdigest(), read_back=self._read_back.hexdigest())

    def _start(self) -> None:
        with files.explained(f"{self._path.name} cannot be read"):
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        for work in (self._hash, self._sync, self._ask, self._reread):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _AbandonedError:
            pass
        except (OSError, StoreError) as exc:
            with self._news:
                self._failure, self._abandoned = self._failure or exc, True
                self._news.notify_all()

    def _hash(self) -> None:
        for start, end in self._stretches("written"):
            self._feed(self._written, start, end)
            self._mark("hashed", end)

    def _sync(self) -> None:
        for _, end in self._stretches("written"):
            os.fdatasync(self._descriptor)
            self._mark("synced", end)

    def _ask(self) -> None:
        """Drop what the cache remembers and have the disk read ahead, while ``_reread`` is busy hashing."""
        for start, end in self._stretches("hashed", "synced", most=_STRETCH):
            os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_WILLNEED)
            self._mark("asked", end)

    def _reread(self) -> None:
        for start, end in self._stretches("asked"):
            self._feed(self._read_back, start, end)

    def _feed(self, digest: "hashlib._Hash", start: int, end: int) -> None:
        buffer = memoryview(bytearray(_PIECE))
        while start < end:
            count = os.preadv(self._descriptor, [buffer[: end - start]], start)
            if self._abandoned:
                raise _AbandonedError
            if not count:
                raise StoreError(
                    f"{self._path.name} ends after {start} bytes, before all that was written",
                    hint="see who changes files in the store",
                )
            digest.update(buffer[:count])
            start += count

    def _stretches(self, *before: str, most: int = sys.maxsize) -> Iterator[tuple[int, int]]:
        """From the front to the end of the file, each as soon as all of ``before`` have come so far."""
        start = 0
        while start != self._final:
            end = min(self._awaited(before, start), start + most)
            if end > start:
                yield start, end
            start = end

    def _awaited(self, before: tuple[str, ...], start: int) -> int:
        """How far all of ``before`` are, once that is past ``start`` or the end of the file."""
        with self._news:
            self._news.wait_for(lambda: self._abandoned or self._limit(before) > start or start == self._final)
            if self._abandoned:
                raise _AbandonedError
            return self._limit(before)

    def _limit(self, before: tuple[str, ...]) -> int:
        """Whole stretches only, but for the last: no page of the next is dropped or kept along with one."""
        far = min(self._far[name] for name in before)
        return far if far == self._final else far - far % _STRETCH

    def _mark(self, name: str, far: int) -> None:
        with self._news:
            self._far[name] = far
            self._news.notify_all()
