"""The application's last migration, where a framework keeps it in a table of its own."""

from collections.abc import Collection, Iterator, Mapping

from psycopg import sql

from amanat.domain.errors import SourceError
from amanat.domain.migrations import FRAMEWORKS, Framework, as_fact, framework_of
from amanat.engines.postgresql.catalog import Relation
from amanat.engines.postgresql.connection import Session

_COLUMNS = """
SELECT attname::text FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attrelid = %s
"""


def last(asked: Session, relations: Collection[Relation]) -> list[dict[str, object]]:
    """Of each framework's table among ``relations``. Within a transaction, which goes on whatever they hold."""
    names = {framework.table for framework in FRAMEWORKS}
    named = [entry for entry in relations if entry.table.name in names and entry.kind != "f"]
    return [fact for entry in named if entry.readable and not entry.filtered for fact in _of(asked, entry)]


def since(asked: Session, relations: Collection[Relation], known: object) -> tuple[str, ...]:
    """Names of those applied since the facts were taken that have ``known``, the newest first; as ``last``."""
    then = {fact["table"]: fact for fact in known if isinstance(fact, Mapping)} if isinstance(known, list) else {}
    tables = {entry.table.qualified: entry for entry in relations}
    changed = [fact for fact in last(asked, relations) if then.get(fact["table"]) != fact]
    return tuple(
        name
        for fact in changed
        for name in _newest(asked, tables[str(fact["table"])], fact, then.get(fact["table"], {}))
    )


def _newest(
    asked: Session, entry: Relation, now: Mapping[str, object], then: Mapping[str, object]
) -> Iterator[str]:
    (framework,) = [known for known in FRAMEWORKS if known.name == now["framework"]]
    table = sql.Identifier(entry.table.schema, entry.table.name)
    count = int(str(now["count"])) - int(str(then.get("count", 0)))
    if count < 0:  # of fewer, the last one was there before
        return
    for name, _ in asked.ask(sql.SQL(framework.newest(max(1, count))).format(table=table)):
        yield str(name)


def _of(asked: Session, entry: Relation) -> Iterator[dict[str, object]]:
    framework = framework_of(entry.table.name, _columns(asked, entry))
    if framework is None:
        return
    asked.ask("SAVEPOINT migrations")
    try:
        yield _fact(asked, framework, entry)
    except SourceError:  # its columns are of other types than the framework's
        asked.ask("ROLLBACK TO SAVEPOINT migrations")
    asked.ask("RELEASE SAVEPOINT migrations")


def _columns(asked: Session, entry: Relation) -> list[str]:
    return [name for (name,) in asked.ask(_COLUMNS, [entry.oid])]


def _fact(asked: Session, framework: Framework, entry: Relation) -> dict[str, object]:
    table = sql.Identifier(entry.table.schema, entry.table.name)
    rows = asked.ask(sql.SQL(framework.last).format(table=table))
    count = int(asked.ask(sql.SQL("SELECT count(*) FROM {}").format(table))[0][0])
    return as_fact(framework, entry.table.qualified, count, (rows[0][0], rows[0][1]) if rows else None)
