"""Notes that a snapshot is no longer what it was: from then on it counts for nothing."""

from dataclasses import replace

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import IntegrityError, ProofError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, ProofLevel, Run, Snapshot, SnapshotState, Stage
from amanat.ports import Ports


def note(
    ports: Ports, snapshot: Snapshot, level: ProofLevel, run: Run, found: IntegrityError | ProofError
) -> None:
    """``level``: of the proof that it failed. ``run``: the one that came upon it."""
    at = ports.now()
    is_there = ports.store.path(snapshot.path).is_file()
    damaged = replace(
        snapshot,
        state=SnapshotState.DAMAGED if is_there else SnapshotState.MISSING,
        failed_proof=level,
        proof=ProofLevel.NONE,
        proof_at=at,
        proof_run=run.id,
    )
    entry = Entry.about(
        snapshot,
        EntryKind.DRILL if run.stage is Stage.DRILL else EntryKind.VERIFY,
        at=at,
        by=run.by,
        outcome=Outcome.FAILED,
        run=run.id,
        detail=found.message,
    )
    ports.emit(Event.SNAPSHOT_DAMAGED, database=snapshot.database, snapshot=snapshot.id, reason=found.message)
    ports.register.record_proof(damaged, entry)
