"""Builds a database of its own from a SQLite artefact: whole, some of its tables, or its schema alone."""

from pathlib import Path

from amanat.domain.errors import RefusedError, SpaceError
from amanat.domain.model import Facts, Scope
from amanat.domain.scope import Selection, select
from amanat.domain.units import format_size
from amanat.engines.sqlite import restored, rows, subset
from amanat.engines.sqlite.connection import inside
from amanat.engines.sqlite.glance import SIDE_FILES, beside
from amanat.engines.sqlite.schema import application_tables
from amanat.host import clock, files
from amanat.ports.engine import Rehearsal
from amanat.ports.restoring import RestoreOrder
from amanat.ports.run import Control


def require_absent(target: Path) -> None:
    """SQLite would take a journal that lies there for that of the new file."""
    for path in (target, *(beside(target, ending) for ending in SIDE_FILES)):
        if path.exists() or path.is_symlink():
            raise RefusedError(
                f"there is {path} already", hint="name a file that does not exist, or move that away"
            )


def require_room(order: RestoreOrder, folder: Path) -> None:
    needed = restored.plain_bytes(order.artefact) * (1 if _scope(order).is_whole else 2)
    with files.explained(f"nothing can be restored to {folder}"):
        free = files.free_bytes(folder)
    if free < needed:
        raise SpaceError(
            f"{folder} has {format_size(free)} free, and the restore takes {format_size(needed)}",
            hint="make room on that file system",
        )


def build(order: RestoreOrder, folder: Path, control: Control) -> tuple[Path, Rehearsal]:
    """In ``folder``, which is private and empty."""
    whole, began = folder / "whole.sqlite", clock.monotonic()
    restored.unpack(order.artefact, whole, control)
    scope = _scope(order)
    built, expected = (whole, order.facts) if scope.is_whole else _part(order, whole, scope, control)
    seconds = clock.monotonic() - began
    comparison = restored.compared(order.artefact, built, expected, order.checks, control)
    return built, Rehearsal(comparison=comparison, seconds=seconds, warnings=comparison.caveats)


def _part(order: RestoreOrder, whole: Path, scope: Scope, control: Control) -> tuple[Path, Facts]:
    part = whole.with_name("part.sqlite")
    with restored.restoring(order.artefact):
        selection = inside(whole, control, lambda opened: select(scope, application_tables(opened)))
        subset.extract(whole, part, scope, selection, control)
        return part, _expected(order, part, selection, control)


def _scope(order: RestoreOrder) -> Scope:
    return Scope(tables=order.tables, exclude_data=("*",) if order.schema_only else ())


def _expected(order: RestoreOrder, part: Path, selection: Selection, control: Control) -> Facts:
    """Without tables the whole schema is; with them, that of these and of what lies in shadow tables of theirs."""
    if not order.tables:
        return restored.without_rows(order.facts)
    stored = inside(part, control, rows.stored)
    tables = {*stored, *(table.name for table in selection.kept)}
    narrowed = restored.of_part(order.facts, tables)
    return restored.without_rows(narrowed) if order.schema_only else narrowed
