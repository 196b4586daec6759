"""Cuts a whole copy down to its scope; nothing of what was removed stays in the file."""

import contextlib
import sqlite3
from pathlib import Path

from amanat.domain.model import Scope
from amanat.domain.scope import Selection, Table
from amanat.engines.sqlite import journaling
from amanat.engines.sqlite.connection import Access, attended, connect, without_safety
from amanat.engines.sqlite.copying import create
from amanat.engines.sqlite.schema import application_tables, quoted
from amanat.ports.run import Control


def extract(whole: Path, target: Path, scope: Scope, selection: Selection, control: Control) -> tuple[str, ...]:
    """Write the selection to ``target``; ``whole``, a private copy, is used up. Returns views that were left out.

    ``VACUUM INTO`` and not ``VACUUM``: it keeps row ids, needs no room in /tmp, and writes once.
    """
    create(target)
    with contextlib.closing(connect(whole, Access.WRITE)) as connection:
        wal = journaling.is_wal(connection)

        def cut() -> tuple[str, ...]:
            left_out = _cut(connection, scope, selection)
            connection.execute("VACUUM INTO ?", (str(target),))
            return left_out

        left_out = attended(connection, control, cut)
    whole.unlink()
    if wal:
        journaling.set_mode(target, wal=True)
    return left_out


def _cut(connection: sqlite3.Connection, scope: Scope, selection: Selection) -> tuple[str, ...]:
    without_safety(connection)
    connection.execute("PRAGMA foreign_keys = OFF")  # or a DROP deletes the rows that refer to the table
    connection.execute("PRAGMA secure_delete = OFF")  # this file is thrown away
    left_out: tuple[str, ...] = ()
    if scope.tables or scope.exclude:
        _drop_tables(connection, keep=selection.kept)
        left_out = _drop_views(connection, all_of_them=bool(scope.tables))
    for table in selection.without_data:
        _empty(connection, table)
    return left_out


def _drop_views(connection: sqlite3.Connection, *, all_of_them: bool) -> tuple[str, ...]:
    """Those that need what is no longer there, which are returned; or all, where only tables were asked for."""
    views = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name").fetchall()
    dropped = tuple(name for (name,) in views if all_of_them or _leads_out(connection, name))
    for name in dropped:
        connection.execute(f"DROP VIEW {quoted(name)}")
    return () if all_of_them else dropped


def _leads_out(connection: sqlite3.Connection, view: str) -> bool:
    """A view may fail here for other reasons, such as a function that only the application has."""
    try:
        connection.execute(f"EXPLAIN SELECT * FROM {quoted(view)}")  # noqa: S608
    except sqlite3.OperationalError as exc:
        return str(exc).startswith("no such table: ")
    return False


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
