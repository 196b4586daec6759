"""Takes a SQLite database: one instant of it, its scope, and the facts that held at that instant."""

import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from amanat.domain.errors import StoreError
from amanat.domain.model import EngineName, Facts, Scope
from amanat.domain.policy import SqliteSource
from amanat.domain.scope import Selection, named, select
from amanat.engines.sqlite import subset
from amanat.engines.sqlite.connection import Access, attended, connect
from amanat.engines.sqlite.copying import copy
from amanat.engines.sqlite.schema import application_tables, foreign_key_violations, row_counts
from amanat.engines.sqlite.source import OpenSource, SourceChangedError, opened
from amanat.ports import Artefact, Control, Order

_ATTEMPTS = 3  # for a source that can only be read without locks and was written to meanwhile

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class _References:
    """Rows whose foreign keys lead nowhere, in the artefact; None: they cannot be checked."""

    violations: int | None
    warnings: tuple[str, ...] = ()


class SqliteEngine:
    """Fulfils ``ports.Engine``. Selected tables need room for the whole database beside them for a while."""

    name = EngineName.SQLITE
    extension = "sqlite"

    def __init__(self, source: SqliteSource) -> None:
        self._path = source.path

    def source_bytes(self, control: Control, scratch: Path) -> int:  # noqa: ARG002 - the port's signature
        return self._read(control, lambda source: source.size)

    def staging_bytes(self, scope: Scope, source_bytes: int) -> int:
        return 0 if scope.is_whole else source_bytes

    def take(self, order: Order, control: Control) -> Artefact:
        return self._read(control, lambda source: _take(source, order, control))

    def _read(self, control: Control, work: Callable[[OpenSource], T]) -> T:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(SourceChangedError), opened(self._path, control) as source:
                return work(source)
        with opened(self._path, control) as source:
            return work(source)


def _take(source: OpenSource, order: Order, control: Control) -> Artefact:
    tables = application_tables(source.connection)
    selection = select(order.scope, tables)
    counted = [named(name, tables) for name in order.counts]
    artefact, whole = order.folder / "artefact.sqlite", order.folder / "whole.sqlite"
    copy(source, artefact, control)
    counts = _inside(artefact, control, lambda copied: row_counts(copied, counted)) if counted else {}
    if not order.scope.is_whole:
        artefact.rename(whole)
        subset.extract(whole, artefact, order.scope, selection, control)
    references = _references(source, artefact, control, whole=order.scope.is_whole)
    return Artefact(
        path=artefact,
        facts=_facts(source, selection, counts, references),
        tools={"sqlite": sqlite3.sqlite_version},
        warnings=references.warnings,
    )


def _facts(source: OpenSource, selection: Selection, counts: Mapping[str, int], references: _References) -> Facts:
    return Facts(
        engine_version=sqlite3.sqlite_version,
        source_bytes=source.size,
        tables=tuple(table.name for table in selection.kept),
        counts=counts,
        extra={
            "user_version": source.user_version,
            "page_size": source.page_size,
            "journal_mode": "wal" if source.wal else "delete",
            "foreign_key_violations": references.violations,
        },
    )


def _references(source: OpenSource, artefact: Path, control: Control, *, whole: bool) -> _References:
    """A whole copy must have as many as its source; a part has more, where referred rows were left out."""
    found = _inside(artefact, control, foreign_key_violations)
    if found is None:
        reason = f"the foreign keys of {source.path} cannot be checked: one refers to columns that are no key"
        return _References(violations=None, warnings=(reason,))
    if not whole or not found:
        return _References(violations=found)
    own = attended(source.connection, control, lambda: foreign_key_violations(source.connection))
    if own != found:
        raise StoreError(
            f"the copy of {source.path} has {found} broken references, the database itself {own}",
            hint="the copy is damaged: see whether the store's disk or the memory fails",
        )
    reason = f"{found} references of {source.path} lead to rows that do not exist; the copy has them as they are"
    return _References(violations=found, warnings=(reason,))


def _inside(artefact: Path, control: Control, work: Callable[[sqlite3.Connection], T]) -> T:
    with contextlib.closing(connect(artefact, Access.FROZEN)) as connection:
        return attended(connection, control, lambda: work(connection))
