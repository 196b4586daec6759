"""What a SQLite database is at this moment, for who wants to change its schema."""

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.gate import Holder, Live
from amanat.engines.sqlite import description
from amanat.engines.sqlite.glance import beside
from amanat.engines.sqlite.source import OpenSource
from amanat.host import files

_FLOCK = "hhqqi4x"  # struct flock of fcntl(2): type, whence, start, length, process

Bytes = tuple[int, int]  # where they begin, and how many


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Which bytes of which file writers and readers lock. ``commits``: where a number stands that each commit
    changes, which nobody can do while another one writes, or reads in a rollback journal's time.
    """

    ending: str
    writers: Bytes
    readers: Bytes | None
    commits: Bytes


# https://sqlite.org/fileformat2.html sections 1.3 and 1.4; os.h: PENDING_BYTE, one RESERVED byte, 510 SHARED ones
_JOURNAL = _Places(ending="", writers=(0x40000001, 1), readers=(0x40000002, 510), commits=(24, 4))
# https://sqlite.org/walformat.html section 2; os_unix.c: UNIX_SHM_BASE; wal.c: WAL_WRITE_LOCK, WalIndexHdr.iChange
_WAL = _Places(ending="-shm", writers=(120, 1), readers=None, commits=(8, 4))


def look(source: OpenSource) -> Live:
    return Live(
        identity={"path": printed(source.path)},
        migrations=list(description.migrations(source.connection)),
        source_bytes=source.size,
        free_bytes=files.free_bytes(source.path.parent),
        holders=tuple(_holders(source)),
    )


def printed(path: Path) -> str:
    """A file's name is bytes, a fact is text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _holders(source: OpenSource) -> Iterator[Holder]:
    """Who writes; with a rollback journal else who reads, for a writer's commit waits for these.

    Of several readers the kernel names the one who has read for longest.
    """
    places = _WAL if source.wal else _JOURNAL
    if not beside(source.path, places.ending).exists():  # a WAL that nobody has open
        return
    descriptor = source.open(places.ending)
    start, length = places.commits
    commits = os.pread(descriptor, length, start).hex()
    if (writer := _locker(descriptor, places.writers)) is not None:
        yield _holder(writer, "is writing to it", commits)
    elif places.readers and (reader := _locker(descriptor, places.readers)) is not None:
        yield _holder(reader, "is reading it, in a transaction", commits)


def _holder(process: int, does: str, commits: str) -> Holder:
    who = f"process {process}" if process else "a process of another container"
    return Holder(key=f"{process} {does} since {commits}", description=f"{who}, which {does}")


def _locker(descriptor: int, place: Bytes) -> int | None:
    """The other process that has a lock there; 0: one that this one cannot see (pid_namespaces(7))."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, *place, 0)
    kind, _, _, _, process = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else max(process, 0)
