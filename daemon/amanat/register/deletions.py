"""Deletions begin with an entry: so one of Amanat's is told from a row that somebody else set to ``pruning``."""

import sqlite3

from amanat.domain import chain
from amanat.domain.entry import Entry
from amanat.domain.model import Snapshot, SnapshotState
from amanat.register import chaining, rows
from amanat.register.connection import RegisterDatabase

_BEGIN = """
    UPDATE snapshots SET state = 'pruning' WHERE id = ? AND state IN ('present', 'damaged')
    AND NOT EXISTS (SELECT 1 FROM holds WHERE snapshot = snapshots.id AND released_at IS NULL)
"""
_PRUNING = f"{rows.SNAPSHOTS} state = 'pruning'"
_NEWEST = "SELECT * FROM entries WHERE snapshot = ? ORDER BY sequence DESC LIMIT 1"


def begin(connection: sqlite3.Connection, snapshot: Snapshot, entry: Entry) -> bool:
    """False if it is held, or gone. One that has begun goes on, and gets no second entry."""
    if connection.execute(_BEGIN, (snapshot.id,)).rowcount:
        chaining.append(connection, entry)
        return True
    row = connection.execute(f"{_PRUNING} AND id = ?", (snapshot.id,)).fetchone()
    return row is not None and _has_begun(row, connection.execute(_NEWEST, (snapshot.id,)).fetchone())


def unfounded(register: RegisterDatabase) -> set[str]:
    """Snapshots in that state whose newest entry does not say the same of all of the row.

    Asked twice: a deletion under way may end between row and entry.
    """
    doubtful = {row["id"] for row in register.query(_PRUNING) if not _has_begun(row, _newest(register, row["id"]))}
    return {row["id"] for row in register.query(_PRUNING)} & doubtful


def _newest(register: RegisterDatabase, snapshot: str) -> sqlite3.Row | None:
    return next(iter(register.query(_NEWEST, (snapshot,))), None)


def _has_begun(row: sqlite3.Row, entry: sqlite3.Row | None) -> bool:
    """``entry``: must have its own hash, too, or it was edited with the row."""
    if entry is None or entry["state"] != SnapshotState.PRUNING:
        return False
    return chain.digest(dict(entry)) == entry["hash"] and not chain.altered(dict(row), dict(entry))
