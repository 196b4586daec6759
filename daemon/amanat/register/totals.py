"""Sums over snapshots for metrics, made in SQL: a scrape must not build ten thousand values."""

import sqlite3
from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from amanat.domain.model import ProofLevel
from amanat.ports import SnapshotTotals
from amanat.register.rows import optional_time_of

_RANK = " ".join(f"WHEN '{level}' THEN {rank}" for rank, level in enumerate(ProofLevel))
_PROVEN = f"state = 'present' AND proof <> 'none' AND CASE proof {_RANK} END >= CASE required_proof {_RANK} END"

# Bare columns come from the row of the maximum only where it is the one aggregate of its kind
# (SQLite, lang_select.html, section 2.5), hence the table expression of its own.
SQL = f"""
    WITH last AS (
        SELECT database, policy, size_bytes, source_bytes, max(taken_at) FROM snapshots
        WHERE state IN ('present', 'damaged', 'missing') GROUP BY database, policy)
    SELECT database, policy, CASE state WHEN 'present' THEN proof ELSE state END AS label,
           count(*) AS count, sum(snapshots.size_bytes) AS total,
           max(CASE WHEN {_PROVEN} THEN taken_at END) AS newest_proven,
           min(CASE WHEN {_PROVEN} THEN taken_at END) AS oldest_proven,
           last.size_bytes AS last_bytes, last.source_bytes AS last_source_bytes
    FROM snapshots JOIN last USING (database, policy) WHERE state IN ('present', 'damaged', 'missing')
    GROUP BY database, policy, label ORDER BY database, policy
"""  # noqa: S608 - made of constants


def snapshot_totals(found: Iterable[sqlite3.Row]) -> list[SnapshotTotals]:
    groups = groupby(found, key=lambda row: (row["database"], row["policy"]))
    return [_totals(database, policy, list(rows)) for (database, policy), rows in groups]


def _totals(database: str, policy: str, rows: list[sqlite3.Row]) -> SnapshotTotals:
    proven = [(row["newest_proven"], row["oldest_proven"]) for row in rows if row["newest_proven"]]
    return SnapshotTotals(
        database=database,
        policy=policy,
        by_proof=Counter({row["label"]: row["count"] for row in rows}),
        total_bytes=sum(row["total"] for row in rows if row["label"] != "missing"),
        last_bytes=rows[0]["last_bytes"],
        last_source_bytes=rows[0]["last_source_bytes"],
        newest_proven=optional_time_of(max((newest for newest, _ in proven), default=None)),
        oldest_proven=optional_time_of(min((oldest for _, oldest in proven), default=None)),
    )
