"""Copies a database that is open at one instant: by its bytes, or by pages through SQLite's backup interface."""

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from amanat.domain.errors import SourceError
from amanat.engines.sqlite import raw
from amanat.engines.sqlite.connection import Access, connect, unwritable, without_safety
from amanat.engines.sqlite.glance import is_wal
from amanat.engines.sqlite.kernel import CHUNK_BYTES
from amanat.engines.sqlite.raw import Pinned
from amanat.engines.sqlite.source import OpenSource
from amanat.engines.sqlite.way import CopiedBy
from amanat.ports.run import Control, Progress


@dataclass(frozen=True, kw_only=True)
class Copied:
    """``reason``: why it was not copied by its bytes. ``size``: bytes of the database at that instant.

    ``frames``: of a WAL beside the copy, which ``finish`` folds into it.
    """

    by: CopiedBy
    size: int
    page_size: int
    wal: bool
    reason: str = ""
    frames: int = 0


def copy(source: OpenSource, instant: Pinned | str, target: Path, control: Control) -> Copied:
    """Write ``target`` as ``raw.pin`` said; ``finish``, which needs no source, makes one whole file of it.

    Nothing is synced or read back meanwhile: that would slow the copy down, and the source waits for it.
    """
    create(target)
    about = Copied(by=CopiedBy.BACKUP, size=source.size, page_size=source.page_size, wal=source.wal)
    if isinstance(instant, str):
        _back_up(source, target, control)
        return replace(about, reason=instant)

    def done(copied: int) -> None:
        control.progress(Progress(bytes_done=copied, bytes_total=instant.main_bytes))
        control.check()

    by, frames = raw.copy(source, instant, target, done)
    return replace(about, by=by, frames=frames)


def finish(copied: Copied, target: Path, control: Control) -> None:
    """One file that is as long as the database was, in the same journal mode; the caller syncs it."""
    if copied.frames:
        raw.fold(target, copied.frames, control)
    found, expected = (target.stat().st_size, is_wal(target)), (copied.size, copied.wal)
    if found != expected:
        raise SourceError(
            f"the copy has {_form(*found)}, and the database should have {_form(*expected)}",
            hint="ask the database itself: sqlite3 FILE 'PRAGMA integrity_check'; if it is well, see to the disks",
        )


def _form(size: int, wal: bool) -> str:
    return f"{size} bytes in {'WAL' if wal else 'rollback'} mode"


def _back_up(source: OpenSource, target: Path, control: Control) -> None:
    """The open read transaction keeps the backup from starting over when others write
    (https://sqlite.org/backup.html, "File and Database Connection Locking").
    """
    page_size = source.page_size

    def report(_status: int, remaining: int, total: int) -> None:
        done = (total - remaining) * page_size
        control.progress(Progress(bytes_done=done, bytes_total=total * page_size))
        control.check()

    with contextlib.closing(connect(target, Access.WRITE)) as destination:
        without_safety(destination)
        source.connection.backup(destination, pages=max(1, CHUNK_BYTES // page_size), progress=report)


def create(target: Path) -> None:
    """An empty private file, to be filled; what an earlier attempt left, a WAL beside it too, is gone."""
    try:
        for path in (target, raw.wal_beside(target)):
            path.unlink(missing_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise unwritable(target, exc) from exc
