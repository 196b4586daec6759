"""The Markdown register that people read: rendered whole from the register after each change."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC
from functools import lru_cache
from heapq import merge
from pathlib import Path

from amanat.domain.chain import Head
from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.domain.model import Snapshot, SnapshotState
from amanat.domain.policy import Configuration
from amanat.domain.units import format_size
from amanat.ports import Ports

_TITLE = """# Backup register

Written by Amanat after each change; edits are overwritten. Times are UTC.
"""
_TABLE = """
| Date and time | By whom | Purpose | Environment | Scope | File | Size | Proof |
| --- | --- | --- | --- | --- | --- | ---: | --- |
"""
_WAIT_SECONDS = 10.0
_SPECIAL = re.compile(r"([\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_]))")


def update(ports: Ports, configuration: Configuration) -> None:
    """Render every configured document; one that cannot be written is told, and harms nothing else."""
    control = ports.controls(timeout=None, label={})
    for path, databases in _documents(configuration).items():
        try:
            with ports.locks.documents(control, wait=_WAIT_SECONDS):
                rows = (ports.register.each_snapshot(database=name) for name in sorted(databases))
                newest_first = merge(*rows, key=lambda row: row.taken_at, reverse=True)
                ports.write_document(path, render(newest_first, ports.register.head()))
        except AmanatError as exc:
            ports.emit(Event.DOCUMENT_FAILED, path=str(path), reason=exc.message, hint=exc.hint)


def _documents(configuration: Configuration) -> dict[Path, set[str]]:
    found: dict[Path, set[str]] = {}
    for database in configuration.databases.values():
        if database.register_document:
            found.setdefault(database.register_document, set()).add(database.name)
    return found


def render(snapshots: Iterable[Snapshot], head: Head | None = None) -> str:
    """A table, newest first. Text from users cannot break it: one line, every special character escaped."""
    anchor = f"The register's head when this was written: `{head}`.\n" if head else ""
    return _TITLE + anchor + _TABLE + "".join(_line(snapshot) for snapshot in snapshots)


def _line(snapshot: Snapshot) -> str:
    cells = (
        f"{snapshot.taken_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        cell(snapshot.by),
        cell(snapshot.purpose or snapshot.name),
        cell(snapshot.environment),
        cell(snapshot.scope.describe()),
        cell(snapshot.path),
        format_size(snapshot.size_bytes),
        _proof(snapshot),
    )
    return f"| {' | '.join(cells)} |\n"


def _proof(snapshot: Snapshot) -> str:
    held = ", held" if snapshot.held else ""
    if snapshot.state is SnapshotState.PRESENT:
        return f"{snapshot.proof}{held}"
    return f"{snapshot.state} (was {snapshot.proof}){held}"


@lru_cache(maxsize=1024)
def cell(text: str) -> str:
    """User text as literal text of a Markdown table cell."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
