"""Progress of a run: a bar on a terminal, a plain line now and then elsewhere."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from amanat.domain.units import format_size
from amanat.host import clock

if TYPE_CHECKING:
    from amanat.app import OnProgress
    from amanat.ports.run import Progress

_LINE_EVERY_SECONDS = 5.0


@contextlib.contextmanager
def shown(*, silent: bool) -> "Iterator[OnProgress | None]":
    """Where a command's runs tell their progress; ``silent`` for JSON."""
    if silent:
        yield None
    elif sys.stderr.isatty():
        with _bar() as update:
            yield update
    else:
        yield _Lines()


class _Lines:
    def __init__(self) -> None:
        self._began = self._last = clock.monotonic()

    def __call__(self, label: Mapping[str, str], progress: "Progress") -> None:
        now = clock.monotonic()
        if now - self._last < _LINE_EVERY_SECONDS:
            return
        self._last = now
        rate = format_size(int(progress.bytes_done / (now - self._began)))
        done, table = format_size(progress.bytes_done), f", table {progress.table}" if progress.table else ""
        sys.stderr.write(f"{label.get('database', '')}: {done} written, {rate}/s{table}\n")


@contextlib.contextmanager
def _bar() -> "Iterator[OnProgress]":
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TextColumn("{task.fields[table]}"),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task("", total=None, table="", visible=False)

        def update(label: Mapping[str, str], progress: "Progress") -> None:
            drawn.update(
                task,
                visible=True,
                description=label.get("database", ""),
                completed=progress.bytes_done,
                total=progress.bytes_total,
                table=progress.table,
            )

        yield update
