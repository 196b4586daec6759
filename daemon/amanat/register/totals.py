"""Sums for metrics: a scrape must neither build ten thousand values nor read ten thousand rows."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from amanat.domain.model import Outcome, ProofLevel, SnapshotState, Stage
from amanat.ports.register import RunCount, SnapshotTotals
from amanat.register.rows import time_of, understood_runs

# Size and time of the newest one come from the row that has the maximum (SQLite, lang_select.html, section 2.5).
SNAPSHOTS = """
    WITH kinds AS (
        SELECT database, policy, state, proof, required_proof, count(*) AS count, sum(size_bytes) AS total,
               max(taken_at) AS newest, size_bytes AS last_bytes, source_bytes AS last_source_bytes
        FROM snapshots INDEXED BY kept_by_kind WHERE state <> 'pruned'
        GROUP BY database, policy, state, proof, required_proof)
    SELECT *, (SELECT min(taken_at) FROM snapshots WHERE state <> 'pruned' AND database = kinds.database
               AND policy = kinds.policy AND state = kinds.state AND proof = kinds.proof
               AND required_proof = kinds.required_proof) AS oldest
    FROM kinds WHERE state <> 'pruning' ORDER BY database, policy
"""
GROUPS = """
    SELECT DISTINCT database, policy FROM snapshots
    WHERE state <> 'pruned' AND (?1 IS NULL OR database = ?1) ORDER BY database, policy
"""
RUNS = "SELECT * FROM run_totals"
DRILLS = """
    SELECT snapshot, max(finished_at) AS at FROM runs
    WHERE stage = 'drill' AND outcome = 'succeeded' AND database = ? GROUP BY snapshot
"""
PRUNED = (
    "SELECT database, policy, count(*) AS count FROM snapshots WHERE state = 'pruned' GROUP BY database, policy"
)


def snapshot_totals(found: Iterable[sqlite3.Row]) -> list[SnapshotTotals]:
    groups = groupby(found, key=lambda row: (row["database"], row["policy"]))
    return [_totals(database, policy, list(kinds)) for (database, policy), kinds in groups]


def _totals(database: str, policy: str, kinds: Sequence[sqlite3.Row]) -> SnapshotTotals:
    by_proof: Counter[str] = Counter()
    for kind in kinds:
        by_proof[kind["proof"] if kind["state"] == SnapshotState.PRESENT else kind["state"]] += kind["count"]
    proven = [kind for kind in kinds if _is_proven(kind)]
    last = max(kinds, key=lambda kind: kind["newest"])
    return SnapshotTotals(
        database=database,
        policy=policy,
        by_proof=by_proof,
        proven=sum(kind["count"] for kind in proven),
        total_bytes=sum(kind["total"] for kind in kinds if kind["state"] != SnapshotState.MISSING),
        last_bytes=last["last_bytes"],
        last_source_bytes=last["last_source_bytes"],
        newest_proven=max((time_of(kind["newest"]) for kind in proven), default=None),
        oldest_proven=min((time_of(kind["oldest"]) for kind in proven), default=None),
    )


def _is_proven(kind: sqlite3.Row) -> bool:
    """As ``Snapshot.proven``."""
    proof = ProofLevel(kind["proof"])
    reached = proof is not ProofLevel.NONE and proof.reaches(ProofLevel(kind["required_proof"]))
    return kind["state"] == SnapshotState.PRESENT and reached


def run_count(row: sqlite3.Row) -> RunCount:
    with understood_runs():
        return RunCount(
            stage=Stage(row["stage"]),
            policy=row["policy"],
            database=row["database"],
            outcome=Outcome(row["outcome"]),
            code=row["code"],
            count=row["count"],
            last_finished=time_of(row["last_finished"]),
        )
