"""The register's database: opening, migrating, and one transaction at a time."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from amanat.domain.errors import BusyError, ConfigurationError, IntegrityError, RefusedError, RegisterError
from amanat.host import clock, files
from amanat.register import chaining

FILE_NAME = "register.sqlite"
_MIGRATIONS = Path(__file__).parent / "migrations"
_CHAINED = 3  # the migration that begins the chain
_BUSY_SECONDS = 30.0
_PROBE_SECONDS = 2.0
_POLL_SECONDS = 0.05
_HINT = (
    "check owner, mode and free space of the state folder; "
    "moved away, `amanat reconcile` makes the list of snapshots anew from the store"
)
_FULL_HINT = (
    "make room where the state folder is; it is not to be moved away, for nothing else knows what it knows"
)
_BUSY_HINT = "another process holds it (`fuser -v` on the file names it): end that one, or try again later"

_HINTS = {sqlite3.SQLITE_BUSY: _BUSY_HINT, sqlite3.SQLITE_FULL: _FULL_HINT}


def require(folder: Path) -> None:
    """ConfigurationError when there is no register yet: who only looks must not make an empty one."""
    if not (folder / FILE_NAME).exists():
        raise ConfigurationError(
            f"there is no register in {folder.absolute()}",
            hint="say where it is with --state or AMANAT_STATE; the first snapshot makes one",
        )


def refuse(folder: Path) -> None:
    """RefusedError when there is a register: who makes one anew must say what becomes of it."""
    if (folder / FILE_NAME).exists():
        raise RefusedError(
            f"there is a register in {folder.absolute()}",
            hint="--move-aside keeps it under a dated name; `amanat reconcile` only adds what it lacks",
        )


def moved_aside(folder: Path) -> Path | None:
    """The register under a dated name, whatever is in it; None: there is none. BusyError while it is in use."""
    path = folder / FILE_NAME
    if not path.exists():
        return None
    aside = path.with_name(f"{FILE_NAME}.{clock.now():%Y%m%dT%H%M%SZ}")
    _fold(path)
    with files.explained(f"register {path} cannot be moved"):
        for suffix in ("", "-wal", "-shm"):
            if (part := path.with_name(path.name + suffix)).exists():
                os.link(part, aside.with_name(aside.name + suffix))  # never over one that is there
                part.unlink()
        files.sync(folder)
    return aside


def _fold(path: Path) -> None:
    """Into one file, which SQLite does only while nobody else has it open; a damaged one is left as it is."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as exc:
        if getattr(exc, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            raise BusyError(f"register {path} is in use", hint="wait for the command that uses it") from exc


class RegisterDatabase:
    """Two connections, shared by the threads of a process: readers never wait for a writer (WAL).

    Every error of SQLite leaves here as a RegisterError.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._writer = self._open(folder)
        self._reader = self._open_reader()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """BEGIN IMMEDIATE … COMMIT; rolled back when the body raises."""
        with self._writing, self._explained():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def query(self, sql: str, parameters: tuple[object, ...] | Mapping[str, object] = ()) -> list[sqlite3.Row]:
        """What has been committed; not for use within a transaction."""
        with self._reading, self._explained():
            return self._reader.execute(sql, parameters).fetchall()

    def require_writable(self, *, wait: float = _PROBE_SECONDS) -> None:
        """RegisterError when nothing can be written, or when somebody else writes for longer than ``wait``."""
        with self._explained(), contextlib.closing(self._connect("rw", wait)) as probe:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")

    def require_sound(self) -> None:
        """RegisterError when its pages do not fit together; reads all of them, and holds up nobody meanwhile."""
        with self._explained(), contextlib.closing(self._connect("rw", _PROBE_SECONDS)) as probe:
            problem = probe.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise RegisterError(
                f"register {self.path} is damaged: {problem}",
                hint="move it away; `amanat reconcile` makes the list of snapshots anew from the store",
            )

    def close(self) -> None:
        """The writer last: it then folds the write-ahead log into the file."""
        with self._reading:
            self._reader.close()
        with self._writing:
            self._writer.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as exc:
            if "Could not decode to UTF-8" in str(exc):
                raise IntegrityError(
                    f"register {self.path} was edited: {exc}", hint="`sqlite3` shows it; compare with a copy"
                ) from exc
            hint = _HINTS.get(getattr(exc, "sqlite_errorcode", 0), _HINT)
            raise RegisterError(f"register {self.path}: {exc}", hint=hint) from exc

    def _open(self, folder: Path) -> sqlite3.Connection:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise RegisterError(
                f"state folder {folder} cannot be made: {exc.strerror}", hint="correct AMANAT_STATE"
            ) from exc
        with self._explained():
            connection = self._connect("rwc", _BUSY_SECONDS)
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection, self.path)
        return connection

    def _open_reader(self) -> sqlite3.Connection:
        with self._explained():
            connection = self._connect("rw", _BUSY_SECONDS)  # even readers write to the index of the log
            connection.execute("PRAGMA query_only = ON")
        return connection

    def _connect(self, mode: str, busy_seconds: float) -> sqlite3.Connection:
        """``mode``: of SQLite's file URIs (uri.html, 3.3): ``rwc`` makes the file, ``rw`` does not."""
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=busy_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for the lock of this change: the very first commands, side by side, try again."""
    give_up = clock.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode != sqlite3.SQLITE_BUSY or clock.monotonic() >= give_up:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Forward only; ``user_version`` counts what was applied."""
    scripts = sorted(_MIGRATIONS.glob("*.sql"))
    if _version(connection) == len(scripts):
        return
    connection.execute("BEGIN IMMEDIATE")
    done = _version(connection)
    if done > len(scripts):
        connection.execute("ROLLBACK")
        raise RegisterError(
            f"register {path} was written by a newer amanat (schema {done}, known {len(scripts)})",
            hint="install that version again; there is no way back",
        )
    for number, script in enumerate(scripts[done:], start=done + 1):
        for statement in _statements(script.read_text("utf-8")):
            connection.execute(statement)
        if number == _CHAINED:
            chaining.chain_what_is_there(connection, clock.now())
        connection.execute(f"PRAGMA user_version = {number}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """Split a script (executescript would commit the transaction that the migrations run in)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
