"""One pass over the database: what pg_dump writes to a pipe, uncompressed, is kept compressed, counted and hashed.

See documentation/performance.md for what it saves. What the codec does not know, pg_dump compresses by itself.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from amanat import archive
from amanat.archive import Archive, Codec, UnknownArchiveError
from amanat.engines.postgresql import dump, parallel
from amanat.engines.postgresql.dump import Command
from amanat.host import files
from amanat.ports import Control, Progress

_MOST_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Dumped:
    """``archive`` None: written by pg_dump alone, because of ``reason``."""

    sha256: str
    archive: Archive | None = None
    reason: str = ""


def take(command: Command, shared: Sequence[Command], file: Path, codec: Codec, control: Control) -> Dumped:
    """Write the archive to ``file``, which is not there yet; the caller syncs it.

    ``shared``: the same, as ``parallel.split`` has shared it out; or ``command`` alone.
    """
    try:
        if len(shared) > 1:
            written = parallel.read(shared, file, codec, _threads(len(shared)), control)
        else:
            written = _rewritten(command, file, codec, control)
    except UnknownArchiveError as exc:
        file.unlink(missing_ok=True)
        dump.dump(command, file, control)
        return Dumped(sha256=files.sha256(file, control), reason=exc.message)
    return Dumped(sha256=written.sha256, archive=written)


def _rewritten(command: Command, file: Path, codec: Codec, control: Control) -> Archive:
    def tell(progress: archive.Progress) -> None:
        control.progress(Progress(bytes_done=progress.bytes_done, table=archive.printable(progress.entry.name)))

    with (
        dump.streamed(command, control) as output,
        files.explained(f"dump file {file}"),
        files.created(file) as target,
    ):
        return archive.rewrite(
            output, target, codec=codec, threads=_threads(1), check=control.check, on_progress=tell
        )


def _threads(readers: int) -> int:
    """For each reader; more would wait for it."""
    return max(1, min(len(os.sched_getaffinity(0)) // readers, _MOST_THREADS))
