"""What stands in a SQLite database: its application tables and their rows."""

import sqlite3
from collections.abc import Iterable

from amanat.domain.scope import Table

_APPLICATION_TABLES = r"""
    SELECT name FROM pragma_table_list
    WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
    ORDER BY name
"""  # type 'shadow': the storage of a virtual table, which comes and goes with it (needs SQLite 3.37)


def application_tables(connection: sqlite3.Connection) -> tuple[Table, ...]:
    return tuple(Table(name=name) for (name,) in connection.execute(_APPLICATION_TABLES))


def row_counts(connection: sqlite3.Connection, tables: Iterable[Table]) -> dict[str, int]:
    return {
        table.name: connection.execute(f"SELECT count(*) FROM {quoted(table.name)}").fetchone()[0]  # noqa: S608
        for table in tables
    }


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
