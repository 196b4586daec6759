"""Appends compressed data blocks to a file. Chunk and block layout: see ``reader``."""

from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from isal import isal_zlib

from amanat.archive import wire
from amanat.archive.compression import Conveyor, Stream
from amanat.archive.reader import DATA_BLOCK, LARGE_OBJECTS_BLOCK
from amanat.archive.toc import Entry

_OIDS_SIGNED = 2**31
_OIDS = 2**32


class Blocks:
    """Blocks, large objects and pieces in the order of the calls.

    ``offsets``: where each entry's block begins. ``crc32``: of all that was written here; ``end``: where it ends.
    """

    def __init__(self, file: BinaryIO, new_stream: Callable[[], Stream], threads: int, start: int = 0) -> None:
        self._file = file
        self._new_stream = new_stream
        self._conveyor = Conveyor(threads)
        self.offsets: dict[int, int] = {}
        self.crc32 = 0
        self.end = start

    def close(self) -> None:
        """Whatever is still under way is given up."""
        self._conveyor.close()

    def begin_block(self, entry: Entry) -> None:
        kind = LARGE_OBJECTS_BLOCK if entry.has_large_objects else DATA_BLOCK
        self._conveyor.then(partial(self._note_offset, entry.dump_id))
        self._write_in_turn(bytes([kind]) + wire.integer(entry.dump_id))

    def begin_large_object(self, oid: int) -> None:
        self._write_in_turn(wire.integer(oid if oid < _OIDS_SIGNED else oid - _OIDS))

    def end_large_objects(self) -> None:
        self._write_in_turn(wire.integer(0))

    def stream(self) -> "Chunks":
        """For the data of a block or of a large object."""
        return Chunks(self._new_stream(), self._conveyor, self.append)

    def finish(self) -> None:
        """All that was given is with the file now."""
        self._conveyor.finish()

    def append(self, data: bytes) -> None:
        """At once, as it is."""
        self.crc32 = isal_zlib.crc32(data, self.crc32)
        self.end += self._file.write(data)

    def _note_offset(self, dump_id: int) -> None:
        self.offsets[dump_id] = self.end

    def _write_in_turn(self, data: bytes) -> None:
        self._conveyor.then(partial(self.append, data))


class Chunks:
    """A compressed stream as chunks: length, data; length 0 at the end."""

    def __init__(self, stream: Stream, conveyor: Conveyor, write: Callable[[bytes], None]) -> None:
        self._stream = stream
        self._conveyor = conveyor
        self._write = write
        self._chunk_in_turn(stream.opening())

    def add(self, piece: bytes) -> None:
        self._conveyor.work(self._stream.job(piece), self._chunk)

    def end(self) -> None:
        self._chunk_in_turn(self._stream.closing())
        self._conveyor.then(partial(self._write, wire.integer(0)))

    def _chunk_in_turn(self, data: bytes) -> None:
        self._conveyor.then(partial(self._chunk, data))

    def _chunk(self, data: bytes) -> None:
        if data:  # length 0 would end the chunks
            self._write(wire.integer(len(data)))
            self._write(data)
