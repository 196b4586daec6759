"""Whether indexes of a restored database are sound, by PostgreSQL's own amcheck, where the server has it."""

from psycopg import sql

from amanat.domain.comparison import Difference, Finding
from amanat.domain.errors import SourceError
from amanat.engines.postgresql.connection import Session, Target, session
from amanat.ports.run import Control

_AVAILABLE = "SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'"
_INDEXES = """
SELECT i.indexrelid::bigint, i.indexrelid::regclass::text FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
WHERE a.amname = 'btree' AND i.indisvalid AND i.indisready AND c.relkind = 'i' AND i.indexrelid >= 16384
ORDER BY 2
"""
_CHECK = "SELECT amanat_amcheck.bt_index_check(%s::oid)"


def differences(own: Target, control: Control) -> tuple[Difference, ...]:
    """Of B-tree indexes (manual, amcheck, ``bt_index_check``); needs a superuser.

    What that takes is made in a transaction that is taken back, so the database stays what it is.
    """
    with session(own, control) as asked:
        if not asked.ask(_AVAILABLE):
            return ()
        asked.ask("BEGIN")
        _disable_event_triggers(asked)
        asked.ask("CREATE SCHEMA amanat_amcheck")
        asked.ask("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA amanat_amcheck")
        asked.ask("ALTER EXTENSION amcheck SET SCHEMA amanat_amcheck")
        found = [_checked(asked, oid, name) for oid, name in asked.ask(_INDEXES)]
        asked.ask("ROLLBACK")
        return tuple(difference for difference in found if difference)


def _disable_event_triggers(asked: Session) -> None:
    """One may forbid DDL, or fail at it; those of event triggers itself fires none (manual, Event Triggers)."""
    for (name,) in asked.ask("SELECT evtname FROM pg_event_trigger"):
        asked.ask(sql.SQL("ALTER EVENT TRIGGER {} DISABLE").format(sql.Identifier(name)))


def _checked(asked: Session, oid: int, name: str) -> Difference | None:
    """The savepoint also lets go of the locks, of which there may be more than a transaction can hold."""
    asked.ask("SAVEPOINT checking")
    try:
        asked.ask(_CHECK, [oid])
    except SourceError as exc:
        said = {"expected": "a sound index", "found": exc.message}
        return Difference(kind="index", name=name, finding=Finding.DIFFERS, **said)
    finally:
        asked.ask("ROLLBACK TO SAVEPOINT checking")
    return None
