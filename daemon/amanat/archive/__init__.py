"""The custom archive of pg_dump: ``pg_dump -Fc -Z0`` writes rows to a pipe faster than it compresses them, so the
stream is rewritten here, in one pass, as the compressed archive that stock ``pg_restore`` reads.

Formats 1.14 to 1.16 of PostgreSQL 12 to 18, learnt from ``pg_backup_archiver.c`` and ``pg_backup_custom.c``.
"""

from amanat.archive.compression import Codec
from amanat.archive.digest import LargeObjectsDigest, TableData
from amanat.archive.header import Algorithm, Header, Version
from amanat.archive.merging import Other, merge
from amanat.archive.passing import Progress
from amanat.archive.rewriting import Archive, rewrite
from amanat.archive.toc import DataState, Entry, Section
from amanat.archive.wire import ArchiveError, Readable, UnknownArchiveError, printable
from amanat.archive.writer import empty

__all__ = [
    "Algorithm",
    "Archive",
    "ArchiveError",
    "Codec",
    "DataState",
    "Entry",
    "Header",
    "LargeObjectsDigest",
    "Other",
    "Progress",
    "Readable",
    "Section",
    "TableData",
    "UnknownArchiveError",
    "Version",
    "empty",
    "merge",
    "printable",
    "rewrite",
]
