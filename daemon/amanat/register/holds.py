"""Holds against the entries that tell of them: who, when and why."""

from amanat.register.connection import RegisterDatabase

_UNTOLD = """
    SELECT DISTINCT snapshot FROM holds
    WHERE NOT EXISTS (SELECT 1 FROM entries WHERE snapshot = holds.snapshot AND kind = 'hold'
                      AND by = holds.by AND at = holds.at AND purpose = holds.reason)
       OR released_at IS NOT NULL
      AND NOT EXISTS (SELECT 1 FROM entries WHERE snapshot = holds.snapshot AND kind = 'release'
                      AND at = holds.released_at)
    ORDER BY snapshot
"""


def untold(register: RegisterDatabase) -> list[str]:
    """Snapshots with a hold that no entry tells of as it stands there, or whose release none tells of."""
    return [row["snapshot"] for row in register.query(_UNTOLD)]
