"""What an archive held, as facts: rows, bytes and hash of each table, under the names the catalogue knows."""

from dataclasses import replace

from amanat import archive
from amanat.archive import Archive, TableData
from amanat.domain.model import Facts, TableRows
from amanat.domain.scope import Table
from amanat.engines.postgresql.catalog import Catalog


def with_rows(facts: Facts, written: Archive | None, known: Catalog) -> Facts:
    """Unchanged where nobody read the rows."""
    if written is None:
        return facts
    names = {relation.oid: relation.table for relation in known.relations}
    return replace(
        facts,
        rows=tuple(_rows(data, names) for data in written.tables),
        extra={**facts.extra, "large_objects": written.large_objects},
    )


def _rows(data: TableData, names: dict[int, Table]) -> TableRows:
    """By OID: in the archive a name is in the encoding of the database. An extension's tables are not ours."""
    entry = data.entry
    table = names.get(entry.oid) or Table(
        schema=archive.printable(entry.schema), name=archive.printable(entry.name)
    )
    return TableRows(schema=table.schema, name=table.name, rows=data.rows, bytes=data.bytes, sha256=data.sha256)
