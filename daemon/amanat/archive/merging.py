"""One archive out of several streams that are read at once: a leading one, and others that bring tables' rows.

The leading stream is an archive of everything, but for the rows of some tables; each other one holds the rows of
some of those, taken in the same snapshot. Entries are matched by the tables' OIDs, since each ``pg_dump`` numbers
its entries by itself. A block must lie in one piece, so the others go to files of their own first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from isal import isal_zlib

from amanat.archive.blocks import Blocks
from amanat.archive.compression import Codec, stream_maker
from amanat.archive.passing import Pass, Progress
from amanat.archive.reader import Reader
from amanat.archive.rewriting import Archive
from amanat.archive.toc import Entry, Section
from amanat.archive.wire import ArchiveError, Readable, UnknownArchiveError
from amanat.archive.writer import Writer

_PG_CLASS = 1259
_ROWS = "TABLE DATA"
_MOVED_AT_ONCE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Other:
    """A stream that brings rows, and an empty file for them, open for writing and reading."""

    source: Readable
    file: BinaryIO


@dataclass(frozen=True, kw_only=True)
class _Part:
    other: Other
    blocks: Blocks
    passing: Pass


def merge(
    lead: Readable,
    others: Sequence[Other],
    target: BinaryIO,
    *,
    codec: Codec,
    threads: int,
    check: Callable[[], None],
    on_progress: Callable[[Progress], None],
    together: Callable[[Sequence[Callable[[], None]]], None],
) -> Archive:
    """As ``rewrite``. ``together`` does all of the work it is given at once, and raises what one of it raises.

    ``threads``: for each stream. ``on_progress`` is called by all of them, each with what it has done itself.
    """
    first, readers = Reader(lead, check), [Reader(other.source, check) for other in others]
    contents, numbered = _merged(first, readers)
    with Writer(target, first.header, contents, codec, threads) as writer:
        new_stream = stream_maker(codec, first.header)
        leading = Pass(first, writer.blocks, on_progress)
        parts = [
            _part(reader, other, Blocks(other.file, new_stream, threads), on_progress, numbers)
            for reader, other, numbers in zip(readers, others, numbered, strict=True)
        ]
        try:
            together([leading.all, *(part.passing.all for part in parts)])
        finally:
            for part in parts:
                part.blocks.close()
        for part in parts:
            _append(part, writer.blocks, check)
        written = writer.finish()
    return Archive.of(written, leading, *(part.passing for part in parts))


def _part(
    reader: Reader,
    other: Other,
    blocks: Blocks,
    on_progress: Callable[[Progress], None],
    numbers: dict[int, Entry],
) -> _Part:
    passing = Pass(reader, blocks, on_progress, lambda entry: numbers[entry.dump_id])
    return _Part(other=other, blocks=blocks, passing=passing)


def _merged(first: Reader, readers: Sequence[Reader]) -> tuple[tuple[Entry, ...], list[dict[int, Entry]]]:
    """The contents of the whole, and for each reader its own numbers → the entries there."""
    tables = {entry.oid: entry for entry in first.contents if entry.catalog == _PG_CLASS}
    number = max((entry.dump_id for entry in first.contents), default=0)
    brought: list[Entry] = []
    numbered: list[dict[int, Entry]] = []
    for reader in readers:
        _require_alike(first, reader)
        numbers: dict[int, Entry] = {}
        for entry in reader.contents:
            if entry.has_data:
                number += 1
                numbers[entry.dump_id] = _renumbered(entry, number, tables)
        brought += numbers.values()
        numbered.append(numbers)
    _require_once(entry for entry in (*first.contents, *brought) if entry.kind == _ROWS)
    return _with_rows(first.contents, brought), numbered


def _require_alike(first: Reader, reader: Reader) -> None:
    if (first.header.version, first.header.database) != (reader.header.version, reader.header.database):
        raise UnknownArchiveError("archives of two kinds or databases cannot be one")


def _require_once(rows: Iterable[Entry]) -> None:
    seen: set[int] = set()
    for entry in rows:
        if entry.oid in seen:
            raise UnknownArchiveError(f"two streams bring the rows of {entry.name}")
        seen.add(entry.oid)


def _renumbered(entry: Entry, number: int, tables: dict[int, Entry]) -> Entry:
    """Rows depend on their table alone (``makeTableDataInfo`` of ``pg_dump.c``), and restores look for that."""
    table = tables.get(entry.oid)
    if entry.kind != _ROWS or table is None:
        raise UnknownArchiveError(f"{entry.kind} {entry.name} in a stream that is to bring the rows of tables")
    return replace(entry, dump_id=number, dependencies=(table.dump_id,))


def _with_rows(contents: tuple[Entry, ...], brought: list[Entry]) -> tuple[Entry, ...]:
    """Behind the rows of the leading archive, as in the file: ``pg_restore --jobs`` takes the size of a table's
    rows from the distance to those that are next in the contents (``_PrepParallelRestore``).
    """
    later = (at for at, entry in enumerate(contents) if entry.section is Section.POST_DATA)
    place = next(later, len(contents))
    return (*contents[:place], *brought, *contents[place:])


def _append(part: _Part, blocks: Blocks, check: Callable[[], None]) -> None:
    """Move a part's blocks behind the others; its CRC-32 shows that they come back as they were written."""
    start, crc32, file = blocks.end, 0, part.other.file
    file.seek(0)
    while data := file.read(_MOVED_AT_ONCE):
        check()
        crc32 = isal_zlib.crc32(data, crc32)
        blocks.append(data)
    if (crc32, blocks.end - start) != (part.blocks.crc32, part.blocks.end):
        raise ArchiveError("a part of the archive does not read back as it was written", hint="check the disk")
    blocks.offsets.update({number: start + offset for number, offset in part.blocks.offsets.items()})
