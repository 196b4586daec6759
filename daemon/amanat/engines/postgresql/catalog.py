"""What stands in the database, asked within one transaction whose snapshot pg_dump then shares."""

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from psycopg import sql

from amanat.domain.scope import Table, named
from amanat.engines.postgresql.connection import Row, Session

# Neither the system's schemas nor temporary tables, nor what belongs to an extension (it brings its own).
# On a standby the rows of unlogged tables cannot be read, and pg_dump leaves them out by itself.
_RELATIONS = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text,
       ARRAY(SELECT a.relid::bigint FROM pg_partition_ancestors(c.oid) a WHERE a.relid <> c.oid),
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       row_security_active(c.oid),
       c.relkind = 'r' AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery())
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
# deptype: a = serial column, i = identity column, e = of an extension (manual, pg_depend).
_SEQUENCES = """
SELECT n.nspname, c.relname, o.refobjid::bigint, o.deptype = 'i',
       has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = c.oid
     AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i')
WHERE c.relkind = 'S' AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname, c.relname
"""
# Tables of extensions whose rows pg_dump takes because the extension asked for it.
_EXTENSION_DATA = "SELECT DISTINCT unnest(extconfig)::bigint FROM pg_extension"

# Those of others that nobody let this role read: SELECT for it, for a role it is in, or for PUBLIC (grantee 0).
# Neither pg_read_all_data nor, before 18, a function answers for them (manual, "Predefined Roles").
_SEALED_LARGE_OBJECTS = """
SELECT oid::bigint FROM pg_largeobject_metadata
WHERE current_setting('lo_compat_privileges') = 'off' AND NOT pg_has_role(lomowner, 'USAGE')
  AND NOT EXISTS (SELECT FROM aclexplode(lomacl) WHERE privilege_type = 'SELECT'
                  AND (grantee = 0 OR pg_has_role(grantee, 'USAGE')))
ORDER BY oid LIMIT 20
"""


@dataclass(frozen=True, kw_only=True)
class Relation:
    """An application table. ``kind``: r table, p partitioned, f foreign. ``filtered``: by row security."""

    oid: int
    table: Table
    kind: str = "r"
    readable: bool = True
    filtered: bool = False
    has_data: bool = True


@dataclass(frozen=True, kw_only=True)
class NumberSequence:
    """A sequence; ``owner``: OID of the table whose column it serves."""

    name: Table
    owner: int | None = None
    is_identity: bool = False
    readable: bool = True


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """``role``: who asks. ``extension_data``: OIDs of extensions' tables whose rows a dump takes too.

    ``sealed``: OIDs of the first large objects that the role may not read.
    """

    role: str
    relations: tuple[Relation, ...]
    sequences: tuple[NumberSequence, ...] = ()
    extension_data: tuple[int, ...] = ()
    sealed: tuple[int, ...] = ()

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(relation.table for relation in self.relations)

    def of(self, tables: Collection[Table]) -> tuple[Relation, ...]:
        wanted = set(tables)
        return tuple(relation for relation in self.relations if relation.table in wanted)


@contextlib.contextmanager
def shared_snapshot(asked: Session) -> Iterator[str]:
    """The id under which others see exactly what this session sees, while the context lasts."""
    asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    yield str(asked.ask("SELECT pg_export_snapshot()")[0][0])


def database_bytes(asked: Session) -> int:
    return int(asked.ask("SELECT pg_database_size(current_database())")[0][0])


def table_bytes(asked: Session, relations: Collection[Relation]) -> dict[Table, int]:
    """With their long values, without indexes."""
    tables = {relation.oid: relation.table for relation in relations}
    rows = asked.ask("SELECT oid::bigint, pg_table_size(oid) FROM unnest(%s::oid[]) AS oid", [list(tables)])
    return {tables[oid]: size or 0 for oid, size in rows}


def large_object_bytes(asked: Session) -> int:
    return int(asked.ask("SELECT pg_table_size('pg_largeobject')")[0][0])


def read(asked: Session) -> Catalog:
    """All application tables and sequences."""
    rows = asked.ask(_RELATIONS)
    names = {row[0]: Table(schema=row[1], name=row[2]).qualified for row in rows}
    return Catalog(
        role=asked.ask("SELECT current_user")[0][0],
        relations=tuple(_relation(row, names) for row in rows),
        sequences=tuple(_sequence(row) for row in asked.ask(_SEQUENCES)),
        extension_data=tuple(row[0] for row in asked.ask(_EXTENSION_DATA)),
        sealed=tuple(row[0] for row in asked.ask(_SEALED_LARGE_OBJECTS)),
    )


def count(asked: Session, table: Table) -> int:
    """Rows of a table; of a partitioned one with those of its partitions."""
    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table.schema, table.name))
    return int(asked.ask(query)[0][0])


def counts(asked: Session, names: Collection[str], tables: Collection[Table]) -> dict[str, int]:
    """Rows by the name asked for, ``table`` or ``schema.table``; SourceError if none or two have it."""
    chosen = {name: named(name, tuple(tables)) for name in names}
    return {name: count(asked, table) for name, table in chosen.items()}


def _relation(row: Row, names: dict[int, str]) -> Relation:
    oid, schema, name, kind, ancestors, readable, filtered, has_data = row
    return Relation(
        oid=oid,
        table=Table(
            schema=schema, name=name, ancestors=tuple(names[above] for above in ancestors if above in names)
        ),
        kind=kind,
        readable=readable,
        filtered=filtered,
        has_data=has_data,
    )


def _sequence(row: Row) -> NumberSequence:
    schema, name, owner, is_identity, readable = row
    return NumberSequence(
        name=Table(schema=schema, name=name), owner=owner, is_identity=bool(is_identity), readable=readable
    )
