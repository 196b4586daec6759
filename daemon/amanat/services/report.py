"""What people and machines are told: rows of snapshots, the state of every policy, coming runs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from amanat.domain.model import Outcome, Run, Snapshot, SnapshotState, Stage, utc_text
from amanat.domain.policy import Configuration, Database, Policy
from amanat.domain.schedule import jittered, next_instants
from amanat.ports import Ports

_ENDED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.YIELDED)


def snapshot_row(snapshot: Snapshot) -> dict[str, Any]:
    """JSON-ready; the keys are an API (design section 7)."""
    return {
        "id": snapshot.id,
        "database": snapshot.database,
        "engine": snapshot.engine,
        "environment": snapshot.environment,
        "policy": snapshot.policy,
        "name": snapshot.name,
        "purpose": snapshot.purpose,
        "by": snapshot.by,
        "scope": snapshot.scope.describe(),
        "path": snapshot.path,
        "size_bytes": snapshot.size_bytes,
        "source_bytes": snapshot.source_bytes,
        "sha256": snapshot.sha256,
        "taken_at": utc_text(snapshot.taken_at),
        "scheduled_at": _text(snapshot.scheduled_at),
        "proof": snapshot.proof,
        "required_proof": snapshot.required_proof,
        "proven": snapshot.proven,
        "proof_at": _text(snapshot.proof_at),
        "state": snapshot.state,
        "held": list(snapshot.held),
        "companions": list(snapshot.companions),
    }


def run_row(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "stage": run.stage,
        "database": run.database,
        "policy": run.policy,
        "by": run.by,
        "scheduled_at": _text(run.scheduled_at),
        "attempt": run.attempt,
        "started_at": utc_text(run.started_at),
        "finished_at": _text(run.finished_at),
        "outcome": run.outcome,
        "code": run.code,
        "reason": run.reason,
        "hint": run.hint,
        "note": run.note,
        "snapshot": run.snapshot,
    }


def listed(ports: Ports, database: str | None, *, everything: bool) -> list[Snapshot]:
    """Newest first; without ``everything`` only those whose files are there."""
    found = ports.register.snapshots(database=database)
    gone = {SnapshotState.PRUNED, SnapshotState.PRUNING, SnapshotState.MISSING}
    return [item for item in found if everything or item.state not in gone]


def status(ports: Ports, configuration: Configuration) -> dict[str, Any]:
    """JSON-ready: what runs now, and for every policy and database when it last succeeded and is next due."""
    now = ports.now()
    missed = ports.register.missed_slots()
    return {
        "now": utc_text(now),
        "store": {"path": str(ports.store.root), "free_bytes": ports.store.free_bytes()},
        "running": [run_row(run) for run in ports.register.open_runs() if ports.locks.is_alive(run.id)],
        "policies": [
            _policy_row(ports, policy, database, now, missed.get((policy.name, database.name), 0))
            for policy, database in configuration.pairs()
        ],
        "uncovered": configuration.uncovered(),
        "recent_runs": [run_row(run) for run in ports.register.recent_runs(10)],
    }


def _policy_row(ports: Ports, policy: Policy, database: Database, now: datetime, missed: int) -> dict[str, Any]:
    def newest(*outcomes: Outcome) -> Run | None:
        return ports.register.newest_run(Stage.SNAPSHOT, policy.name, database.name, outcomes=outcomes)

    snapshots = ports.register.snapshots(database=database.name, policy=policy.name)
    proven = [item for item in snapshots if item.proven]
    last, success = newest(*_ENDED), newest(Outcome.SUCCEEDED)
    return {
        "policy": policy.name,
        "database": database.name,
        "environment": database.environment,
        "last_run": run_row(last) if last else None,
        "last_success": _text(success.finished_at) if success else None,
        "newest_proven": snapshot_row(proven[0]) if proven else None,
        "proven": len(proven),
        "next_run": _text(next_run(policy, database, now)),
        "missed": missed,
    }


def next_run(policy: Policy, database: Database, now: datetime) -> datetime | None:
    return next((at for _, at in upcoming(policy, database, now, 1)), None)


def upcoming(
    policy: Policy, database: Database, after: datetime, count: int
) -> Iterator[tuple[datetime, datetime]]:
    """(scheduled instant, start with jitter) in the policy's zone; nothing for an on-demand policy."""
    if policy.schedule:
        for slot in islice(next_instants(policy.schedule, after), count):
            yield slot, jittered(policy.schedule, slot, f"{policy.name}/{database.name}")


def _text(time: datetime | None) -> str | None:
    return None if time is None else utc_text(time.astimezone(UTC))
