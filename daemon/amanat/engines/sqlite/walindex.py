"""Reads the header of SQLite's WAL index, the ``-shm`` file (https://sqlite.org/walformat.html, section 2)."""

import struct
from dataclasses import dataclass

HEADER_BYTES = 96
FRAME_HEADER_BYTES = 24
WAL_HEADER_BYTES = 32
WAL_SALTS = slice(16, 24)
"""Where a WAL's own header has its salts, which change whenever the WAL starts anew."""

_COPY = struct.Struct("=IIIBBHII8s8s8s")  # version, unused, changes, valid, endianness, page size, frames, …
_VERSION = 3_007_000
_LARGEST_PAGE = 65_536  # a page size of 1 stands for it


@dataclass(frozen=True, kw_only=True)
class WalMark:
    """How far the WAL belongs to the database. ``frames``: 0 where nothing of it does."""

    frames: int
    page_size: int
    salts: bytes

    @property
    def wal_bytes(self) -> int:
        """Length of the WAL's beginning that holds these frames."""
        return WAL_HEADER_BYTES + self.frames * (FRAME_HEADER_BYTES + self.page_size) if self.frames else 0


def wal_mark(header: bytes) -> WalMark | None:
    """From the file's first bytes; None where they are not whole: a writer is at it, or nobody has filled it.

    The header stands there twice, and a writer changes one after the other.
    """
    first, second = header[: _COPY.size], header[_COPY.size : HEADER_BYTES]
    if len(header) < HEADER_BYTES or first != second:
        return None
    version, _, _, valid, _, page_size, frames, _, _, salts, _ = _COPY.unpack(first)
    if version != _VERSION or not valid:
        return None
    # 65536 is stored as 1: pages are powers of two, so the low bit is free (section 2.1, szPage)
    return WalMark(frames=frames, page_size=_LARGEST_PAGE if page_size == 1 else page_size, salts=salts)
