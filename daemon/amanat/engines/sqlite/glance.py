"""A SQLite database's files at a glance: what its header says, and whether somebody has written since."""

import os
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.errors import SourceError
from amanat.engines.sqlite.connection import not_a_database

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100  # https://sqlite.org/fileformat.html section 1.3
_READ_VERSION = 19  # 1: rollback journal, 2: WAL
_WAL = 2
_CHANGE_COUNTER = slice(24, 28)
SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite may make beside a database, by the ending of its name."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The main file at a glance; two equal looks: nobody wrote to it in between."""

    inode: int
    size: int
    changed_ns: int
    change_counter: bytes
    wal: bool


Stamp = tuple[tuple[int, int, int] | None, ...]


def is_wal(path: Path) -> bool:
    """Whether the file is in WAL mode; not while this process has locks on it."""
    return look_at(path).wal


def look_at(path: Path) -> Look:
    try:
        with path.open("rb") as file:
            info, header = os.fstat(file.fileno()), file.read(_HEADER_BYTES)
    except OSError as exc:
        raise unreadable(path, exc) from exc
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise not_a_database(path)
    return Look(
        inode=info.st_ino,
        size=info.st_size,
        changed_ns=info.st_mtime_ns,
        change_counter=header[_CHANGE_COUNTER],
        wal=header[_READ_VERSION] == _WAL,
    )


def stamp_of(path: Path) -> Stamp:
    """Inode, size and time of change of the database and its WAL; no descriptor is opened, so no lock is lost.

    Two equal stamps: nobody committed anything in between.
    """
    return tuple(stamp(beside(path, ending)) for ending in ("", "-wal"))


def stamp(path: Path) -> tuple[int, int, int] | None:
    """An empty WAL counts as none: a reader makes one and takes it away again."""
    try:
        info = path.stat()
    except FileNotFoundError:
        return None
    return (info.st_ino, info.st_size, info.st_mtime_ns) if info.st_size else None


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def unreadable(path: Path, exc: OSError) -> SourceError:
    return SourceError(f"{path} cannot be read: {exc.strerror}", hint="let the user of the daemon read it")
