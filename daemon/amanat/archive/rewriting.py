"""From the uncompressed archive that ``pg_dump`` writes to the compressed one that is kept, in one pass."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from amanat.archive.compression import Codec
from amanat.archive.digest import CopyDigest, TableData
from amanat.archive.header import Header
from amanat.archive.reader import Reader
from amanat.archive.toc import Entry
from amanat.archive.writer import Writer


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``entry``: whose data are being read. ``bytes_done``: data read so far, before compression."""

    entry: Entry
    bytes_done: int
    blocks_done: int
    blocks_total: int


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The archive that was written. ``bytes`` and ``sha256``: of the file; ``data_bytes``: before compression.

    ``tables``: those whose rows came as COPY data, in the order of the file; rows as INSERT are not counted.
    """

    header: Header
    contents: tuple[Entry, ...]
    tables: tuple[TableData, ...]
    large_objects: int
    data_bytes: int
    bytes: int
    sha256: str


def rewrite(
    source: BinaryIO,
    target: BinaryIO,
    *,
    codec: Codec,
    threads: int,
    check: Callable[[], None],
    on_progress: Callable[[Progress], None],
) -> Archive:
    """Read ``source`` to its end, write ``target``: an empty file, open for writing and reading.

    Both are buffered. ``check`` is called before each read and may raise; so may the files (OSError).
    UnknownArchiveError: let pg_dump compress by itself. ArchiveError: damaged or cut off. After an error
    what is in ``target`` is worth nothing.
    """
    reader = Reader(source, check)
    with Writer(target, reader.header, reader.contents, codec, threads) as writer:
        passing = _Pass(reader, writer, on_progress)
        for entry in reader.blocks():
            passing.block(entry)
        written = writer.finish(check)
    return Archive(
        header=written.header,
        contents=written.contents,
        tables=tuple(passing.tables),
        large_objects=passing.large_objects,
        data_bytes=passing.bytes_done,
        bytes=written.bytes,
        sha256=written.sha256,
    )


class _Pass:
    """What adds up on the way through."""

    def __init__(self, reader: Reader, writer: Writer, on_progress: Callable[[Progress], None]) -> None:
        self._reader = reader
        self._writer = writer
        self._on_progress = on_progress
        self._blocks_total = sum(entry.has_data for entry in reader.contents)
        self._blocks_done = 0
        self.tables: list[TableData] = []
        self.large_objects = 0
        self.bytes_done = 0

    def block(self, entry: Entry) -> None:
        self._writer.begin_block(entry)
        if entry.has_large_objects:
            self._large_objects(entry)
        elif entry.copy:
            self._table(entry)
        else:
            self._other(entry)
        self._blocks_done += 1
        self._tell(entry)

    def _large_objects(self, entry: Entry) -> None:
        for oid in self._reader.large_objects():
            self._writer.begin_large_object(oid)
            self._other(entry)
            self.large_objects += 1
        self._writer.end_large_objects()

    def _table(self, entry: Entry) -> None:
        digest = CopyDigest(entry)
        for piece in self._carried(entry):
            digest.update(piece)
        self.tables.append(digest.result())

    def _other(self, entry: Entry) -> None:
        for _ in self._carried(entry):
            pass

    def _carried(self, entry: Entry) -> Iterator[bytes]:
        """Each piece on its way from reader to writer."""
        chunks = self._writer.stream()
        for piece in self._reader.pieces():
            chunks.add(piece)
            self.bytes_done += len(piece)
            self._tell(entry)
            yield piece
        chunks.end()

    def _tell(self, entry: Entry) -> None:
        self._on_progress(
            Progress(
                entry=entry,
                bytes_done=self.bytes_done,
                blocks_done=self._blocks_done,
                blocks_total=self._blocks_total,
            )
        )
