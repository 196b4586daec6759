"""From the uncompressed archive that ``pg_dump`` writes to the compressed one that is kept, in one pass."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from amanat.archive.compression import Codec
from amanat.archive.digest import LargeObjectsDigest, TableData
from amanat.archive.header import Header
from amanat.archive.passing import Pass, Progress
from amanat.archive.reader import Reader
from amanat.archive.toc import Entry
from amanat.archive.wire import Readable
from amanat.archive.writer import Writer, Written


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The archive that was written. ``bytes`` and ``crc32``: of the file; ``data_bytes``: before compression.
    ``large_objects_sha256``: see ``LargeObjectsDigest``.

    ``tables``: those whose rows came as COPY data, in the order of the file; rows as INSERT are not counted.
    """

    header: Header
    contents: tuple[Entry, ...]
    tables: tuple[TableData, ...]
    large_objects: int
    large_objects_sha256: str
    data_bytes: int
    bytes: int
    crc32: int

    @classmethod
    def of(cls, written: Written, *passed: Pass) -> "Archive":
        large_objects = LargeObjectsDigest()
        for each in passed:
            large_objects.merge(each.large_objects)
        return cls(
            header=written.header,
            contents=written.contents,
            tables=tuple(table for each in passed for table in each.tables),
            large_objects=large_objects.count,
            large_objects_sha256=large_objects.sha256,
            data_bytes=sum(each.bytes_done for each in passed),
            bytes=written.bytes,
            crc32=written.crc32,
        )


def rewrite(
    source: Readable,
    target: BinaryIO,
    *,
    codec: Codec,
    threads: int,
    check: Callable[[], None],
    on_progress: Callable[[Progress], None],
) -> Archive:
    """Read ``source`` to its end, write ``target``: an empty file.

    ``target`` is buffered. ``check`` is called before each read and may raise; so may the files (OSError).
    What is at the front of it is written once more at the end; who reads all of it back must find its CRC-32.
    UnknownArchiveError: let pg_dump compress by itself. ArchiveError: damaged or cut off. After an error
    what is in ``target`` is worth nothing.
    """
    reader = Reader(source, check)
    with Writer(target, reader.header, reader.contents, codec, threads) as writer:
        passed = Pass(reader, writer.blocks, on_progress)
        passed.all()
        written = writer.finish()
    return Archive.of(written, passed)
