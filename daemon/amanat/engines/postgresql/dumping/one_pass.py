"""One pass over the database: what pg_dump writes to a pipe, uncompressed, is kept compressed, counted and hashed.

See documentation/performance.md for what it saves. What the codec does not know, pg_dump compresses by itself.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amanat import archive
from amanat.archive import Archive, Codec, UnknownArchiveError
from amanat.domain.errors import IntegrityError
from amanat.engines.postgresql.dumping import dump, parallel
from amanat.engines.postgresql.dumping.dump import Command
from amanat.host import files
from amanat.host.sealing import Sealing
from amanat.ports.run import Control, Progress

_MOST_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Dumped:
    """``archive`` None: written by pg_dump alone, because of ``reason``."""

    sha256: str
    archive: Archive | None = None
    reason: str = ""


def take(command: Command, shared: Sequence[Command], file: Path, codec: Codec, control: Control) -> Dumped:
    """Write the archive to ``file``, which is not there yet; in the end it has been read back from the disk.

    ``shared``: the same, as ``parallel.split`` has shared it out; or ``command`` alone.
    """
    try:
        with Sealing(file, revised=True) as sealing:
            if len(shared) > 1:
                written = parallel.read(shared, sealing, codec, _threads(len(shared)), control)
            else:
                written = _rewritten(command, sealing, codec, control)
            return Dumped(sha256=_sealed(sealing, written, control), archive=written)
    except UnknownArchiveError as exc:
        file.unlink(missing_ok=True)
        dump.dump(command, file, control)
        with Sealing(file) as sealing:
            return Dumped(sha256=sealing.seal(control).sha256, reason=exc.message)


def _sealed(sealing: Sealing, written: Archive, control: Control) -> str:
    """SHA-256; the CRC-32, taken piece by piece as it was compressed, shows that it is of what was meant."""
    seal = sealing.seal(control)
    if seal.crc32 != written.crc32:
        raise IntegrityError(
            "the archive does not read back as it was written", hint="see whether the memory or the disk fails"
        )
    return seal.sha256


def _rewritten(command: Command, sealing: Sealing, codec: Codec, control: Control) -> Archive:
    def tell(progress: archive.Progress) -> None:
        control.progress(Progress(bytes_done=progress.bytes_done, table=archive.printable(progress.entry.name)))
        sealing.follow()

    with (
        dump.streamed(command, control) as output,
        files.explained(f"dump file {sealing.path}"),
        files.created(sealing.path) as target,
    ):
        return archive.rewrite(
            output, target, codec=codec, threads=_threads(1), check=control.check, on_progress=tell
        )


def _threads(readers: int) -> int:
    """For each reader; more would wait for it."""
    return max(1, min(len(os.sched_getaffinity(0)) // readers, _MOST_THREADS))
