"""Asks all the questions of one database, and makes a description of the answers."""

from collections.abc import Iterator, Sequence

from psycopg import sql

from amanat.domain.description import DatabaseObject, Description
from amanat.domain.scope import Table
from amanat.engines.postgresql.connection import Row, Session
from amanat.engines.postgresql.describing import kinds, outside, rights, sequences, tables
from amanat.engines.postgresql.describing.part import WHOLE, Part
from amanat.engines.postgresql.describing.reprinting import settled

# What belongs to an extension comes with it.
_OWN = """
SELECT q.class::bigint, q.oid::bigint, q.kind, q.within, q.name, q.definition
FROM ({}) AS q (class, oid, kind, within, name, definition)
WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = q.class AND e.objid = q.oid AND e.deptype = 'e')
"""
_RELATIONS = """
SELECT 'pg_class'::regclass::oid::bigint, c.oid::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
FIRST_OF_USERS = 16384
"""Smaller OIDs are of what PostgreSQL brought along (``FirstNormalObjectId`` of ``transam.h``)."""
# What PostgreSQL prints depends on these. They hold until the transaction ends.
_PRINTING = """
SELECT set_config(name, value, true) FROM (VALUES ('search_path', 'pg_catalog'), ('DateStyle', 'ISO'),
  ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'), ('extra_float_digits', '3'), ('bytea_output', 'hex'),
  ('lc_monetary', 'C'), ('quote_all_identifiers', 'off'), ('standard_conforming_strings', 'on')) s (name, value)
"""
# The version of the database's own is noted since 15 (manual, pg_database, ``datcollversion``).
_DATABASE_COLLATION = """
SELECT to_jsonb(d) ->> 'datcollversion' FROM pg_database d WHERE d.datname = current_database()
"""
_USED_COLLATIONS = """
SELECT c.oid::regcollation::text, c.collversion FROM pg_collation c
WHERE c.collversion IS NOT NULL
  AND (c.oid >= 16384 OR c.oid IN (SELECT attcollation FROM pg_attribute WHERE attrelid = ANY(%s::oid[])))
"""
_PUBLISHES_PARTS = 15  # the first major whose publications have conditions, columns and schemas


def describe(asked: Session, part: Part = WHOLE) -> Description:
    """What stands in the database, as far as ``part`` goes; to be asked within a transaction, whose settings of
    how values are printed it changes.
    """
    asked.ask(_PRINTING)
    relations = [oid for catalog, oid in asked.ask(_RELATIONS) if part.holds(catalog, oid)]
    rows = [row for row in _answers(asked, relations, part) if part.holds(row[0], row[1])]
    numbers = sequences.read(asked, relations)
    return Description(
        dialect=f"PostgreSQL {asked.server_major}",
        objects=tuple(map(_object, rows)),
        sequences=numbers.next,
        descending=numbers.descending,
        collations=_collations(asked, relations),
    )


def _answers(asked: Session, relations: Sequence[int], part: Part) -> Iterator[Row]:
    for question in (*tables.OF_RELATIONS, rights.OF_RELATIONS):
        yield from asked.ask(_own(question), [relations])
    published = outside.PUBLISHED if asked.server_major >= _PUBLISHES_PARTS else outside.PUBLISHED_UNTIL_14
    elsewhere = _worth_asking(asked, (*kinds.IN_SCHEMAS, *outside.OUTSIDE, *rights.OF_THE_REST, *published))
    for question in (*(elsewhere if part.is_database else (kinds.SCHEMAS,)), *outside.REMARKS):
        yield from asked.ask(_own(question))
    for question in rights.OF_WHAT_WAS_BROUGHT if part.is_database else ():
        yield from asked.ask(question)


def _worth_asking(asked: Session, questions: Sequence[tuple[str, str]]) -> list[str]:
    """Most catalogues hold only what PostgreSQL brought along, and each question takes a millisecond or two."""
    each = [
        sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {} WHERE oid >= {})").format(
            sql.Literal(catalog), sql.Identifier(catalog), sql.Literal(FIRST_OF_USERS)
        )
        for catalog in dict.fromkeys(catalog for catalog, _ in questions)
    ]
    filled = {row[0] for row in asked.ask(sql.SQL(" UNION ALL ").join(each))}
    return [question for catalog, question in questions if catalog in filled]


def _own(question: str) -> sql.Composed:
    return sql.SQL(_OWN).format(sql.SQL(question))


def _object(row: Row) -> DatabaseObject:
    _, _, kind, within, name, definition = row
    return DatabaseObject(kind=kind, within=_within(within), name=name, definition=settled(definition or ""))


def _within(parts: Sequence[str]) -> str:
    """As tables are named elsewhere."""
    return Table(schema=parts[0], name=parts[1]).qualified if len(parts) > 1 else "".join(parts)


def _collations(asked: Session, relations: Sequence[int]) -> dict[str, str]:
    """Versions, by the name of what is in use; under ``database`` that of its default, where it is known."""
    found: dict[str, str] = dict(asked.ask(_USED_COLLATIONS, [relations]))
    of_database = asked.ask(_DATABASE_COLLATION)[0][0]
    return {**found, "database": of_database} if of_database else found
