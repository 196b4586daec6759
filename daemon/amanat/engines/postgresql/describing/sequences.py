"""Which number each sequence gives out next: of the present moment, for they are no part of any transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from amanat.domain.scope import Table
from amanat.engines.postgresql.connection import Row, Session

_AT_ONCE = 200
_SEQUENCES = """
SELECT n.nspname, c.relname, s.seqincrement
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY(%s::oid[]) AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
  AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery())
ORDER BY n.nspname, c.relname
"""
_NUMBER = "SELECT CASE WHEN is_called THEN last_value::numeric + {} ELSE last_value END FROM {}"


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """By qualified name."""

    next: Mapping[str, int]
    descending: tuple[str, ...]


def read(asked: Session, relations: Sequence[int]) -> Numbers:
    found = asked.ask(_SEQUENCES, [relations])
    names = [Table(schema=schema, name=name).qualified for schema, name, _ in found]
    numbers = [int(number) for batch in _batches(found) for number in _numbers(asked, batch)]
    down = tuple(name for name, (*_, step) in zip(names, found, strict=True) if step < 0)
    return Numbers(next=dict(zip(names, numbers, strict=True)), descending=down)


def _batches(rows: Sequence[Row]) -> list[Sequence[Row]]:
    return [rows[at : at + _AT_ONCE] for at in range(0, len(rows), _AT_ONCE)]


def _numbers(asked: Session, batch: Sequence[Row]) -> list[int]:
    """In the order of the batch: each sequence is a relation of its own, with one row."""
    each = [
        sql.SQL("SELECT {}, ({})").format(
            sql.Literal(place), sql.SQL(_NUMBER).format(sql.Literal(step), sql.Identifier(schema, name))
        )
        for place, (schema, name, step) in enumerate(batch)
    ]
    query = sql.SQL(" UNION ALL ").join(each)
    return [number for _, number in sorted(asked.ask(sql.Composed([query])))]
