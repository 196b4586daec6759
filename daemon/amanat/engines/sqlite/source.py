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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.errors import SourceError, TimeoutExceededError
from amanat.engines.sqlite.connection import Access, connect, is_busy, not_a_database, translated
from amanat.ports import Control

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100  # https://sqlite.org/fileformat.html section 1.3
_READ_VERSION = 19  # 1: rollback journal, 2: WAL
_WAL = 2
_CHANGE_COUNTER = slice(24, 28)
_WAIT_SECONDS = 0.1

_in_use: set[tuple[int, int]] = set()
_released = threading.Condition()


class SourceChangedError(SourceError):
    """Somebody wrote to a database that could only be read without locks; what was read is worthless."""


@dataclass(frozen=True, kw_only=True)
class _Look:
    """The main file at a glance; two equal looks: nobody wrote to it in between."""

    inode: int
    size: int
    changed_ns: int
    change_counter: bytes
    wal: bool


@dataclass(frozen=True, kw_only=True)
class OpenSource:
    """A connection inside a read transaction that stays open: all that is read is of one instant."""

    path: Path
    connection: sqlite3.Connection
    wal: bool

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

    def _number(self, pragma: str) -> int:
        return int(self.connection.execute(f"PRAGMA {pragma}").fetchone()[0])


@contextlib.contextmanager
def opened(path: Path, control: Control) -> Iterator[OpenSource]:
    """Waits for locks as long as ``control`` allows. SourceError, or on leaving SourceChangedError."""
    real = _regular_file(path)
    with _alone(real, control), _translating(real):
        look = _look(real)
        access, connection = _pinned(real, look, control)
        watch = _watched(real, look) if access is Access.FROZEN else contextlib.nullcontext()
        with contextlib.closing(connection), watch:
            yield OpenSource(path=real, connection=connection, wal=look.wal)


@contextlib.contextmanager
def _translating(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        raise translated(exc, path) from exc


@contextlib.contextmanager
def _watched(path: Path, look: _Look) -> Iterator[None]:
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
def _alone(path: Path, control: Control) -> Iterator[None]:
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


def _look(path: Path) -> _Look:
    try:
        with path.open("rb") as file:
            info, header = os.fstat(file.fileno()), file.read(_HEADER_BYTES)
    except OSError as exc:
        raise SourceError(
            f"{path} cannot be read: {exc.strerror}", hint="let the user of the daemon read it"
        ) from exc
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise not_a_database(path)
    return _Look(
        inode=info.st_ino,
        size=info.st_size,
        changed_ns=info.st_mtime_ns,
        change_counter=header[_CHANGE_COUNTER],
        wal=header[_READ_VERSION] == _WAL,
    )


def _pinned(path: Path, look: _Look, control: Control) -> tuple[Access, sqlite3.Connection]:
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
    wal, shm = _beside(path, "-wal"), _beside(path, "-shm")
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


def _require_unchanged(path: Path, look: _Look) -> None:
    wal = _beside(path, "-wal")
    if _look(path) != look or (wal.exists() and wal.stat().st_size):
        raise SourceChangedError(
            f"{path} changed while it was read without locks",
            hint="run Amanat as the owner of the database, so that it can lock it",
            transient=True,
        )


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
