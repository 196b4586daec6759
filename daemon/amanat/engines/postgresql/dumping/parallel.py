"""``parallel: N``: several pg_dump read different tables of one snapshot at once, and their output becomes one
archive. The first one takes everything but the rows that the others bring; each of those takes some large tables.
"""

import contextlib
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from amanat import archive
from amanat.archive import Archive, Codec
from amanat.domain.scope import Table
from amanat.engines.postgresql.dumping.dump import Command, naming, streamed
from amanat.host import files, process
from amanat.host.sealing import Sealing
from amanat.ports.run import Control, Progress

_WORTH_A_CONNECTION = 8 * 1024 * 1024  # bytes of a table; less is read before another pg_dump has begun


def split(command: Command, count: int, sizes: Mapping[Table, int], other_bytes: int) -> list[Command]:
    """What ``command`` reads, shared out to at most ``count``; the first one's archive lacks nothing but rows.

    ``sizes``: bytes of the tables whose rows it takes; ``other_bytes``: of what only the first one can read.
    """
    brought = shares(sizes, other_bytes, count)[1:]
    excluded = [naming("--exclude-table-data", table) for share in brought for table in share]
    lead = replace(command, selection=(*command.selection, *excluded))
    chosen = [("--section=data", *(naming("--table", table) for table in share)) for share in brought]
    return [lead, *(replace(command, selection=selection) for selection in chosen)]


def shares(sizes: Mapping[Table, int], other_bytes: int, count: int) -> list[list[Table]]:
    """Tables for each reader, the largest first to whoever has least; the first one has ``other_bytes`` already.

    Readers that would get nothing are left out.
    """
    loads = [other_bytes, *[0] * (count - 1)]
    given: list[list[Table]] = [[] for _ in loads]
    for table, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0].qualified)):
        reader = loads.index(min(loads)) if size >= _WORTH_A_CONNECTION else 0
        loads[reader] += size
        given[reader].append(table)
    return [given[0], *filter(None, given[1:])]


def read(commands: Sequence[Command], sealing: Sealing, codec: Codec, threads: int, control: Control) -> Archive:
    """Run them at once; ``threads``: to compress with, for each. Writes what is sealed, and nothing else stays."""
    joint = _Joint(control)
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(streamed(command, joint)) for command in commands]
        return _merged(outputs, sealing, codec, threads, joint)


def _merged(
    outputs: Sequence[process.Stream], sealing: Sealing, codec: Codec, threads: int, joint: "_Joint"
) -> Archive:
    def tell(progress: archive.Progress) -> None:
        joint.tell(progress)
        sealing.follow()

    with (
        files.explained(f"dump file {sealing.path}"),
        contextlib.ExitStack() as stack,
        files.created(sealing.path) as target,
    ):
        aside = [stack.enter_context(tempfile.TemporaryFile(dir=sealing.path.parent)) for _ in outputs[1:]]
        return archive.merge(
            outputs[0],
            [archive.Other(source=source, file=own) for source, own in zip(outputs[1:], aside, strict=True)],
            target,
            codec=codec,
            threads=threads,
            check=joint.check,
            on_progress=tell,
            together=joint.together,
        )


class _AbandonedError(Exception):
    """Another reader of the same snapshot has failed."""


class _Joint:
    """Fulfils ``ports.Control`` for readers at work together: what ends one of them ends all."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._failure: BaseException | None = None
        self._done: Counter[int] = Counter()
        self._lock = threading.Lock()
        self.remaining, self.progress, self.wait = control.remaining, control.progress, control.wait

    def check(self) -> None:
        if self._failure:
            raise _AbandonedError
        self._control.check()

    def tell(self, progress: archive.Progress) -> None:
        """The sum of what all have done."""
        with self._lock:
            self._done[threading.get_ident()] = progress.bytes_done
            table = archive.printable(progress.entry.name)
            self._control.progress(Progress(bytes_done=self._done.total(), table=table))

    def together(self, works: Sequence[Callable[[], None]]) -> None:
        with ThreadPoolExecutor(len(works), thread_name_prefix="reader") as pool:
            list(pool.map(self._guarded, works))
        if self._failure:
            raise self._failure

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as exc:  # noqa: BLE001 - raised on in the caller's thread
            with self._lock:
                self._failure = self._failure or exc
