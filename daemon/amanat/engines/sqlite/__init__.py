"""SQLite: consistent copies through SQLite's own backup interface, and the proof that they read back."""

from amanat.engines.sqlite.engine import SqliteEngine
from amanat.engines.sqlite.proof import SqliteProver
from amanat.engines.sqlite.rehearsal import SqliteRehearser
from amanat.engines.sqlite.restorer import SqliteRestorer

__all__ = ["SqliteEngine", "SqliteProver", "SqliteRehearser", "SqliteRestorer"]
