"""What a PostgreSQL database is at this moment, for who wants to change its schema.

From a plain role pg_stat_activity hides what other roles' sessions do, but neither their names nor their users
(manual, "The Cumulative Statistics System"); pg_locks, pg_prepared_xacts and pg_class hide nothing.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from amanat.domain.errors import YieldedError
from amanat.domain.gate import Holder, Live, locked_away
from amanat.domain.units import format_duration
from amanat.engines.postgresql import catalog, server
from amanat.engines.postgresql.connection import Row, Session, is_name_of_ours
from amanat.engines.postgresql.dumping import migrations
from amanat.host import files

# A prepared transaction has no process, and is found by the lock on its own id. An autovacuum worker, the one
# process without a user that locks tables, gives way to whom it holds up, unless it is there to prevent wraparound
# (manual, "The Autovacuum Daemon"): that a role which may not see its query tells by the table's age.
_HOLDERS = """
WITH locks AS MATERIALIZED (SELECT * FROM pg_locks WHERE granted),
prepared AS (
    SELECT t.virtualtransaction, p.gid, p.prepared
    FROM pg_prepared_xacts p JOIN locks t ON t.transactionid = p.transaction AND t.pid IS NULL)
SELECT l.virtualtransaction, l.pid, p.gid, a.application_name, a.usename::text, a.state,
       now() - coalesce(a.xact_start, p.prepared),
       array_agg(DISTINCT l.relation::regclass::text ORDER BY l.relation::regclass::text)
FROM locks l
JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN prepared p ON l.pid IS NULL AND p.virtualtransaction = l.virtualtransaction
WHERE l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND NOT (a.pid IS NOT NULL AND a.usesysid IS NULL
           AND coalesce(a.query NOT LIKE '%(to prevent wraparound)%', true)
           AND age(c.relfrozenxid) <= current_setting('autovacuum_freeze_max_age')::int
           AND mxid_age(c.relminmxid) <= current_setting('autovacuum_multixact_freeze_max_age')::int)
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 7 DESC NULLS LAST
"""
# Over a socket the server is on this host; where its folder is, only some roles may know.
_FOLDER = """
SELECT coalesce(nullif(pg_tablespace_location(dattablespace), ''),
                (SELECT setting FROM pg_settings WHERE name = 'data_directory'))
FROM pg_database WHERE datname = current_database() AND inet_server_addr() IS NULL
"""
_SHOWN_TABLES = 3


def look(asked: Session, parameters: Mapping[str, str]) -> Live:
    """``parameters``: those of its target."""
    asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    holders = [_holder(row, parameters) for row in asked.ask(_HOLDERS)]
    try:
        live = _live(asked, holders)
    except YieldedError as exc:
        return locked_away(holders or [Holder(key="all", description=f"what kept us waiting: {exc.message}")])
    asked.ask("ROLLBACK")  # else our own locks might outlast this by a moment
    return live


def _live(asked: Session, holders: Iterable[Holder]) -> Live:
    return Live(
        identity=server.identity(asked),
        migrations=migrations.last(asked, catalog.read(asked).relations),
        source_bytes=catalog.database_bytes(asked),
        free_bytes=_free_bytes(asked),
        holders=tuple(holders),
    )


def _holder(row: Row, parameters: Mapping[str, str]) -> Holder:
    transaction, pid, prepared, name, user, state, age, tables = row
    who = f"the prepared transaction {prepared}" if prepared else f"session {pid}"
    known = ", ".join(_known(name, user, state, age))
    more = f" and {len(tables) - _SHOWN_TABLES} more" if len(tables) > _SHOWN_TABLES else ""
    what = f"{', '.join(tables[:_SHOWN_TABLES])}{more}"
    return Holder(
        key=transaction,
        description=f"{who}{f' ({known})' if known else ''}, which holds locks on {what}",
        ours=is_name_of_ours(name or "", parameters),
    )


def _known(name: str | None, user: str | None, state: str | None, age: timedelta | None) -> Iterator[str]:
    yield from filter(None, (name, f"user {user}" if user else "", state))
    if age is not None:
        yield f"transaction {format_duration(age)} old"


def _free_bytes(asked: Session) -> int | None:
    for (folder,) in asked.ask(_FOLDER):
        with contextlib.suppress(OSError):
            return files.free_bytes(Path(folder)) if folder else None
    return None
