"""Copies a database by its bytes, at the very instant that a read transaction of SQLite pins.

In rollback mode the transaction's lock keeps everybody from writing. In WAL mode writers go on: a checkpoint may
move frames up to our mark into the main file while it is copied, but none beyond it, and the WAL does not start
anew. So the main file, however mixed, and exactly the frames up to the mark are that instant; SQLite puts them
together in the copy. A WAL may start anew only after all our frames have moved (https://sqlite.org/walformat.html,
section 2.3.2, "WAL_READ_LOCK(0)"): then the main file alone is the instant, and nobody writes to it.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.errors import SourceError, StoreError
from amanat.engines.sqlite import kernel
from amanat.engines.sqlite.connection import Access, attended, connect, unwritable
from amanat.engines.sqlite.source import OpenSource
from amanat.engines.sqlite.walindex import HEADER_BYTES, WAL_HEADER_BYTES, WAL_SALTS, WalMark, wal_mark
from amanat.engines.sqlite.way import Circumstances, CopiedBy, objection
from amanat.ports.run import Control

_PINS = 1_000  # tries to begin a transaction between two commits of others; each takes some 50 µs


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """Descriptors of the files, and what of them belongs to the instant."""

    main: int
    main_bytes: int
    wal: int = -1
    mark: WalMark | None = None

    @property
    def frames(self) -> int:
        return self.mark.frames if self.mark else 0


def pin(source: OpenSource, control: Control) -> Pinned | str:
    """What is to be copied, of an instant that may be newer than the source was; or why it must not be."""
    main = source.open()
    index = source.path.with_name(f"{source.path.name}-shm")
    found = Circumstances(
        file_system=kernel.file_system(main),
        access=source.access,
        wal=source.wal,
        shared_index=os.access(index, os.R_OK | os.W_OK, effective_ids=True),
    )
    if reason := objection(found):
        return reason
    if not source.wal or source.access is Access.FROZEN:
        return Pinned(main=main, main_bytes=source.size)
    mark = _marked(source, control)
    if mark is None:
        return "others never stopped committing to it for long enough"
    main_bytes = min(source.size, os.fstat(main).st_size) if mark.frames else source.size
    return Pinned(main=main, main_bytes=main_bytes, wal=source.open("-wal"), mark=mark)


def _marked(source: OpenSource, control: Control) -> WalMark | None:
    """The header stood the same before and after the transaction began, so it is what SQLite saw in between."""
    index = source.open("-shm")
    for _ in range(_PINS):
        before = os.pread(index, HEADER_BYTES, 0)
        source.begin_anew(control)
        if before == os.pread(index, HEADER_BYTES, 0) and (mark := wal_mark(before)):
            return mark
    return None


def copy(source: OpenSource, pinned: Pinned, target: Path, done: kernel.Done) -> tuple[CopiedBy, int]:
    """How the bytes came to ``target``, an empty file, and how many frames of a WAL ``fold`` must find there."""
    with _explained(source.path), _writing(target) as main:
        by = kernel.copy(pinned.main, main, pinned.main_bytes, done)
    _require(target.stat().st_size == pinned.main_bytes, source.path)
    if pinned.mark is None or not pinned.frames:
        return by, 0
    wal = wal_beside(target)
    with _explained(source.path), _writing(wal) as log:
        kernel.copy(pinned.wal, log, pinned.mark.wal_bytes, lambda _: done(pinned.main_bytes))
    if os.pread(pinned.wal, WAL_HEADER_BYTES, 0)[WAL_SALTS] == pinned.mark.salts:
        return by, pinned.frames
    wal.unlink()  # it has started anew, so all our frames were in the main file already
    _require(target.stat().st_size == source.size, source.path)
    return by, 0


def fold(target: Path, frames: int, control: Control) -> None:
    """Let SQLite recover the copy and move its WAL into it; the file is alone afterwards, in WAL mode still.

    StoreError unless every frame, each with a checksum of all before it, is found and moved.
    """
    with contextlib.closing(connect(target, Access.WRITE)) as connection:

        def checkpoint() -> None:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # without a -shm file
            connection.execute("PRAGMA synchronous = OFF")
            moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            emptied = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if (moved, emptied) != ((0, frames, frames), (0, 0, 0)):
                raise StoreError(
                    f"the copy's WAL has {moved[1]} good frames of {frames}",
                    hint="see whether the store's disk or the memory fails",
                )

        attended(connection, control, checkpoint)


def wal_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[int]:
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise kernel.WritingError(exc.errno, exc.strerror) from exc
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _explained(source: Path) -> Iterator[None]:
    try:
        yield
    except kernel.WritingError as exc:
        raise unwritable(source, exc) from exc
    except OSError as exc:
        raise SourceError(f"{source} cannot be read: {exc.strerror}", hint="see whether its disk fails") from exc


def _require(whole: bool, source: Path) -> None:
    if not whole:
        raise SourceError(
            f"{source} became shorter while it was copied",
            hint="find out what cuts it without SQLite's locks",
            transient=True,
        )
