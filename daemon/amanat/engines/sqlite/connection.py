"""What every use of SQLite here shares: opening by URI, work that can be stopped, errors in our words."""

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from amanat.domain.errors import AmanatError, SourceError, SpaceError, StoreError
from amanat.ports import Control

_POLL_SECONDS = 0.05
_PRIMARY = 0xFF  # an extended result code carries its primary code in the low byte
_NEEDS_MORE_RIGHTS = {
    sqlite3.SQLITE_AUTH,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_ONLY_WHEN_WRITING = {
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_WRITE,
}

T = TypeVar("T")


class Access(StrEnum):
    """How a file is opened; none of them creates it (https://sqlite.org/uri.html)."""

    READ = "mode=ro"
    WRITE = "mode=rw"
    FROZEN = "mode=ro&immutable=1"
    """No lock is taken and no file made beside it: for a file that nobody changes."""


def connect(path: Path, access: Access) -> sqlite3.Connection:
    """In autocommit mode; a lock of another process shows as SQLITE_BUSY after a tenth of a second."""
    uri = f"file:{quote(os.fsencode(path))}?{access}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.1, check_same_thread=False)


def attended(connection: sqlite3.Connection, control: Control, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread while ``control`` is asked here; what it raises interrupts SQLite at once.

    A progress handler would not do: SQLite before 3.41 calls none while ``quick_check`` walks the pages.
    """
    control.check()
    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(work)
        try:
            while not wait((future,), timeout=_POLL_SECONDS).done:
                control.check()
        finally:
            while not future.done():
                connection.interrupt()
                wait((future,), timeout=_POLL_SECONDS)
    return future.result()


def is_busy(exc: sqlite3.Error) -> bool:
    return _primary(exc) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translated(exc: sqlite3.Error, path: Path) -> AmanatError:
    """Our error for one that SQLite raised while ``path`` was copied into the store."""
    code = _primary(exc)
    if code == sqlite3.SQLITE_FULL:
        return SpaceError(f"no space left for the copy of {path}", hint="free or add space in the store")
    if _code(exc) in _ONLY_WHEN_WRITING:
        return StoreError(
            f"the copy of {path} cannot be written: {exc}",
            hint="see whether the store's disk fails or is full",
        )
    if is_busy(exc):
        return SourceError(f"{path}: {exc}", hint="another process holds it; try again", transient=True)
    return _source_error(code, exc, path)


def _source_error(code: int, exc: sqlite3.Error, path: Path) -> SourceError:
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_database(path)
    if code in _NEEDS_MORE_RIGHTS:
        return SourceError(f"{path} cannot be opened: {exc}", hint="run Amanat as the owner of the database")
    if "no such module" in str(exc):
        return SourceError(f"{path}: {exc}", hint="this SQLite lacks it; take the whole database instead")
    return SourceError(
        f"{path} cannot be read: {exc}", hint="ask the database itself: sqlite3 FILE 'PRAGMA integrity_check'"
    )


def not_a_database(path: Path) -> SourceError:
    return SourceError(
        f"{path} is not a SQLite database", hint="correct the path; an encrypted database cannot be read"
    )


def _primary(exc: sqlite3.Error) -> int:
    return _code(exc) & _PRIMARY


def _code(exc: sqlite3.Error) -> int:
    """Errors of the Python module itself, such as undecodable text, have no code."""
    return getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
