"""A compressed artefact: written from a plain one, and laid open to SQLite again without leaving a file behind."""

import contextlib
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from amanat.domain.errors import ConfigurationError
from amanat.domain.policy import CodecName, Compression
from amanat.engines.sqlite import kernel, seekable
from amanat.engines.sqlite.connection import Access, connect, unwritable
from amanat.engines.sqlite.copying import create
from amanat.host import files
from amanat.host.sealing import Sealing
from amanat.ports.run import Control, Progress

SUFFIX = ".zst"


def is_wanted(compression: Compression) -> bool:
    """ConfigurationError for a codec that no stock tool reads a database through."""
    if compression.codec is CodecName.GZIP:
        raise ConfigurationError(
            "SQLite snapshots are not compressed with gzip", hint="say compression: {codec: zstd} or auto"
        )
    return compression.codec is CodecName.ZSTD


def pack(plain: Path, target: Path, level: int | None, control: Control, sealing: Sealing) -> None:
    """Write ``target``; ``plain``, a private copy, is used up. ``sealing`` is that of the target."""
    total = plain.stat().st_size

    def done(read: int, written: int) -> None:
        control.progress(Progress(bytes_done=read, bytes_total=total))
        control.check()
        sealing.advance(written)

    create(target)
    try:
        with plain.open("rb", buffering=0) as source, target.open("r+b", buffering=0) as packed:
            seekable.pack(source.fileno(), packed.fileno(), level, done)
        plain.unlink()
    except OSError as exc:
        raise unwritable(plain, exc) from exc


@contextlib.contextmanager
def opened(artefact: Path, connections: int, control: Control) -> Iterator[tuple[list[sqlite3.Connection], int]]:
    """Connections to the database in it, and its plain size. SeekableError, OSError, sqlite3.Error.

    They read a file without a name. SQLite wants a path and the file's size when it opens it, so the file has a
    name until then, and only its first frame is there: should a kill fall into that moment, the next call tidies.
    """
    with artefact.open("rb", buffering=0) as packed, contextlib.ExitStack() as stack:
        frames = seekable.frames(packed.fileno())
        plain, path = _named(artefact)
        stack.callback(os.close, plain)
        try:
            _fill(packed.fileno(), plain, frames[:1], control)
            os.ftruncate(plain, size := sum(frame.plain for frame in frames))
            found = [
                stack.enter_context(contextlib.closing(connect(path, Access.FROZEN))) for _ in range(connections)
            ]
        finally:
            path.unlink(missing_ok=True)
        _fill(packed.fileno(), plain, frames[1:], control)
        yield found, size


def unpack(artefact: Path, target: int, control: Control) -> None:
    """Write the whole database to a descriptor. SeekableError, OSError."""
    with artefact.open("rb", buffering=0) as packed:
        _fill(packed.fileno(), target, seekable.frames(packed.fileno()), control)


def _named(artefact: Path) -> tuple[int, Path]:
    ours = re.compile(rf"\.{re.escape(artefact.name)}\.[0-9a-f]{{8}}\.tmp")
    with files.explained(f"{artefact.name} cannot be decompressed beside itself"):
        for item in artefact.parent.iterdir():
            if ours.fullmatch(item.name):
                item.unlink(missing_ok=True)
        path = artefact.with_name(f".{artefact.name}.{secrets.token_hex(4)}.tmp")
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), path


def _fill(packed: int, plain: int, frames: list[seekable.Frame], control: Control) -> None:
    for frame, data in seekable.unpacked(packed, frames):
        control.check()
        with files.explained("the decompressed copy cannot be written"):
            kernel.write_at(plain, data, frame.start)
