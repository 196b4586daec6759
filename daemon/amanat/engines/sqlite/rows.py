"""The rows of a SQLite database as digests, table by table: everything is read."""

import hashlib
import json
import sqlite3
from collections.abc import Callable

from amanat.domain.model import TableRows
from amanat.engines.sqlite.schema import quoted

_AT_ONCE = 1000
# Virtual tables keep what they hold in shadow tables, which need no module to be read.
_STORED = r"""
    SELECT name FROM pragma_table_list
    WHERE schema = 'main' AND type IN ('table', 'shadow') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'
    ORDER BY name
"""


def read(connection: sqlite3.Connection) -> tuple[TableRows, ...]:
    """Of all stored tables: SHA-256 over the rows as JSON, an array for each thousand, in the order of row ids or
    else of primary keys. ``1`` is an integer, ``1.0`` a real, ``{"blob": "00ff"}`` a blob.
    """
    return tuple(_of_table(connection, name) for name in stored(connection))


def stored(connection: sqlite3.Connection) -> tuple[str, ...]:
    """Names of the tables that hold rows."""
    return tuple(name for (name,) in connection.execute(_STORED))


def _of_table(connection: sqlite3.Connection, name: str) -> TableRows:
    try:
        return _digested(connection, name, str)
    except (UnicodeDecodeError, sqlite3.OperationalError) as exc:
        if isinstance(exc, sqlite3.OperationalError) and "decode" not in str(exc).lower():
            raise
        return _digested(connection, name, _any_text)  # SQLite keeps text as it is given, whatever it is


def _digested(connection: sqlite3.Connection, name: str, text: Callable[[bytes], str] | type[str]) -> TableRows:
    """NOT INDEXED: a covering index would give another order."""
    sha256, rows, size = hashlib.sha256(), 0, 0
    cursor = connection.cursor()
    connection.text_factory = text
    try:
        cursor.execute(f"SELECT * FROM {quoted(name)} NOT INDEXED")  # noqa: S608
        while batch := cursor.fetchmany(_AT_ONCE):
            line = _JSON.encode(batch).encode()
            sha256.update(line)
            rows += len(batch)
            size += len(line)
    finally:
        connection.text_factory = str
    return TableRows(schema="", name=name, rows=rows, bytes=size, sha256=sha256.hexdigest())


def _any_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _blob(value: bytes) -> dict[str, str]:
    return {"blob": value.hex()}


_JSON = json.JSONEncoder(separators=(",", ":"), default=_blob)
