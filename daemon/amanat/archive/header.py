"""The header of a custom archive: ReadHead and WriteHead of ``pg_backup_archiver.c``.

Versions 1.14 (PostgreSQL 12 to 15), 1.15 (16: a byte names the compression, where an integer gave zlib's level)
and 1.16 (17 and 18: the header of 1.15).
"""

from dataclasses import dataclass
from enum import IntEnum

from amanat.archive import wire
from amanat.archive.wire import Source, UnknownArchiveError

_MAGIC = b"PGDMP"
_SIZES_AND_FORMAT = bytes([4, 8, 1])  # of an integer, of an offset; archCustom
_DEFAULT_LEVEL = -1  # Z_DEFAULT_COMPRESSION, as pg_dump 12 to 15 write it; a reader asks only whether it is 0
CREATED_PARTS = 7


class Version(IntEnum):
    """The minor number; the major is 1, the revision 0."""

    TABLE_ACCESS_METHOD = 14
    ALGORITHM = 15
    RELKIND = 16


class Algorithm(IntEnum):
    """``pg_compress_algorithm`` of PostgreSQL's ``compression.h``."""

    NONE = 0
    GZIP = 1
    LZ4 = 2
    ZSTD = 3


@dataclass(frozen=True, kw_only=True)
class Header:
    """``created``: second, minute, hour, day, month from 0, years since 1900, daylight saving; no zone is told."""

    version: Version
    algorithm: Algorithm
    created: tuple[int, ...]
    database: str | None
    server: str | None
    client: str | None


def read(source: Source) -> Header:
    """UnknownArchiveError if it is none that we know."""
    version = _version(source)
    sizes = source.take(len(_SIZES_AND_FORMAT))
    if sizes != _SIZES_AND_FORMAT:
        raise UnknownArchiveError(
            f"an archive with sizes and format {tuple(sizes)}, expected custom format's (4, 8, 1)"
        )
    return Header(
        version=version,
        algorithm=_algorithm(source, version),
        created=tuple(source.integer() for _ in range(CREATED_PARTS)),
        database=source.text(),
        server=source.text(),
        client=source.text(),
    )


def encoded(header: Header) -> bytes:
    return b"".join(
        (
            _MAGIC,
            bytes([1, header.version, 0]),
            _SIZES_AND_FORMAT,
            _encoded_algorithm(header),
            *map(wire.integer, header.created),
            *map(wire.text, (header.database, header.server, header.client)),
        )
    )


def _version(source: Source) -> Version:
    if source.take(len(_MAGIC)) != _MAGIC:
        raise UnknownArchiveError("not an archive of pg_dump in custom format")
    major, minor, revision = source.take(3)
    if (major, revision) != (1, 0) or minor not in list(Version):
        raise UnknownArchiveError(f"archive version {major}.{minor}.{revision}; known are 1.14.0 to 1.16.0")
    return Version(minor)


def _algorithm(source: Source, version: Version) -> Algorithm:
    if version < Version.ALGORITHM:
        return Algorithm.GZIP if source.integer() else Algorithm.NONE
    number = source.byte()
    if number not in list(Algorithm):
        raise UnknownArchiveError(f"compression algorithm {number}")
    return Algorithm(number)


def _encoded_algorithm(header: Header) -> bytes:
    if header.version >= Version.ALGORITHM:
        return bytes([header.algorithm])
    return wire.integer(_DEFAULT_LEVEL if header.algorithm else 0)
