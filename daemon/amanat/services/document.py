"""The documents that people read: rendered whole from the register after each change."""

from collections.abc import Callable, Iterable
from datetime import UTC
from functools import partial
from heapq import merge
from pathlib import Path

from amanat.domain.chain import Head
from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.domain.model import Snapshot, SnapshotState
from amanat.domain.policy import Configuration
from amanat.domain.units import format_size
from amanat.ports import Ports
from amanat.services import rollback_log
from amanat.services.markdown import cell

_TITLE = """# Backup register

Written by Amanat after each change; edits are overwritten. Times are UTC.
"""
_TABLE = """
| Date and time | By whom | Purpose | Environment | Scope | File | Size | Proof |
| --- | --- | --- | --- | --- | --- | ---: | --- |
"""
_WAIT_SECONDS = 10.0


def update(ports: Ports, configuration: Configuration) -> None:
    """Render every configured document; one that cannot be written is told, and harms nothing else."""
    databases = configuration.databases.values()
    for path, names in _by_path((each.register_document, each.name) for each in databases):
        _write(ports, path, partial(_register, ports, names))
    for path, names in _by_path((each.rollback_log, each.name) for each in databases):
        _write(ports, path, partial(rollback_log.read, ports, names))


def _by_path(named: Iterable[tuple[Path | None, str]]) -> Iterable[tuple[Path, list[str]]]:
    found: dict[Path, list[str]] = {}
    for path, name in sorted((path, name) for path, name in named if path):
        found.setdefault(path, []).append(name)
    return found.items()


def _write(ports: Ports, path: Path, text: Callable[[], str]) -> None:
    control = ports.controls(timeout=None, label={})
    try:
        with ports.locks.documents(control, wait=_WAIT_SECONDS):
            ports.write_document(path, text())
    except AmanatError as exc:
        ports.emit(Event.DOCUMENT_FAILED, path=str(path), reason=exc.message, hint=exc.hint)


def _register(ports: Ports, databases: Iterable[str]) -> str:
    rows = (ports.register.each_snapshot(database=name) for name in databases)
    return render(merge(*rows, key=lambda row: row.taken_at, reverse=True), ports.register.head())


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
