"""What people and machines are told of a snapshot or a run, and the list of snapshots."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from amanat.domain.aside import Aside
from amanat.domain.model import Run, Snapshot, SnapshotState, utc_text

if TYPE_CHECKING:
    from amanat.ports import Ports

_HERE = (SnapshotState.PRESENT, SnapshotState.DAMAGED)


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
        "manifest_sha256": snapshot.manifest_sha256,
        "taken_at": utc_text(snapshot.taken_at),
        "scheduled_at": optional_text(snapshot.scheduled_at),
        "proof": snapshot.proof,
        "required_proof": snapshot.required_proof,
        "proven": snapshot.proven,
        "proof_at": optional_text(snapshot.proof_at),
        "read_at": optional_text(snapshot.read_at),
        "failed_proof": snapshot.failed_proof,
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
        "scheduled_at": optional_text(run.scheduled_at),
        "attempt": run.attempt,
        "started_at": utc_text(run.started_at),
        "finished_at": optional_text(run.finished_at),
        "outcome": run.outcome,
        "code": run.code,
        "reason": run.reason,
        "hint": run.hint,
        "note": run.note,
        "snapshot": run.snapshot,
        "restore_seconds": run.restore_seconds,
    }


def aside_row(aside: Aside) -> dict[str, Any]:
    return {**asdict(aside), "since": utc_text(aside.since), "until": utc_text(aside.until)}


def listed(ports: "Ports", database: str | None, *, everything: bool) -> Iterator[Snapshot]:
    """Newest first; without ``everything`` only those whose files are there."""
    found = ports.register.each_snapshot(database=database, gone=everything)
    return (item for item in found if everything or item.state in _HERE)


def optional_text(time: datetime | None) -> str | None:
    return None if time is None else utc_text(time)
