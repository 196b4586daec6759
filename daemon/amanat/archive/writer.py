"""Writes a compressed custom archive into a seekable file, as ``pg_dump -Fc -f file`` would.

Header and table of contents are written twice, alike in length: first to keep their place, at the end with the
offset of each data block, by which ``pg_restore`` finds tables (``-t``, ``-L``) and shares them out (``-j``).
Chunk and block layout: see ``reader``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, Self

from isal import isal_zlib

from amanat.archive import header, toc, wire
from amanat.archive.compression import Codec, Conveyor, Stream, stream_maker
from amanat.archive.header import Header
from amanat.archive.reader import DATA_BLOCK, LARGE_OBJECTS_BLOCK
from amanat.archive.toc import DataState, Entry
from amanat.archive.wire import ArchiveError

_AGAIN_BYTES = 1024 * 1024
_OIDS_SIGNED = 2**31
_OIDS = 2**32


@dataclass(frozen=True, kw_only=True)
class Written:
    """The file as it lies there. ``contents`` with the offsets of the data."""

    header: Header
    contents: tuple[Entry, ...]
    sha256: str
    bytes: int


class Writer:
    """Blocks, large objects and pieces in the order of the calls. ``file`` is empty, and can be read as well."""

    def __init__(
        self, file: BinaryIO, head: Header, contents: tuple[Entry, ...], codec: Codec, threads: int
    ) -> None:
        self._new_stream = stream_maker(codec, head)
        self._header = replace(head, algorithm=codec.algorithm)
        self._contents = contents
        self._file = file
        self._offsets: dict[int, int] = {}
        self._conveyor = Conveyor(threads)
        self._crc32 = 0
        self._front = self._encoded(contents)
        self._position = self._file.write(self._front)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
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
        return Chunks(self._new_stream(), self._conveyor, self._write)

    def finish(self, check: Callable[[], None]) -> Written:
        """ArchiveError when the file does not read back as it was written."""
        self._conveyor.finish()
        contents = tuple(self._placed(entry) for entry in self._contents)
        self._front = self._encoded(contents)
        self._file.seek(0)
        self._file.write(self._front)
        self._file.flush()
        sha256 = self._read_back(check)
        return Written(header=self._header, contents=contents, sha256=sha256, bytes=self._position)

    def _encoded(self, contents: tuple[Entry, ...]) -> bytes:
        return header.encoded(self._header) + toc.encoded(contents, self._header.version)

    def _note_offset(self, dump_id: int) -> None:
        self._offsets[dump_id] = self._position

    def _placed(self, entry: Entry) -> Entry:
        if not entry.has_data:
            return entry
        return replace(entry, data_state=DataState.AT_OFFSET, data_offset=self._offsets[entry.dump_id])

    def _write_in_turn(self, data: bytes) -> None:
        self._conveyor.then(partial(self._write, data))

    def _write(self, data: bytes) -> None:
        self._crc32 = isal_zlib.crc32(data, self._crc32)
        self._position += self._file.write(data)

    def _read_back(self, check: Callable[[], None]) -> str:
        """SHA-256 of the whole file. A hash has to begin with what is known last, so it takes a second
        reading; the CRC-32 taken while writing shows that what is hashed is what was meant.
        """
        self._file.seek(0)
        sha256, crc32 = hashlib.sha256(front := self._file.read(len(self._front))), 0
        while data := self._file.read(_AGAIN_BYTES):
            check()
            sha256.update(data)
            crc32 = isal_zlib.crc32(data, crc32)
        if front != self._front or crc32 != self._crc32 or self._file.tell() != self._position:
            raise ArchiveError("the archive does not read back as it was written", hint="check the disk")
        return sha256.hexdigest()


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
