"""The journal mode that a database's header names: WAL, or a rollback journal."""

import contextlib
import sqlite3
from pathlib import Path

from amanat.engines.sqlite.connection import Access, connect


def is_wal(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA journal_mode").fetchone() == ("wal",))


def switch(connection: sqlite3.Connection, *, wal: bool) -> None:
    """sqlite3.OperationalError, busy, unless nobody else has it open or at least nobody locks it.

    A WAL is folded into the database before it goes (https://sqlite.org/pragma.html#pragma_journal_mode).
    """
    connection.execute(f"PRAGMA journal_mode = {'WAL' if wal else 'DELETE'}")


def set_mode(path: Path, *, wal: bool) -> None:
    """Of a file that nobody uses; none is left beside it."""
    with contextlib.closing(connect(path, Access.WRITE)) as connection:
        switch(connection, wal=wal)
