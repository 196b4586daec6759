"""Follows a file to the disk: syncs it, reads back what the disk has, compares that with what was written.

All that goes on while the file is still being written, one stretch after the other: no byte is read back before
an fdatasync(2) that covers it has returned and the page cache has been told to forget it.
"""

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from isal import isal_zlib

from amanat.domain.errors import AmanatError, IntegrityError, StoreError
from amanat.host import files
from amanat.ports.run import Control

_STRETCH = 4 * 1024 * 1024
_KEPT = 4  # stretches: one is hashed, one is compared, the disk is asked for the others
_PIECE = 256 * 1024  # stays in the processor's cache between reading and hashing
_POLL_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Seal:
    """Of a whole file as the disk gives it back, which is as it was written."""

    sha256: str
    crc32: int


class _AbandonedError(Exception):
    """Nobody waits for the seal any more."""


class Sealing:
    """A context, which ends its threads. ``advance`` while the file grows from front to back, then ``seal``.

    What lies before the mark that ``advance`` got must not change any more. ``revised``: it may, until ``seal``;
    then the file is synced as it grows, and read back at the end.
    """

    def __init__(self, path: Path, *, revised: bool = False) -> None:
        self.path = path
        self._revised = revised
        self._news = threading.Condition()
        self._far = {"written": 0, "synced": 0, "asked": 0, "compared": 0, "hashed": 0}
        self._final: int | None = None
        self._failure: OSError | AmanatError | None = None
        self._abandoned = False
        self._descriptor = -1
        self._buffers = [bytearray(_STRETCH) for _ in range(_KEPT)]
        self._sha256, self._crc32 = hashlib.sha256(), 0
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
        """The first ``written`` bytes are there, for good. From any thread."""
        with self._news:
            if not self._threads:
                self._start()
        self._mark("written", written)

    def follow(self) -> None:
        """``advance`` to where the file ends now."""
        self.advance(self.path.stat().st_size)

    def seal(self, control: Control) -> Seal:
        """Of the whole file, as long as it is now, once all of it has come back from the disk.

        IntegrityError when that is not what was written; StoreError.
        """
        size = max(self.path.stat().st_size, self._far["written"])
        self.advance(size)
        with self._news:
            self._final = size
            self._news.notify_all()
        while any(thread.is_alive() for thread in self._threads):
            self._threads[-1].join(_POLL_SECONDS)
            control.check()
        with files.explained(f"{self.path.name} cannot be written to the disk"):
            if self._failure:
                raise self._failure
        return Seal(sha256=self._sha256.hexdigest(), crc32=self._crc32)

    def _start(self) -> None:
        with files.explained(f"{self.path.name} cannot be read"):
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        for work in (self._sync, self._ask, self._compare, self._hash):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _AbandonedError:
            pass
        except (OSError, AmanatError) as exc:
            with self._news:
                self._failure, self._abandoned = self._failure or exc, True
                self._news.notify_all()

    def _sync(self) -> None:
        for _, end in self._stretches("written"):
            os.fdatasync(self._descriptor)
            self._mark("synced", end)

    def _ask(self) -> None:
        """Keep what was written, drop what the cache remembers, and have the disk read ahead."""
        if self._revised:
            self._await(lambda: self._final is not None)
            os.fdatasync(self._descriptor)
        for start, end in self._stretches("synced", most=_STRETCH):
            self._await(partial(self._is_near, start))
            written = self._kept(start)
            self._read(memoryview(written)[: end - start], start)
            os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(self._descriptor, start, end - start, os.POSIX_FADV_WILLNEED)
            self._mark("asked", end)

    def _is_near(self, start: int) -> bool:
        return start - self._far["hashed"] < _KEPT * _STRETCH

    def _kept(self, start: int) -> bytearray:
        """Where the written bytes of a stretch are kept until the disk's have come."""
        return self._buffers[start // _STRETCH % _KEPT]

    def _compare(self) -> None:
        found = bytearray(_PIECE)
        for start, end in self._stretches("asked", most=_STRETCH):
            written = memoryview(self._kept(start))[: end - start]
            for offset in range(0, end - start, _PIECE):
                piece = written[offset : offset + _PIECE]
                if len(piece) < _PIECE:
                    found = bytearray(len(piece))
                self._read(memoryview(found), start + offset)
                self._require_same(piece, found, start + offset)
            self._mark("compared", end)

    def _hash(self) -> None:
        """What is kept is by now known to be what the disk gave back."""
        for start, end in self._stretches("compared", most=_STRETCH):
            written = memoryview(self._kept(start))[: end - start]
            self._sha256.update(written)
            self._crc32 = isal_zlib.crc32(written, self._crc32)
            self._mark("hashed", end)

    def _require_same(self, written: memoryview, found: bytearray, start: int) -> None:
        if found != written:  # in this order by memcmp
            raise IntegrityError(
                f"{self.path.name} is not what was written: the disk gives back other bytes after {start}",
                hint="the disk or somebody changed it; check the device, take a new snapshot",
            )

    def _read(self, into: memoryview, start: int) -> None:
        count = os.preadv(self._descriptor, [into], start)
        if self._abandoned:
            raise _AbandonedError
        if count != len(into):
            raise StoreError(
                f"{self.path.name} ends after {start + count} bytes, before all that was written",
                hint="see who changes files in the store",
            )

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
        self._await(lambda: self._limit(before) > start or start == self._final)
        return self._limit(before)

    def _await(self, reached: Callable[[], bool]) -> None:
        with self._news:
            self._news.wait_for(lambda: self._abandoned or reached())
            if self._abandoned:
                raise _AbandonedError

    def _limit(self, before: tuple[str, ...]) -> int:
        """Whole stretches only, but for the last: no page of the next is dropped or kept along with one."""
        far = min(self._far[name] for name in before)
        return far if far == self._final else far - far % _STRETCH

    def _mark(self, name: str, far: int) -> None:
        with self._news:
            self._far[name] = max(far, self._far[name])
            self._news.notify_all()
