"""Opens the application's database at one instant, and leaves its folder as it was.

SQLite cannot read a WAL database without its ``-wal`` and ``-shm`` files; a read-only connection makes
them and leaves them behind (https://sqlite.org/wal.html, section 5). So where they are missing, either a
connection that may write makes *and removes* them, or the main file is read alone and watched for changes.
"""

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from amanat.domain.errors import SourceError, TimeoutExceededError
from amanat.engines.sqlite.connection import Access, connect, is_busy, translating
from amanat.engines.sqlite.glance import Look, Stamp, beside, look_at, stamp, stamp_of, unreadable
from amanat.ports.run import Control

_WAIT_SECONDS = 0.1
_ATTEMPTS = 3

T = TypeVar("T")

_in_use: set[tuple[int, int]] = set()
_released = threading.Condition()


class SourceChangedError(SourceError):
    """Somebody wrote to a database that could only be read without locks; what was read is worthless."""


@dataclass(frozen=True, kw_only=True)
class OpenSource:
    """A connection inside a read transaction that stays open: all that is read is of one instant.

    ``stamp``: how the files were before it was opened; see ``stamp_of``.
    """

    path: Path
    connection: sqlite3.Connection
    access: Access
    wal: bool
    stamp: Stamp
    descriptors: contextlib.ExitStack

    @property
    def page_size(self) -> int:
        return self._number("page_size")

    @property
    def size(self) -> int:
        """Bytes of the database, committed changes in its WAL included."""
        return self.page_size * self._number("page_count")

    @property
    def user_version(self) -> int:
        return self._number("user_version")

    def open(self, ending: str = "") -> int:
        """A descriptor of the database or a file beside it, to read from.

        It stays open until SQLite is done: closing any descriptor of a file drops all locks that this
        process has on it, SQLite's too (https://sqlite.org/howtocorrupt.html, section 2.2).
        """
        try:
            descriptor = os.open(beside(self.path, ending), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            raise unreadable(beside(self.path, ending), exc) from exc
        self.descriptors.callback(os.close, descriptor)
        return descriptor

    def begin_anew(self, control: Control) -> None:
        """Another instant: the newest."""
        self.connection.execute("ROLLBACK")
        self.connection.execute("BEGIN")
        _read_once(self.connection, self.path, control)

    def _number(self, pragma: str) -> int:
        return int(self.connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def persistently(work: Callable[[], T]) -> T:
    """For a source that can only be read without locks, and may be written to meanwhile."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(SourceChangedError):
            return work()
    return work()


@contextlib.contextmanager
def opened(path: Path, control: Control) -> Iterator[OpenSource]:
    """Waits for locks as long as ``control`` allows. SourceError, or on leaving SourceChangedError."""
    real = _regular_file(path)
    with alone(real, control), translating(real), contextlib.ExitStack() as descriptors:
        look, before = look_at(real), stamp_of(real)
        _require_wal_told(real, look)  # before SQLite makes an index for it
        access, connection = _pinned(real, look, control)
        watch = _watched(real, look) if access is Access.FROZEN else contextlib.nullcontext()
        with contextlib.closing(connection), watch:
            _require_wal_told(real, look)  # and from here on none can come
            _require_mode(connection, access, real, wal=look.wal)
            yield OpenSource(
                path=real,
                connection=connection,
                access=access,
                wal=look.wal,
                stamp=before,
                descriptors=descriptors,
            )


@contextlib.contextmanager
def _watched(path: Path, look: Look) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error:
        _require_unchanged(path, look)  # a file that changes seems damaged to a reader without locks
        raise
    _require_unchanged(path, look)


def _regular_file(path: Path) -> Path:
    try:
        real = Path(os.path.realpath(path, strict=True))
        info = real.stat()
    except FileNotFoundError as exc:
        raise SourceError(f"{path} does not exist", hint="correct the path, or create the database first") from exc
    except (OSError, ValueError) as exc:
        raise SourceError(f"{path} cannot be reached: {exc}", hint="correct the path or its rights") from exc
    if not stat.S_ISREG(info.st_mode):
        raise SourceError(f"{path} is not a file", hint="name the database file itself")
    if info.st_size == 0:
        raise SourceError(f"{path} is empty, not a database", hint="correct the path, or restore the file")
    return real


@contextlib.contextmanager
def alone(path: Path, control: Control) -> Iterator[None]:
    """POSIX locks belong to the process: one run closing the file would drop the locks of another run."""
    info = path.stat()
    key = (info.st_dev, info.st_ino)
    with _released:
        while key in _in_use:
            _released.wait(_WAIT_SECONDS)
            control.check()
        _in_use.add(key)
    try:
        yield
    finally:
        with _released:
            _in_use.remove(key)
            _released.notify_all()


def _pinned(path: Path, look: Look, control: Control) -> tuple[Access, sqlite3.Connection]:
    access = _access(path) if look.wal else Access.READ
    try:
        return access, _begun(path, access, control)
    except sqlite3.OperationalError as exc:
        if getattr(exc, "sqlite_errorcode", None) != sqlite3.SQLITE_READONLY_ROLLBACK:
            raise
        if not _may_tidy(path):
            raise SourceError(
                f"{path} was left in the middle of a transaction, which only its owner can roll back",
                hint="start the application, or run Amanat as the owner of the database",
            ) from exc
        return Access.WRITE, _begun(path, Access.WRITE, control)


def _access(path: Path) -> Access:
    """How to open a database in WAL mode."""
    wal, shm = beside(path, "-wal"), beside(path, "-shm")
    if wal.exists() and shm.exists():
        return Access.READ
    if _may_tidy(path):
        return Access.WRITE
    if wal.exists() and wal.stat().st_size:
        raise SourceError(
            f"{wal} holds changes that only the owner of the database can read, for there is no {shm.name}",
            hint="start the application, or run Amanat as the owner of the database",
        )
    return Access.FROZEN


def _may_tidy(path: Path) -> bool:
    """Whether SQLite may make side files here: the owner's, or root's, which SQLite hands to the owner."""
    ours = os.geteuid() in (0, path.stat().st_uid)
    return ours and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)


def _begun(path: Path, access: Access, control: Control) -> sqlite3.Connection:
    connection = connect(path, access)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        _read_once(connection, path, control)
    except BaseException:
        connection.close()
        raise
    return connection


def _read_once(connection: sqlite3.Connection, path: Path, control: Control) -> None:
    """The first read takes the lock that pins the instant; until then other processes may hold us up."""
    while True:
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError as exc:
            if not is_busy(exc):
                raise
            _check_while_locked(path, control)
        else:
            return


def _check_while_locked(path: Path, control: Control) -> None:
    try:
        control.check()
    except TimeoutExceededError as exc:
        raise TimeoutExceededError(
            f"{path} was locked by another process for longer than the timeout",
            hint="see who holds it (fuser), or raise the policy's timeout",
        ) from exc


def _require_wal_told(path: Path, look: Look) -> None:
    """SQLite reads a WAL that is there, whatever the header says (pager.c, pagerOpenWalIfPresent)."""
    wal = beside(path, "-wal")
    if not look.wal and stamp(wal):
        raise SourceError(
            f"{wal} lies beside a database that should have none",
            hint="an older file seems to lie in the place of a newer database: see with sqlite3 what it holds",
            transient=True,  # or somebody has just changed the journal mode
        )


def _require_mode(connection: sqlite3.Connection, access: Access, path: Path, *, wal: bool) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    if access is not Access.FROZEN and (mode == "wal") != wal:
        raise SourceError(f"{path} has just changed its journal mode", hint="try again", transient=True)


def _require_unchanged(path: Path, look: Look) -> None:
    wal = beside(path, "-wal")
    if look_at(path) != look or (wal.exists() and wal.stat().st_size):
        raise SourceChangedError(
            f"{path} changed while it was read without locks",
            hint="run Amanat as the owner of the database, so that it can lock it",
            transient=True,
        )
