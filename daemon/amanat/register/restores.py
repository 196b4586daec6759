"""Reading what restores took: the newest few of each database, however many there are of others."""

from amanat.domain.model import EngineName, Scope
from amanat.domain.recovery import COUNTED, History, Restore
from amanat.register import rows
from amanat.register.connection import RegisterDatabase

# From one name to the next by the index: there are few, and they may have had a hundred thousand snapshots.
_DATABASES = """
    WITH RECURSIVE known (database) AS (
        SELECT min(database) FROM snapshots
        UNION ALL
        SELECT (SELECT min(snapshots.database) FROM snapshots WHERE snapshots.database > known.database)
        FROM known WHERE known.database IS NOT NULL)
    SELECT newest.database, newest.engine, newest.source_bytes FROM known JOIN snapshots AS newest ON newest.id =
        (SELECT id FROM snapshots WHERE snapshots.database = known.database ORDER BY taken_at DESC, id LIMIT 1)
"""
# A part of a database tells nothing of the time that the whole one takes.
_RESTORES = """
    SELECT runs.finished_at AS at, runs.restore_seconds AS seconds, snapshots.source_bytes AS bytes
    FROM runs JOIN snapshots ON snapshots.id = runs.snapshot
    WHERE runs.database = ? AND runs.restore_seconds IS NOT NULL AND snapshots.scope = ?
    ORDER BY runs.finished_at DESC LIMIT ?
"""


def histories(register: RegisterDatabase) -> list[History]:
    """Of every database that ever had a snapshot."""
    with rows.understood():
        return [
            History(
                database=row["database"],
                engine=EngineName(row["engine"]),
                bytes=row["source_bytes"],
                restores=_restores(register, row["database"]),
            )
            for row in register.query(_DATABASES)
        ]


def _restores(register: RegisterDatabase, database: str) -> tuple[Restore, ...]:
    found = register.query(_RESTORES, (database, rows.scope_text(Scope()), COUNTED))
    return tuple(Restore(at=rows.time_of(row["at"]), bytes=row["bytes"], seconds=row["seconds"]) for row in found)
