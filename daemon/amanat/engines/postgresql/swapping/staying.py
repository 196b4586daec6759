"""What belongs to the live database itself and cannot go over to the one that takes its name: told, not hidden."""

from collections.abc import Iterator

from psycopg import sql

from amanat.domain.errors import SourceError
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.swapping import properties
from amanat.engines.postgresql.swapping.properties import Properties

_SUBSCRIPTIONS = """
SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
WHERE d.datname = %s::name ORDER BY 1
"""
_SLOTS = """
SELECT slot_name::text FROM pg_replication_slots WHERE database = %s::name AND NOT temporary ORDER BY 1
"""


def require_droppable(asked: Session, name: str) -> None:
    """SourceError: a database that has a subscription is not dropped (``dropdb`` of dbcommands.c)."""
    if subscriptions := [subscription for (subscription,) in asked.ask(_SUBSCRIPTIONS, [name])]:
        by_hand = (
            sql.SQL("ALTER SUBSCRIPTION {0} DISABLE; ALTER SUBSCRIPTION {0} SET (slot_name = NONE); ").format(each)
            + sql.SQL("DROP SUBSCRIPTION {};").format(each)
            for each in map(sql.Identifier, subscriptions)
        )
        opened = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true;").format(sql.Identifier(name)).as_string()
        raise SourceError(
            f"database {name} cannot be dropped while it has subscriptions: {', '.join(subscriptions)}",
            hint=f"as a superuser: {opened} and in it: {' '.join(each.as_string() for each in by_hand)} "
            "and at the publisher drop their slots, if nothing else reads them",
        )


def warnings(asked: Session, live: str, outgoing: str) -> Iterator[str]:
    """Of what is in ``live`` before it is called ``outgoing``."""
    for (name,) in asked.ask(_SUBSCRIPTIONS, [live]):
        yield (
            f"the subscription {name} stays with {outgoing}, which lets nobody in, not its worker either: it "
            "receives nothing, its slot at the publisher keeps WAL, and the database cannot be dropped while it "
            f"has it; create it anew in {live}, and drop it in {outgoing} after ALLOW_CONNECTIONS true for that"
        )
    for (name,) in asked.ask(_SLOTS, [live]):
        yield (
            f"the logical replication slot {name} stays with {outgoing}: nobody can read from it there, and it "
            f"keeps WAL until pg_drop_replication_slot; who subscribes to {live} has to begin anew"
        )


def moved(live: Properties, incoming: Properties, name: str) -> Iterator[str]:
    """``name``: of the live database, once it is the one that came in."""
    if incoming.tablespace != live.tablespace:
        statement = sql.SQL("ALTER DATABASE {} SET TABLESPACE {}").format(
            sql.Identifier(name), sql.Identifier(live.tablespace)
        )
        yield (
            f"{name} is in tablespace {incoming.tablespace}, and was in {live.tablespace} before; to move it "
            f"while nobody is connected: {statement.as_string()}"
        )
    for statement in properties.labelled(live, incoming, name):
        yield f"a security label of the database was not carried over: {statement.as_string()}"
