"""What stands in a SQLite database, told in its own terms; read from a copy that nobody changes."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from amanat.domain.description import DatabaseObject, Description
from amanat.domain.migrations import FRAMEWORKS, as_fact, framework_of
from amanat.domain.model import Facts, ProofLevel
from amanat.engines.sqlite import rows
from amanat.engines.sqlite.connection import inside
from amanat.engines.sqlite.schema import application_tables, quoted
from amanat.ports.run import Control

DIALECT = "SQLite"
# SQLite makes indexes of its own for keys, and tables for statistics: neither has a name of the application's.
_OBJECTS = r"""
    SELECT type, name, tbl_name, sql FROM sqlite_schema
    WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
"""
_HAS_SEQUENCES = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"
_SEQUENCES = "SELECT name, seq FROM sqlite_sequence WHERE typeof(seq) = 'integer' ORDER BY name"
_PRAGMAS = ("schema_version", "application_id", "encoding", "auto_vacuum")


def describe(connection: sqlite3.Connection) -> Description:
    """``sequences``: of AUTOINCREMENT, by table (https://sqlite.org/autoinc.html)."""
    connection.text_factory = _printable
    objects = tuple(
        DatabaseObject(kind=kind, within="" if name == table else table, name=name, definition=sql)
        for kind, name, table, sql in connection.execute(_OBJECTS)
    )
    numbered = connection.execute(_HAS_SEQUENCES).fetchone()
    numbers = connection.execute(_SEQUENCES).fetchall() if numbered else []
    return Description(dialect=DIALECT, objects=objects, sequences={name: last + 1 for name, last in numbers})


def told(copy: Path, facts: Facts, proof: ProofLevel, control: Control) -> Facts:
    """``facts`` and what the finished copy tells beyond them; digests of rows where a proof will ask for them."""

    def work(connection: sqlite3.Connection) -> Facts:
        digests = rows.read(connection) if proof.reaches(ProofLevel.RESTORED) else ()
        pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PRAGMAS}
        description = describe(connection).compact
        further = {**pragmas, "migrations": list(migrations(connection))}
        return replace(facts, rows=digests, description=description, extra={**facts.extra, **further})

    return inside(copy, control, work)


def _printable(raw: bytes) -> str:
    """SQLite keeps text as it is given, a comment in a definition too."""
    return raw.decode("utf-8", "backslashreplace")


def migrations(connection: sqlite3.Connection) -> Iterator[dict[str, object]]:
    """The last one of each framework, told the same of a copy and of the database itself."""
    connection.text_factory = _printable
    names = {framework.table for framework in FRAMEWORKS}
    for table in application_tables(connection):
        if table.name in names and (fact := _last(connection, table.name)):
            yield fact


def applied_since(connection: sqlite3.Connection, then: Sequence[Mapping[str, object]]) -> Iterator[str]:
    """Names of the migrations that came after those ``then``, the facts of a snapshot; in their order."""
    known = {each["table"]: each for each in then}
    for now in migrations(connection):
        before = known.get(now["table"], {})
        if now["name"] and now["name"] != before.get("name"):
            more = int(str(now["count"])) - int(str(before.get("count", 0)))
            if more >= 0:  # of fewer, the last one was there before
                yield from _newest(connection, str(now["framework"]), max(1, more))


def _newest(connection: sqlite3.Connection, framework: str, count: int) -> list[str]:
    asked = next(known for known in FRAMEWORKS if known.name == framework)
    query = asked.last.format(table=quoted(asked.table)).removesuffix(" LIMIT 1")
    newest = connection.execute(f"{query} LIMIT ?", (count,)).fetchall()
    return [str(name) for name, _ in reversed(newest)]


def _last(connection: sqlite3.Connection, table: str) -> dict[str, object] | None:
    columns = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    framework = framework_of(table, columns)
    if framework is None:
        return None
    try:
        last = connection.execute(framework.last.format(table=quoted(table))).fetchone()
        (count,) = connection.execute(f"SELECT count(*) FROM {quoted(table)}").fetchone()  # noqa: S608
    except sqlite3.OperationalError:  # a virtual table whose module is not here
        return None
    return as_fact(framework, table, count, last)
