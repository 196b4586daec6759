"""Reads an uncompressed custom archive once, as ``pg_dump -Fc -Z0`` writes it to a pipe.

After the table of contents come the data blocks (``pg_backup_custom.c`` of PostgreSQL 12 to 18): a byte for the
type, the entry's number, then chunks, each after its length, up to a length of 0. A block of large objects holds
for each of them its OID, as a signed integer, and its chunks; OID 0 ends it. Nothing marks the end of
an archive: it is whole when every entry with data has had its block.
"""

from collections.abc import Callable, Iterator

from amanat.archive import header, toc
from amanat.archive.header import Algorithm
from amanat.archive.toc import Entry
from amanat.archive.wire import INTEGER, ArchiveError, Readable, Source, UnknownArchiveError

PIECE_BYTES = 1024 * 1024
DATA_BLOCK = 1
LARGE_OBJECTS_BLOCK = 3
_OIDS = 2**32


class Reader:
    """Header and contents are read at once; then ``blocks``, and within each its large objects and ``pieces``."""

    def __init__(self, file: Readable, check: Callable[[], None]) -> None:
        self._source = Source(file, check)
        self.header = header.read(self._source)
        if self.header.algorithm is not Algorithm.NONE:
            raise UnknownArchiveError(
                f"an archive that is compressed already, by {self.header.algorithm.name.lower()}"
            )
        self.contents = toc.read(self._source, self.header.version)
        self._awaited = {entry.dump_id: entry for entry in self.contents if entry.has_data}
        self._left_of_chunk = 0

    def blocks(self) -> Iterator[Entry]:
        """Whose data come next; they are to be read before the next is asked for."""
        while not self._source.at_end():
            yield self._block()
        if self._awaited:
            first = next(iter(self._awaited.values()))
            raise ArchiveError(
                f"the archive ends early: {len(self._awaited)} entries lack data; first {first.kind} {first.name}",
                hint="its writer was stopped or failed; take the snapshot again",
            )

    def large_objects(self) -> Iterator[int]:
        """OIDs; the pieces of each are to be read before the next is asked for."""
        while oid := self._source.integer():
            yield oid % _OIDS

    def pieces(self) -> Iterator[bytes]:
        """The data of an entry or a large object, joined to about PIECE_BYTES, the last one less."""
        more = True
        while more:
            parts: list[bytes] = []
            enough = self._source.position + PIECE_BYTES
            while more and self._source.position < enough:
                more = self._advance(parts)
            if parts:
                yield b"".join(parts)

    def _block(self) -> Entry:
        kind = self._source.byte()
        if kind not in (DATA_BLOCK, LARGE_OBJECTS_BLOCK):
            raise UnknownArchiveError(f"a data block of type {kind}, before byte {self._source.position}")
        entry = self._awaited.pop(self._source.integer(), None)
        if entry is None:
            self._source.damaged("a data block that no entry waits for")
        if entry.has_large_objects != (kind == LARGE_OBJECTS_BLOCK):
            self._source.damaged(f"a data block of type {kind} for {entry.kind}")
        return entry

    def _advance(self, parts: list[bytes]) -> bool:
        """Append what lies in the buffer; False at the end of the data."""
        if self._left_of_chunk:
            parts.append(self._rest_of_chunk())
            return True
        _append_whole_chunks(self._source, parts)
        length = self._source.integer()
        if length < 0:
            self._source.damaged("a chunk of negative length")
        self._left_of_chunk = length
        return length > 0

    def _rest_of_chunk(self) -> bytes:
        """Or as much of it as there is: a chunk may be larger than the memory we allow ourselves."""
        source = self._source
        if source.at == len(source.buffer):
            source.fill()
        part = source.buffer[source.at : source.at + self._left_of_chunk]
        source.at += len(part)
        self._left_of_chunk -= len(part)
        return part


def _append_whole_chunks(source: Source, parts: list[bytes]) -> None:
    """The hot loop: pg_dump writes a chunk for each row."""
    buffer, end = source.buffer, len(source.buffer)
    unpack, size, append = INTEGER.unpack_from, INTEGER.size, parts.append
    start = source.at + size
    while start <= end:
        sign, length = unpack(buffer, start - size)
        stop = start + length
        if sign or not length or stop > end:
            break
        append(buffer[start:stop])
        start = stop + size
    source.at = start - size
