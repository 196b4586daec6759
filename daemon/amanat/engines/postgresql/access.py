"""Whether the role may read all that is wanted, and over how many connections: asked before pg_dump starts."""

from collections.abc import Iterable

from amanat.domain.errors import SourceError
from amanat.domain.model import Scope
from amanat.domain.scope import Selection, Table
from amanat.engines.postgresql.catalog import Catalog, NumberSequence
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.dumping.dump import quoted

_NAMED_AT_MOST = 20
# What is left of each limit, without our own sessions (connection.target names them). Reserved slots stay free. Of
# other roles' sessions a plain role cannot tell which are a query's parallel workers: they are counted too.
_LEFT = """
WITH others AS (
    SELECT usesysid, datid FROM pg_stat_activity
    WHERE usesysid IS NOT NULL AND datid IS NOT NULL
      AND coalesce(backend_type, 'client backend') = 'client backend'
      AND application_name <> current_setting('application_name')),
limits (name, most, taken) AS (
    SELECT 'max_connections',
           (SELECT setting::int FROM pg_settings WHERE name = 'max_connections') - (SELECT sum(setting::int)
            FROM pg_settings WHERE name IN ('superuser_reserved_connections', 'reserved_connections')),
           (SELECT count(*) FROM others)
    UNION ALL
    SELECT 'the role''s CONNECTION LIMIT', rolconnlimit, (SELECT count(*) FROM others WHERE usesysid = r.oid)
    FROM pg_roles r WHERE rolname = session_user AND rolconnlimit >= 0 AND NOT rolsuper
    UNION ALL
    SELECT 'the database''s CONNECTION LIMIT', datconnlimit, (SELECT count(*) FROM others WHERE datid = d.oid)
    FROM pg_database d, pg_roles
    WHERE datname = current_database() AND datconnlimit >= 0 AND rolname = session_user AND NOT rolsuper AND %s)
SELECT name, most - taken FROM limits ORDER BY 2 LIMIT 1
"""


def require_readable(catalog: Catalog, scope: Scope, selection: Selection) -> None:
    """SourceError that names what the role cannot read, with the statements that let it."""
    _require_grants(catalog, scope, selection)
    _require_all_rows(catalog, selection)
    _require_large_objects(catalog, scope)


def left(asked: Session, *, of_database: bool = True) -> tuple[str, int]:
    """The limit that leaves the fewest connections, and how many. ``of_database``: whether this one's counts."""
    name, count = asked.ask(_LEFT, [of_database])[0]
    return name, int(count)


def readers(asked: Session, wanted: int, *, beside: int) -> tuple[int, tuple[str, ...]]:
    """How many connections may read, at least one; a warning where that is less than ``wanted``.

    ``beside``: sessions that ask meanwhile.
    """
    limit, there = left(asked)
    count = min(wanted, max(1, there - beside))
    if count == wanted:
        return wanted, ()
    connections = f"{count} connection{'s' if count > 1 else ''}"
    return count, (f"it was read over {connections} instead of {wanted}: {limit} leaves no more",)


def _require_grants(catalog: Catalog, scope: Scope, selection: Selection) -> None:
    # pg_dump locks tables without rows too, for which it needs SELECT as well; foreign tables it does not.
    tables = [entry.table for entry in catalog.of(selection.kept) if not entry.readable and entry.kind != "f"]
    sequences = [entry.name for entry in _dumped(catalog, scope, selection) if not entry.readable]
    if not tables and not sequences:
        return
    parts = [
        *([f"tables {_listed(tables)}"] if tables else []),
        *([f"sequences {_listed(sequences)}"] if sequences else []),
    ]
    raise SourceError(
        f"role {catalog.role} may not read {' and '.join(parts)}",
        hint=f"run: {_grants(catalog.role, tables, sequences)} — or for the whole server: "
        f"GRANT pg_read_all_data TO {quoted(catalog.role)};",
    )


def _require_all_rows(catalog: Catalog, selection: Selection) -> None:
    filtered = [entry.table for entry in catalog.of(selection.with_data) if entry.filtered]
    if filtered:
        raise SourceError(
            f"row-level security hides rows of {_listed(filtered)} from role {catalog.role}",
            hint=f"run: ALTER ROLE {quoted(catalog.role)} BYPASSRLS; or exclude the rows of these tables",
        )


def _require_large_objects(catalog: Catalog, scope: Scope) -> None:
    if not catalog.sealed or scope.tables:  # with --table pg_dump takes none
        return
    role, first = quoted(catalog.role), catalog.sealed[0]
    raise SourceError(
        f"role {catalog.role} may not read large objects {', '.join(map(str, catalog.sealed))}",
        hint="pg_read_all_data does not cover large objects; for all of them, as superuser: ALTER ROLE "
        f"{role} SET lo_compat_privileges = on; for one: GRANT SELECT ON LARGE OBJECT {first} TO {role};",
    )


def _dumped(catalog: Catalog, scope: Scope, selection: Selection) -> Iterable[NumberSequence]:
    """The sequences pg_dump reads: with ``--table`` those of the tables; else all but identities left out."""
    kept = {entry.oid for entry in catalog.of(selection.kept)}
    for sequence in catalog.sequences:
        if sequence.owner in kept or (not scope.tables and not sequence.is_identity):
            yield sequence


def _grants(role: str, tables: list[Table], sequences: list[Table]) -> str:
    schemas = sorted({table.schema for table in (*tables, *sequences)})
    to = f"TO {quoted(role)};"
    return " ".join(
        [
            f"GRANT USAGE ON SCHEMA {', '.join(map(quoted, schemas))} {to}",
            *([f"GRANT SELECT ON {', '.join(map(_name, tables))} {to}"] if tables else []),
            *([f"GRANT SELECT ON SEQUENCE {', '.join(map(_name, sequences))} {to}"] if sequences else []),
        ]
    )


def _listed(tables: list[Table]) -> str:
    named = ", ".join(table.qualified for table in tables[:_NAMED_AT_MOST])
    more = len(tables) - _NAMED_AT_MOST
    return f"{named} and {more} more" if more > 0 else named


def _name(table: Table) -> str:
    return quoted(table.schema, table.name)
