"""What the rows of a table and all large objects come to, taken from their data on the way."""

import hashlib
from dataclasses import dataclass

from amanat.archive.toc import Entry
from amanat.archive.wire import ArchiveError

_END_OF_ROWS = b"\\.\n\n\n"  # pg_dump (dumpTableData_copy) ends COPY data by the mark and two empty lines
_OID_BYTES = 4
_MODULUS = 2**256
_HELD = len(_END_OF_ROWS) + 1  # the line feed of the last row as well


@dataclass(frozen=True, kw_only=True, slots=True)
class TableData:
    """Of exactly the rows, as ``COPY … TO STDOUT`` writes them: the end mark ``\\.`` belongs to neither value."""

    entry: Entry
    rows: int
    bytes: int
    sha256: str


class CopyDigest:
    """Fed with the data of one entry, end mark included; holds back the end until it knows that it is the end."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._sha256 = hashlib.sha256()
        self._rows = self._bytes = 0
        self._held = b""

    def update(self, piece: bytes) -> None:
        self._rows += piece.count(b"\n")  # within a row COPY writes it as \n (manual, COPY, text format)
        self._bytes += len(piece)
        if len(piece) <= _HELD:
            piece = self._held + piece
        else:
            self._sha256.update(self._held)
        self._sha256.update(memoryview(piece)[:-_HELD])
        self._held = piece[-_HELD:]

    def result(self) -> TableData:
        """ArchiveError when the rows do not end as they have to."""
        last, mark = self._held[: -len(_END_OF_ROWS)], self._held[-len(_END_OF_ROWS) :]
        if mark != _END_OF_ROWS or last not in (b"", b"\n"):
            raise ArchiveError(
                f"the archive is damaged: the rows of {self._entry.schema}.{self._entry.name} have no end mark",
                hint="take the snapshot again",
            )
        self._sha256.update(last)
        return TableData(
            entry=self._entry,
            rows=self._rows - _END_OF_ROWS.count(b"\n"),
            bytes=self._bytes - len(_END_OF_ROWS),
            sha256=self._sha256.hexdigest(),
        )


class LargeObjectsDigest:
    """The sum, modulo 2^256, of the SHA-256 of each object: of its OID in network order, then its content.

    A sum, because pg_dump orders them by owner and rights from 17 on, and a restore by something else again.
    """

    def __init__(self) -> None:
        self.count = 0
        self.sum = 0

    def begin(self, oid: int) -> "hashlib._Hash":
        """To be updated with the content, then handed to ``add``."""
        return hashlib.sha256(oid.to_bytes(_OID_BYTES, "big"))

    def add(self, digest: "hashlib._Hash") -> None:
        self.count += 1
        self.sum = (self.sum + int.from_bytes(digest.digest(), "big")) % _MODULUS

    def merge(self, other: "LargeObjectsDigest") -> None:
        self.count += other.count
        self.sum = (self.sum + other.sum) % _MODULUS

    @property
    def sha256(self) -> str:
        return f"{self.sum:064x}"
