"""Cuts a whole copy down to its scope; nothing of what was removed stays in the file."""

import contextlib
import sqlite3
from pathlib import Path

from amanat.domain.model import Scope
from amanat.domain.scope import Selection, Table
from amanat.engines.sqlite.connection import Access, attended, connect, without_safety
from amanat.engines.sqlite.copying import create
from amanat.engines.sqlite.schema import application_tables, quoted
from amanat.ports.run import Control


def extract(whole: Path, target: Path, scope: Scope, selection: Selection, control: Control) -> None:
    """Write the selection to ``target``; ``whole``, a private copy, is used up.

    ``VACUUM INTO`` and not ``VACUUM``: it keeps row ids, needs no room in /tmp, and writes once.
    """
    create(target)
    with contextlib.closing(connect(whole, Access.WRITE)) as connection:
        wal = connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

        def cut() -> None:
            _cut(connection, scope, selection)
            connection.execute("VACUUM INTO ?", (str(target),))

        attended(connection, control, cut)
    whole.unlink()
    if wal:
        _set_wal(target)


def _cut(connection: sqlite3.Connection, scope: Scope, selection: Selection) -> None:
    without_safety(connection)
    connection.execute("PRAGMA foreign_keys = OFF")  # or a DROP deletes the rows that refer to the table
    connection.execute("PRAGMA secure_delete = OFF")  # this file is thrown away
    if scope.tables or scope.exclude:
        _drop_views(connection)
        _drop_tables(connection, keep=selection.kept)
    for table in selection.without_data:
        _empty(connection, table)


def _drop_views(connection: sqlite3.Connection) -> None:
    views = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall()
    for (name,) in views:
        connection.execute(f"DROP VIEW {quoted(name)}")


def _drop_tables(connection: sqlite3.Connection, *, keep: tuple[Table, ...]) -> None:
    for table in application_tables(connection):
        if table not in keep:
            connection.execute(f"DROP TABLE {quoted(table.name)}")


def _empty(connection: sqlite3.Connection, table: Table) -> None:
    (sql,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table.name,)
    ).fetchone()
    if sql.upper().startswith("CREATE VIRTUAL"):
        # Deleting rows leaves their words in a full-text index; making the table anew leaves nothing.
        connection.execute(f"DROP TABLE {quoted(table.name)}")
        connection.execute(sql)
    else:
        _delete_rows(connection, table)
    _forget_statistics(connection, table)


def _delete_rows(connection: sqlite3.Connection, table: Table) -> None:
    """Without firing the table's triggers: they would write into other tables."""
    triggers = connection.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?", (table.name,)
    ).fetchall()
    for name, _ in triggers:
        connection.execute(f"DROP TRIGGER {quoted(name)}")
    connection.execute(f"DELETE FROM {quoted(table.name)}")  # noqa: S608
    for _, sql in triggers:
        connection.execute(sql)


def _forget_statistics(connection: sqlite3.Connection, table: Table) -> None:
    """ANALYZE keeps row counts, and in sqlite_stat4 values of rows."""
    kept = connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'").fetchall()
    for (name,) in kept:
        connection.execute(f"DELETE FROM {quoted(name)} WHERE tbl = ?", (table.name,))  # noqa: S608


def _set_wal(path: Path) -> None:
    with contextlib.closing(connect(path, Access.WRITE)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
