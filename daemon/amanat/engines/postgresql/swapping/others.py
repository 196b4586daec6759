"""Who else is in the databases that change their names, and how they are kept out while those are locked.

Whoever renames a database locks it: who connects then, waits. Who is in it already has to leave first, for which
the server waits up to five seconds, ending autovacuum workers by itself (``CountOtherDBBackends`` of procarray.c).
"""

import contextlib
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from amanat.domain.errors import AmanatError
from amanat.engines.postgresql.connection import Row, Session

_EVERY_SECONDS = 0.02
# Whom one may end, as ``pg_signal_backend`` of signalfuncs.c has it; null: the server's own, without a user.
_SESSIONS = """
SELECT a.pid, a.usename::text, a.application_name, a.datname::text, r.rolsuper,
  (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
  OR NOT r.rolsuper AND (pg_has_role(r.oid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))
FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
WHERE a.datname = ANY(%s) AND a.pid <> pg_backend_pid() ORDER BY a.pid
"""
_END = "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid"
_PREPARED = """
SELECT gid, owner::text, database::text FROM pg_prepared_xacts WHERE database = ANY(%s) ORDER BY 1
"""
_LOCKS = """
SELECT l.pid, a.usename::text, a.application_name, d.datname::text, l.mode
FROM pg_locks l JOIN pg_database d ON d.oid = l.objid LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.granted ORDER BY 1
"""
_RENAMING = "AccessExclusiveLock"
_CONNECTING = "RowExclusiveLock"  # for a moment


@dataclass(frozen=True, kw_only=True)
class Other:
    """A session. ``may_end``: whether our role may; None: nobody asks for that, the server ends it itself."""

    pid: int
    description: str
    is_superuser: bool
    may_end: bool | None


def sessions(asked: Session, databases: Collection[str]) -> list[Other]:
    return [
        Other(pid=row[0], description=_described(row), is_superuser=bool(row[4]), may_end=row[5])
        for row in asked.ask(_SESSIONS, [list(databases)])
    ]


def unendable(asked: Session, databases: Collection[str]) -> list[Other]:
    return [each for each in sessions(asked, databases) if each.may_end is False]


def prepared(asked: Session, databases: Collection[str]) -> list[str]:
    """Transactions that nobody may end but who knows what they are."""
    rows = asked.ask(_PREPARED, [list(databases)])
    return [f"the prepared transaction {gid} of {owner} in {database}" for gid, owner, database in rows]


def locking(asked: Session, databases: Collection[str]) -> list[str]:
    """Who changes one of them, or copies it (CREATE DATABASE … TEMPLATE)."""
    return [
        f"{_described(row)}, which has that locked"
        for row in asked.ask(_LOCKS)
        if row[3] in databases and row[4] != _CONNECTING
    ]


def are_renamed_now(asked: Session, databases: Collection[str]) -> bool:
    """Whether a transaction that began so is still open."""
    return any(row[3] in databases and row[4] == _RENAMING for row in asked.ask(_LOCKS))


class KeptOut:
    """``still_there``: who was when a database was last seen locked."""

    def __init__(self, asked: Session, locker: int) -> None:
        self._asked = asked
        self._locker = locker
        self._over = threading.Event()
        self.still_there: list[str] = []

    def end_them(self) -> None:
        try:
            while not self._over.is_set():
                self._end_those_there()
                self._over.wait(_EVERY_SECONDS)
        except AmanatError as exc:
            self.still_there = [f"sessions that could not be ended: {exc.message}"]

    def stop(self) -> None:
        self._over.set()

    def _end_those_there(self) -> None:
        locked = [row[3] for row in self._asked.ask(_LOCKS) if row[0] == self._locker and row[4] == _RENAMING]
        if locked:
            there = sessions(self._asked, locked)
            self._asked.ask(_END, [[each.pid for each in there if each.may_end]])
            self.still_there = [each.description for each in there]


@contextlib.contextmanager
def kept_out(asked: Session, locker: int) -> Iterator[KeptOut]:
    """Meanwhile sessions are ended that are in a database which process ``locker`` has locked to rename it."""
    them = KeptOut(asked, locker)
    thread = threading.Thread(target=them.end_them, name="ending sessions", daemon=True)
    thread.start()
    try:
        yield them
    finally:
        them.stop()
        thread.join()


def _described(row: Row) -> str:
    pid, user, application, database, *_ = row
    known = ", ".join(filter(None, (f"user {user}" if user else "", application)))
    return f"session {pid}{f' ({known})' if known else ''} in {database}"
