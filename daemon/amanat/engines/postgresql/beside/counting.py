"""Exact counts of rows, of as many tables as there is time for: the small ones first."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from amanat.domain.errors import SourceError, YieldedError
from amanat.domain.scope import Table
from amanat.engines.postgresql import catalog
from amanat.engines.postgresql.catalog import Relation
from amanat.engines.postgresql.connection import Session
from amanat.host import clock

_TIMEOUT = "SELECT set_config('statement_timeout', %s, true)"


@dataclass(frozen=True, kw_only=True)
class Counted:
    """By qualified name. ``unknown``: there was no time, a lock of somebody else, or no right to see all rows."""

    rows: Mapping[str, int]
    unknown: tuple[str, ...]


def count(asked: Session, relations: Sequence[Relation], sizes: Mapping[str, int], seconds: float) -> Counted:
    """Within a transaction, whose statements may take as long as they like afterwards. ``sizes``: by qualified
    name, as far as they are known; to ask for them takes locks.
    """
    until = clock.monotonic() + seconds
    found = {table.qualified: _count(asked, table, until) for table in _by_size(relations, sizes)}
    asked.ask(_TIMEOUT, ["0"])
    known = {name: rows for name, rows in found.items() if rows is not None}
    names = {relation.table.qualified for relation in relations}
    return Counted(rows=known, unknown=tuple(sorted(names - set(known))))


def _by_size(relations: Iterable[Relation], sizes: Mapping[str, int]) -> list[Table]:
    tables = (each.table for each in relations if each.readable and not each.filtered)
    return sorted(tables, key=lambda table: sizes.get(table.qualified, math.inf))


def _count(asked: Session, table: Table, until: float) -> int | None:
    left = int((until - clock.monotonic()) * 1000)
    if left <= 0:
        return None
    asked.ask(_TIMEOUT, [str(left)])
    asked.ask("SAVEPOINT counting")
    try:
        return catalog.count(asked, table)
    except (SourceError, YieldedError):
        asked.ask("ROLLBACK TO SAVEPOINT counting")
        return None
