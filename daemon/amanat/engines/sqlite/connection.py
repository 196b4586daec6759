"""What every use of SQLite here shares: opening by URI, work that can be stopped, errors in our words."""

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from enum import StrEnum
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from amanat.domain.errors import AmanatError, SourceError, SpaceError, StoreError
from amanat.ports.run import Control

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
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

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


def without_safety(connection: sqlite3.Connection) -> None:
    """No journal and no sync: a file that a crash leaves half written was never a snapshot."""
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")


def attended(connection: sqlite3.Connection, control: Control, work: Callable[[], T]) -> T:
    """Do ``work`` in a thread while ``control`` is asked here; what it raises interrupts SQLite at once.

    A progress handler would not do: SQLite before 3.41 calls none while ``quick_check`` walks the pages.
    """
    (result,) = attended_together(control, {connection: work})
    return result


def attended_together(control: Control, works: Mapping[sqlite3.Connection, Callable[[], T]]) -> list[T]:
    """The same for several connections at once; the first failure interrupts the others and is raised."""
    control.check()
    with ThreadPoolExecutor(max_workers=len(works)) as pool:
        futures = [pool.submit(work) for work in works.values()]
        try:
            while wait(futures, timeout=_POLL_SECONDS, return_when=FIRST_EXCEPTION).not_done:
                for future in futures:
                    if future.done():
                        future.result()
                control.check()
        finally:
            while wait(futures, timeout=0).not_done:
                for connection in works:
                    connection.interrupt()
                wait(futures, timeout=_POLL_SECONDS)
    return [future.result() for future in futures]


def inside(artefact: Path, control: Control, work: Callable[[sqlite3.Connection], T]) -> T:
    """For a finished file that nobody changes."""
    with contextlib.closing(connect(artefact, Access.FROZEN)) as connection:
        return attended(connection, control, lambda: work(connection))


def is_busy(exc: sqlite3.Error) -> bool:
    return _primary(exc) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextlib.contextmanager
def translating(path: Path) -> Iterator[None]:
    """What SQLite raises inside, in our words."""
    try:
        yield
    except sqlite3.Error as exc:
        raise translated(exc, path) from exc
    except UnicodeDecodeError as exc:  # of a message that quotes a damaged schema
        raise _unreadable(path, exc) from exc


def translated(exc: sqlite3.Error, path: Path) -> AmanatError:
    """Our error for one that SQLite raised while ``path`` was copied into the store."""
    code = _primary(exc)
    if code == sqlite3.SQLITE_FULL:
        return _no_space(path)
    if _code(exc) in _ONLY_WHEN_WRITING:
        return _not_written(path, str(exc))
    if is_busy(exc):
        return SourceError(f"{path}: {exc}", hint="another process holds it; try again", transient=True)
    return _source_error(code, exc, path)


def unwritable(path: Path, exc: OSError) -> StoreError:
    """The same for an error of the system while the copy of ``path`` was written."""
    return _no_space(path) if exc.errno in _DISK_FULL else _not_written(path, exc.strerror or str(exc))


def _no_space(path: Path) -> SpaceError:
    return SpaceError(f"no space left for the copy of {path}", hint="free or add space in the store")


def _not_written(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"the copy of {path} cannot be written: {reason}",
        hint="see to the rights of the store, and whether its disk fails or is full",
    )


def _source_error(code: int, exc: sqlite3.Error, path: Path) -> SourceError:
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_database(path)
    if code in _NEEDS_MORE_RIGHTS:
        return SourceError(f"{path} cannot be opened: {exc}", hint="run Amanat as the owner of the database")
    if "no such module" in str(exc):
        return SourceError(f"{path}: {exc}", hint="this SQLite lacks it; take the whole database instead")
    return _unreadable(path, exc)


def _unreadable(path: Path, exc: Exception) -> SourceError:
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
