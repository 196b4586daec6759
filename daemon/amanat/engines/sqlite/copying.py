"""Copies a database that is open at one instant, page by page, through SQLite's backup interface."""

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

from amanat.domain.errors import SpaceError, StoreError
from amanat.engines.sqlite.connection import Access, connect
from amanat.engines.sqlite.source import OpenSource
from amanat.ports import Control, Progress

_CHUNK_BYTES = 4 * 1024 * 1024


def copy(source: OpenSource, target: Path, control: Control) -> None:
    """Write ``target``: one file that also has the source's journal mode; the caller syncs it.

    The source's open read transaction keeps the backup from starting over when others write
    (https://sqlite.org/backup.html, "File and Database Connection Locking").
    """
    page_size = source.page_size

    def report(_status: int, remaining: int, total: int) -> None:
        done = (total - remaining) * page_size
        control.progress(Progress(bytes_done=done, bytes_total=total * page_size))
        control.check()

    create(target)
    with contextlib.closing(connect(target, Access.WRITE)) as destination:
        without_safety(destination)
        source.connection.backup(destination, pages=max(1, _CHUNK_BYTES // page_size), progress=report)


def create(target: Path) -> None:
    """An empty private file, which SQLite then fills; what an earlier attempt left is gone."""
    try:
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        kind = SpaceError if exc.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(
            f"{target} cannot be written: {exc.strerror}", hint="see to the store's rights and free space"
        ) from exc


def without_safety(connection: sqlite3.Connection) -> None:
    """No journal and no sync: a file that a crash leaves half written was never a snapshot."""
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
