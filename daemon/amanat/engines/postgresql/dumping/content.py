"""Facts that the dump itself does not need: what stands in the database, and what its archive came to hold."""

from dataclasses import replace

from amanat import archive
from amanat.archive import Archive, TableData
from amanat.domain.model import Facts, Scope, TableRows
from amanat.domain.scope import Selection, Table
from amanat.engines.postgresql import server
from amanat.engines.postgresql.catalog import Catalog
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.describing import part
from amanat.engines.postgresql.describing.reading import describe
from amanat.engines.postgresql.dumping import migrations


def described(asked: Session, scope: Scope, known: Catalog, selection: Selection, facts: Facts) -> Facts:
    """In the transaction whose snapshot the dump shares, which has its settings and locks as before then."""
    further = {**server.facts(asked), "migrations": migrations.last(asked, known.of(selection.with_data))}
    asked.ask("SAVEPOINT description")
    description = describe(asked, part.of_scope(asked, scope, known, selection))
    asked.ask("ROLLBACK TO SAVEPOINT description")
    return replace(facts, extra={**facts.extra, **further}, description=description.compact)


def with_rows(facts: Facts, written: Archive | None, known: Catalog) -> Facts:
    """Rows, bytes and hash of each table, as the catalogue names them; nothing where nobody read them."""
    if written is None:
        return facts
    names = {relation.oid: relation.table for relation in known.relations}
    return replace(
        facts,
        rows=tuple(_rows(data, names) for data in written.tables),
        extra={
            **facts.extra,
            "large_objects": written.large_objects,
            "large_objects_sha256": written.large_objects_sha256,
        },
    )


def _rows(data: TableData, names: dict[int, Table]) -> TableRows:
    """By OID: in the archive a name is in the encoding of the database. An extension's tables are not ours."""
    entry = data.entry
    table = names.get(entry.oid) or Table(
        schema=archive.printable(entry.schema), name=archive.printable(entry.name)
    )
    return TableRows(schema=table.schema, name=table.name, rows=data.rows, bytes=data.bytes, sha256=data.sha256)
