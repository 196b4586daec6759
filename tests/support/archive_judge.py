"""What a custom archive means, by a parser that shares nothing with the codec it judges.

Made from ReadHead, ReadToc and _PrintTocData of PostgreSQL 15 to 18. The places of the fields are noted on the way.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import zstandard

END_OF_ROWS = b"\\.\n\n\n"
_NONE, _GZIP, _ZSTD = 0, 1, 3


class NotAnArchiveError(Exception):
    """This parser cannot read it either."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """``kind``: byte, integer, string (its length included), chunk (likewise), entry, block."""

    kind: str
    start: int
    end: int


@dataclass(kw_only=True)
class Entry:
    number: int
    name: bytes | None
    schema: bytes | None
    fields: tuple[object, ...]
    copy: bytes | None
    has_data: bool
    data_state: int
    data_offset: int


@dataclass(kw_only=True)
class Block:
    """``data``: bytes of a table, or OID and bytes of each large object."""

    offset: int
    number: int
    data: bytes | list[tuple[int, bytes]]


@dataclass(kw_only=True)
class Judged:
    version: int
    algorithm: int = _NONE
    head: tuple[object, ...] = ()
    entries: list[Entry] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)

    @property
    def meaning(self) -> object:
        """Without what a rewriting may change: compression, offsets, how the data are cut."""
        entries = [(entry.number, entry.fields, entry.copy, entry.has_data) for entry in self.entries]
        return self.version, self.head, entries, [(block.number, block.data) for block in self.blocks]

    def misplaced(self) -> list[Entry]:
        """Entries whose offset does not lead to their data."""
        places = {block.number: block.offset for block in self.blocks}
        return [
            entry
            for entry in self.entries
            if (entry.data_state, entry.data_offset) != (2, places.get(entry.number)) and entry.has_data
        ]


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.spans = data, 0, list[Span]()

    def take(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise NotAnArchiveError(f"{size} bytes at {self.at} of {len(self.data)}")
        self.at += size
        return self.data[self.at - size : self.at]

    def noted(self, kind: str, read: Callable[[], object]) -> object:
        start = self.at
        found = read()
        self.spans.append(Span(kind=kind, start=start, end=self.at))
        return found

    def byte(self) -> int:
        return int(self.noted("byte", lambda: self.take(1)[0]))

    def integer(self) -> int:
        sign, size = struct.unpack("<BI", self.noted("integer", lambda: self.take(5)))
        return -size if sign else size

    def string(self) -> bytes | None:
        start, length = self.at, self.integer()
        found = None if length < 0 else self.take(length)
        self.spans.append(Span(kind="string", start=start, end=self.at))
        return found


def judged(data: bytes) -> Judged:
    """NotAnArchiveError if it is none, or not whole."""
    cursor = _Cursor(data)
    archive = _head(cursor)
    archive.spans = cursor.spans
    for _ in range(cursor.integer()):
        cursor.noted("entry", lambda: archive.entries.append(_entry(cursor, archive.version)))
    while cursor.at < len(data):
        cursor.noted("block", lambda: archive.blocks.append(_block(cursor, archive.algorithm)))
    awaited = [entry.number for entry in archive.entries if entry.has_data]
    if sorted(awaited) != sorted(block.number for block in archive.blocks):
        raise NotAnArchiveError("entries and blocks do not belong together")
    return archive


def _head(cursor: _Cursor) -> Judged:
    magic, major, version, revision, *sizes = struct.unpack("5s6B", cursor.take(11))
    if (magic, major, revision, sizes) != (b"PGDMP", 1, 0, [4, 8, 1]) or version not in (14, 15, 16):
        raise NotAnArchiveError("another form")
    algorithm = cursor.byte() if version >= 15 else min(abs(cursor.integer()), _GZIP)
    times = tuple(cursor.integer() for _ in range(7))
    names = tuple(cursor.string() for _ in range(3))
    return Judged(version=version, algorithm=algorithm, head=times + names)


def _entry(cursor: _Cursor, version: int) -> Entry:
    number, has_data = cursor.integer(), cursor.integer() != 0
    naming = [cursor.string() for _ in range(4)]
    section = cursor.integer()
    definition, drop, copy = (cursor.string() for _ in range(3))
    place = [cursor.string() for _ in range(3)]
    relkind = cursor.integer() if version >= 16 else 0
    owner, oids = cursor.string(), cursor.string()
    dependencies = []
    while (dependency := cursor.string()) is not None:
        dependencies.append(dependency)
    state = cursor.byte()
    return Entry(
        number=number,
        name=naming[2],
        schema=place[0],
        has_data=has_data,
        fields=(*naming, section, definition, drop, *place, relkind, owner, oids, *dependencies),
        copy=copy,
        data_state=state,
        data_offset=struct.unpack("<Q", cursor.take(8))[0],
    )


def _block(cursor: _Cursor, algorithm: int) -> Block:
    offset, kind, number = cursor.at, cursor.byte(), cursor.integer()
    if kind == 1:
        return Block(offset=offset, number=number, data=_data(cursor, algorithm))
    if kind != 3:
        raise NotAnArchiveError(f"block of type {kind}")
    objects = []
    while oid := cursor.integer():
        objects.append((oid % 2**32, _data(cursor, algorithm)))
    return Block(offset=offset, number=number, data=objects)


def _data(cursor: _Cursor, algorithm: int) -> bytes:
    chunks = []
    while True:
        start, length = cursor.at, cursor.integer()
        if not length:
            return _expanded(chunks, algorithm)
        chunks.append(cursor.take(length))
        cursor.spans.append(Span(kind="chunk", start=start, end=cursor.at))


def _expanded(chunks: list[bytes], algorithm: int) -> bytes:
    if algorithm == _GZIP:
        return _whole(zlib.decompressobj(), b"".join(chunks))
    if algorithm == _ZSTD:
        return b"".join(_whole(zstandard.ZstdDecompressor().decompressobj(), chunk) for chunk in chunks)
    return b"".join(chunks)


def _whole(stream: "zlib._Decompress | zstandard.ZstdDecompressionObj", data: bytes) -> bytes:
    """One stream, ended, with nothing behind it."""
    try:
        found = stream.decompress(data)
    except (zlib.error, zstandard.ZstdError) as exc:
        raise NotAnArchiveError(str(exc)) from exc
    if not stream.eof or stream.unused_data:
        raise NotAnArchiveError("the compressed data do not end where they should")
    return found
