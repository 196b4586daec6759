"""All data blocks of one stream on their way from reader to file, and what adds up on the way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from amanat.archive.blocks import Blocks
from amanat.archive.digest import CopyDigest, LargeObjectsDigest, TableData
from amanat.archive.reader import Reader
from amanat.archive.toc import Entry


@dataclass(frozen=True, kw_only=True)
class Progress:
    """``entry``: whose data are being read. ``bytes_done``: data read so far, before compression."""

    entry: Entry
    bytes_done: int
    blocks_done: int
    blocks_total: int


class Pass:
    """``numbered``: the entry under which a block is written, where that is not the one it was read under."""

    def __init__(
        self,
        reader: Reader,
        blocks: Blocks,
        on_progress: Callable[[Progress], None],
        numbered: Callable[[Entry], Entry] = lambda entry: entry,
    ) -> None:
        self._reader = reader
        self._blocks = blocks
        self._on_progress = on_progress
        self._numbered = numbered
        self._blocks_total = sum(entry.has_data for entry in reader.contents)
        self._blocks_done = 0
        self.tables: list[TableData] = []
        self.large_objects = LargeObjectsDigest()
        self.bytes_done = 0

    def all(self) -> None:
        """To the end of the stream; nothing of it is under way any more afterwards."""
        for entry in self._reader.blocks():
            self._block(self._numbered(entry))
        self._blocks.finish()

    def _block(self, entry: Entry) -> None:
        self._blocks.begin_block(entry)
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
            self._blocks.begin_large_object(oid)
            content = self.large_objects.begin(oid)
            for piece in self._carried(entry):
                content.update(piece)
            self.large_objects.add(content)
        self._blocks.end_large_objects()

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
        chunks = self._blocks.stream()
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
