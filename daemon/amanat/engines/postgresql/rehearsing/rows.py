"""What rows and large objects of a restored database come to, told as the archive's pass told of the original."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from psycopg.errors import InvalidSchemaName, UndefinedColumn, UndefinedTable
from psycopg.types.json import Jsonb

from amanat import archive
from amanat.archive import Entry, LargeObjectsDigest
from amanat.domain.description import LargeObjects
from amanat.domain.errors import SourceError
from amanat.domain.model import Facts, TableRows
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.restoring.order import rows_by_table
from amanat.engines.postgresql.server import READING

# As pg_dump sets them (``setup_connection`` of ``pg_dump.c``).
_PG_DUMP = {
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "synchronize_seqscans": "off",
    "search_path": "",
}
_SET = "SELECT set_config(name, %s::jsonb ->> name, false) FROM pg_settings WHERE %s::jsonb ? name"
_FROM, _TO = b"FROM stdin;", b"TO STDOUT"
_AT_ONCE = 16
_PIECE_BYTES = 1024 * 1024
_OBJECTS = "SELECT oid::bigint FROM pg_largeobject_metadata ORDER BY oid"
_FIRST_PIECES = "SELECT oid, lo_get(oid::oid, 0, %s) FROM unnest(%s::bigint[]) AS oid"
_NEXT_PIECE = "SELECT lo_get(%s::oid, %s, %s)"


def read(
    asked: Session, entries: Iterable[Entry], facts: Facts, on_table: Callable[[str], None] = lambda _: None
) -> tuple[TableRows, ...]:
    """Of each table whose rows are in the archive: its columns in the archive's order, written as they are there.

    ``entries``: the archive's contents. ``on_table`` is told which comes next. A table that is missing or lacks a
    column has no rows either. Outside of any transaction; changes settings of the session.
    """
    _read_alike(asked, facts)
    names = _names(facts)
    found = (_rows(asked, entry, names, on_table) for entry in entries if entry.copy)
    return tuple(rows for rows in found if rows)


def large_objects(asked: Session) -> LargeObjects:
    """As ``archive.LargeObjectsDigest`` has it; the role must be able to read all of them."""
    digest = LargeObjectsDigest()
    oids = [oid for (oid,) in asked.ask(_OBJECTS)]
    for at in range(0, len(oids), _AT_ONCE):
        for oid, first in asked.ask(_FIRST_PIECES, [_PIECE_BYTES, oids[at : at + _AT_ONCE]]):
            content = digest.begin(oid)
            for piece in _pieces(asked, oid, first):
                content.update(piece)
            digest.add(content)
    return LargeObjects(count=digest.count, sha256=digest.sha256)


def copy_of(asked: Session, entry: Entry, take: Callable[[bytes], None]) -> None:
    """The rows of a table, one by one, as the archive has them; ``read`` has set the session for that."""
    asked.copy((entry.copy or b"").strip().removesuffix(_FROM) + _TO, take)


def _pieces(asked: Session, oid: int, piece: bytes) -> Iterator[bytes]:
    offset = 0
    while piece:
        yield piece
        offset += len(piece)
        whole = len(piece) == _PIECE_BYTES
        piece = asked.ask(_NEXT_PIECE, [oid, offset, _PIECE_BYTES])[0][0] if whole else b""


def _read_alike(asked: Session, facts: Facts) -> None:
    """A database or a role may set its own zone, and a restored one has not."""
    read_with = facts.extra.get(READING)
    server = facts.extra.get("server")
    settings = {**(read_with if isinstance(read_with, Mapping) else {}), **_PG_DUMP}
    if isinstance(server, Mapping):
        settings["client_encoding"] = server["encoding"]
    asked.ask(_SET, [Jsonb(settings)] * 2)


def _names(facts: Facts) -> dict[int, tuple[str, str]]:
    """Schema and name by the OID that the archive knows a table by."""
    oids = facts.extra.get("table_oids")
    rows = rows_by_table(facts)
    if not isinstance(oids, Mapping):
        return {}
    return {oid: (rows[name].schema, rows[name].name) for name, oid in oids.items() if name in rows}


def _rows(
    asked: Session, entry: Entry, names: Mapping[int, tuple[str, str]], on_table: Callable[[str], None]
) -> TableRows | None:
    schema, name = names.get(entry.oid, (archive.printable(entry.schema), archive.printable(entry.name)))
    on_table(f"{schema}.{name}")
    sha256, counted = hashlib.sha256(), [0, 0]

    def take(row: bytes) -> None:
        sha256.update(row)
        counted[0] += row.count(b"\n")
        counted[1] += len(row)

    try:
        copy_of(asked, entry, take)
    except SourceError as exc:
        if isinstance(exc.__cause__, UndefinedTable | UndefinedColumn | InvalidSchemaName):
            return None
        raise
    return TableRows(schema=schema, name=name, rows=counted[0], bytes=counted[1], sha256=sha256.hexdigest())
