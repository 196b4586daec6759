"""Which tables a scope means: names and globs against the tables that are there; a typo never passes.

A bare pattern is compared with a table's name in every schema, one with a dot also with ``schema.table``.
A pattern that means a partitioned table means its partitions too.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from amanat.domain.errors import SourceError
from amanat.domain.model import Scope


@dataclass(frozen=True, kw_only=True)
class Table:
    """An application table; ``ancestors``: qualified names of the partitioned tables above it."""

    name: str
    schema: str = ""
    ancestors: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """``schema.name``; a part that holds a dot or a quote is quoted as in SQL, so no two tables share one."""
        return f"{_part(self.schema)}.{_part(self.name)}" if self.schema else self.name


def _part(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"' if "." in name or '"' in name else name


@dataclass(frozen=True, kw_only=True)
class Selection:
    """``kept``: tables to take, in the order given. ``without_data``: those of them taken without rows."""

    kept: tuple[Table, ...]
    without_data: tuple[Table, ...] = ()

    @property
    def with_data(self) -> tuple[Table, ...]:
        bare = set(self.without_data)
        return tuple(table for table in self.kept if table not in bare)


def select(scope: Scope, tables: Sequence[Table]) -> Selection:
    """SourceError when a pattern matches no table of ``tables``, or when nothing is left to take."""
    _require_matches((*scope.tables, *scope.exclude, *scope.exclude_data), tables)
    wanted = matching(scope.tables, tables) if scope.tables else tuple(tables)
    excluded = set(matching(scope.exclude, tables))
    kept = tuple(table for table in wanted if table not in excluded)
    if not kept:
        raise _nothing_left(scope)
    bare = set(matching(scope.exclude_data, tables))
    return Selection(kept=kept, without_data=tuple(table for table in kept if table in bare))


def matching(patterns: Iterable[str], tables: Sequence[Table]) -> tuple[Table, ...]:
    """The tables that any pattern means, partitions of a matched parent included, in the order given."""
    wanted = tuple(patterns)
    direct = {table.qualified for table in tables if any(_means(pattern, table) for pattern in wanted)}
    return tuple(table for table in tables if not direct.isdisjoint((table.qualified, *table.ancestors)))


def named(name: str, tables: Sequence[Table]) -> Table:
    """The one table of that name or ``schema.name``; SourceError when there is none or more than one."""
    found = [table for table in tables if name in (table.name, table.qualified)]
    if len(found) == 1:
        return found[0]
    if found:
        where = ", ".join(table.qualified for table in found)
        raise SourceError(f"{name} is the name of more than one table: {where}", hint="write schema.table")
    raise _unmatched([name], tables)


def _means(pattern: str, table: Table) -> bool:
    names = (table.name, table.qualified) if "." in pattern else (table.name,)
    return any(pattern == name or fnmatchcase(name, pattern) for name in names)


def _require_matches(patterns: Iterable[str], tables: Sequence[Table]) -> None:
    missing = [pattern for pattern in patterns if not any(_means(pattern, table) for table in tables)]
    if missing:
        raise _unmatched(missing, tables)


def _unmatched(patterns: Sequence[str], tables: Sequence[Table]) -> SourceError:
    listed = "; ".join(_with_near_matches(pattern, tables) for pattern in dict.fromkeys(patterns))
    return SourceError(
        f"no table matches {listed}", hint="correct the scope, or see whether this is the right database"
    )


def _with_near_matches(pattern: str, tables: Sequence[Table]) -> str:
    names = {table.qualified if "." in pattern else table.name for table in tables}
    near = difflib.get_close_matches(pattern, sorted(names), n=3)
    return f"{pattern!r}, did you mean {' or '.join(near)}?" if near else f"{pattern!r}"


def _nothing_left(scope: Scope) -> SourceError:
    if scope.is_whole:
        return SourceError("there is no table to take", hint="see whether this is the right database")
    return SourceError(f"the scope leaves no table to take ({scope.describe()})", hint="exclude fewer tables")
