"""How the custom format writes integers and strings, and a source that reads them without trusting them.

Facts from WriteInt, ReadInt, WriteStr and WriteOffset of PostgreSQL's ``pg_backup_archiver.c`` (12 to 18).
"""

import struct
import sys
from collections.abc import Callable
from typing import NoReturn, Protocol

from amanat.domain.errors import AmanatError

READ_BYTES = 256 * 1024
INTEGER = struct.Struct("<BI")  # sign, magnitude: no two's complement
_OFFSET = struct.Struct("<Q")
_LARGEST = 2**31 - 1
_STRING_BYTES = 16 * 1024 * 1024


class ArchiveError(AmanatError):
    """The stream is not a whole, undamaged archive."""

    kind = "archive"


class UnknownArchiveError(ArchiveError):
    """An archive of a form this codec was not made for; ``pg_dump`` may compress it by itself."""


class Readable(Protocol):
    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class Source:
    """Reads a stream once, in order. ``check`` is called before each read and may raise."""

    def __init__(self, file: Readable, check: Callable[[], None]) -> None:
        self._file = file
        self._check = check
        self._before = 0
        self.buffer = b""
        self.at = 0

    @property
    def position(self) -> int:
        return self._before + self.at

    def fill(self) -> None:
        """Bring more bytes behind those of ``buffer`` from ``at`` on; ArchiveError if there are none."""
        if not self._read():
            raise ArchiveError(
                f"the archive ends early, at byte {self.position + len(self.buffer) - self.at}",
                hint="its writer was stopped or failed; take the snapshot again",
            )

    def at_end(self) -> bool:
        return self.at == len(self.buffer) and not self._read()

    def take(self, size: int) -> bytes:
        while len(self.buffer) - self.at < size:
            self.fill()
        start = self.at
        self.at = start + size
        return self.buffer[start : self.at]

    def byte(self) -> int:
        return self.take(1)[0]

    def offset(self) -> int:
        return int(_OFFSET.unpack(self.take(_OFFSET.size))[0])

    def integer(self) -> int:
        sign, magnitude = INTEGER.unpack(self.take(INTEGER.size))
        if sign > 1 or magnitude > _LARGEST + sign or (sign and not magnitude):
            self.damaged("an integer that is none")
        return -magnitude if sign else int(magnitude)

    def string(self) -> bytes | None:
        length = self.integer()
        if length == -1:
            return None
        if length > _STRING_BYTES:
            raise UnknownArchiveError(f"a name or definition of {length} bytes, at byte {self.position}")
        if length < 0:
            self.damaged("a string of negative length")
        return self.take(length)

    def text(self) -> str | None:
        """In UTF-8; bytes of another encoding survive as surrogates, which ``text`` writes back as they were."""
        read = self.string()
        return None if read is None else sys.intern(read.decode("utf-8", "surrogateescape"))

    def decimal(self) -> int | None:
        """A number written as a string; None: the missing string that ends a list of them."""
        read = self.string()
        if read is None:
            return None
        if not read.isdigit() or len(read) > len(str(2**32)) or str(int(read)).encode() != read:
            self.damaged("a number that is none")
        return int(read)

    def damaged(self, what: str) -> NoReturn:
        raise ArchiveError(
            f"the archive is damaged: {what}, before byte {self.position}", hint="take the snapshot again"
        )

    def _read(self) -> bool:
        self._check()
        more = self._file.read(READ_BYTES)
        if more:
            self._before += self.at
            self.buffer = self.buffer[self.at :] + more
            self.at = 0
        return bool(more)


def printable(name: str | None) -> str:
    """A name fit for JSON and logs: bytes of another encoding than UTF-8 as ``\\xNN``."""
    raw = (name or "").encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def integer(value: int) -> bytes:
    return INTEGER.pack(value < 0, abs(value))


def string(value: bytes | None) -> bytes:
    return integer(-1) if value is None else integer(len(value)) + value


def text(value: str | None) -> bytes:
    return string(None if value is None else value.encode("utf-8", "surrogateescape"))


def decimal(value: int) -> bytes:
    return string(str(value).encode())


def offset(value: int) -> bytes:
    return _OFFSET.pack(value)
