"""What the rows of a table come to, taken from its data on their way."""

import hashlib
from dataclasses import dataclass

from amanat.archive.toc import Entry
from amanat.archive.wire import ArchiveError

_END_OF_ROWS = b"\\.\n\n\n"  # pg_dump (dumpTableData_copy) ends COPY data by the mark and two empty lines
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
