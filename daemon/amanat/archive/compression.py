"""Compresses data streams piece by piece, so that pieces of one stream can be worked on at the same time.

gzip: one zlib stream (RFC 1950) of raw deflate pieces that each end at a byte boundary (sync flush, RFC 1951),
an empty last block and the Adler-32 over all. zstd: a frame for each piece; ``pg_restore`` (``compress_zstd.c``,
16 to 18) starts anew with each chunk after a frame's end, so a frame has to be a chunk.
"""

import zlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import zstandard
from isal import isal_zlib

from amanat.archive.header import Algorithm, Header, Version
from amanat.archive.wire import ArchiveError

_ZLIB_HEADER = b"\x78\x01"
_EMPTY_LAST_BLOCK = b"\x03\x00"
_RAW = -15
_HIGHEST_OF_ISAL = 3


@dataclass(frozen=True, kw_only=True)
class Codec:
    """``level``: of gzip 1 to 3 by ISA-L, 4 to 9 by zlib, several times slower; of zstd 1 to 22."""

    algorithm: Algorithm
    level: int = 1


class Stream(Protocol):
    """The data of one entry or large object; ``job`` is called in order, what it returns on any thread."""

    def opening(self) -> bytes: ...
    def job(self, piece: bytes) -> Callable[[], bytes]: ...
    def closing(self) -> bytes: ...


class Plain:
    """As it is."""

    def opening(self) -> bytes:
        return b""

    def job(self, piece: bytes) -> Callable[[], bytes]:
        return partial(bytes, piece)

    def closing(self) -> bytes:
        return b""


class Gzip:
    def __init__(self, level: int) -> None:
        self._level = level
        self._adler32 = 1

    def opening(self) -> bytes:
        return _ZLIB_HEADER

    def job(self, piece: bytes) -> Callable[[], bytes]:
        self._adler32 = isal_zlib.adler32(piece, self._adler32)
        return partial(_deflated, piece, self._level)

    def closing(self) -> bytes:
        return _EMPTY_LAST_BLOCK + self._adler32.to_bytes(4, "big")


class Zstd(Plain):
    def __init__(self, level: int) -> None:
        self._level = level

    def job(self, piece: bytes) -> Callable[[], bytes]:
        return partial(_framed, piece, self._level)


def stream_maker(codec: Codec, header: Header) -> Callable[[], Stream]:
    """ArchiveError for what a reader of this archive's version cannot read."""
    if codec.algorithm is Algorithm.NONE:
        return Plain
    if codec.algorithm is Algorithm.GZIP:
        return partial(Gzip, codec.level)
    if codec.algorithm is Algorithm.ZSTD and header.version >= Version.ALGORITHM:
        return partial(Zstd, codec.level)
    raise ArchiveError(
        f"an archive of version 1.{header.version.value} cannot be compressed with {codec.algorithm.name.lower()}",
        hint="use gzip",
    )


class Conveyor:
    """Does steps in the order they were given, jobs among them on threads; holds a few pieces for each thread."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="archive")
        self._steps: deque[Callable[[], None]] = deque()
        self._most_jobs = 2 * threads + 1
        self._most_steps = 64 * threads
        self._jobs = 0

    def then(self, step: Callable[[], None]) -> None:
        self._steps.append(step)
        while len(self._steps) > self._most_steps:  # of empty large objects, which make no jobs
            self._steps.popleft()()

    def work(self, job: Callable[[], bytes], use: Callable[[bytes], None]) -> None:
        """Waits when too many are under way: whoever brings data is slowed down to what can be written."""
        while self._jobs >= self._most_jobs:
            self._steps.popleft()()
        self._jobs += 1
        self._steps.append(partial(self._finish, self._pool.submit(job), use))

    def finish(self) -> None:
        while self._steps:
            self._steps.popleft()()

    def close(self) -> None:
        self._steps.clear()
        self._pool.shutdown(cancel_futures=True)

    def _finish(self, future: Future[bytes], use: Callable[[bytes], None]) -> None:
        self._jobs -= 1
        use(future.result())


def _deflated(piece: bytes, level: int) -> bytes:
    library = isal_zlib if level <= _HIGHEST_OF_ISAL else zlib
    deflate = library.compressobj(level, library.DEFLATED, _RAW)
    return bytes(deflate.compress(piece) + deflate.flush(library.Z_SYNC_FLUSH))


def _framed(piece: bytes, level: int) -> bytes:
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(piece)
