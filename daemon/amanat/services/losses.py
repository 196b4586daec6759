"""Snapshots whose files somebody else removed: noticed before anything relies on them."""

from collections.abc import Iterable
from dataclasses import replace

from amanat.domain.events import Event
from amanat.domain.model import Entry, EntryKind, Outcome, Snapshot, SnapshotState
from amanat.ports import Ports

_SHOULD_BE_HERE = (SnapshotState.PRESENT, SnapshotState.DAMAGED)


def as_on_disk(ports: Ports, rows: Iterable[Snapshot]) -> list[Snapshot]:
    """The rows, ``missing`` where artefact or manifest is gone; changes nothing."""
    return [replace(row, state=SnapshotState.MISSING) if is_lost(ports, row) else row for row in rows]


def record(ports: Ports, rows: Iterable[Snapshot], *, by: str) -> None:
    """Write down what was lost and what came back. StoreError when the store itself is gone: it may come back."""
    ports.store.require()
    for row in rows:
        if is_lost(ports, row):
            mark_lost(ports, row, by=by)
        elif row.state is SnapshotState.MISSING and ports.store.holds(row.path):
            mark_found(ports, row, by=by)


def is_lost(ports: Ports, row: Snapshot) -> bool:
    return row.state in _SHOULD_BE_HERE and not ports.store.holds(row.path)


def mark_lost(ports: Ports, row: Snapshot, *, by: str) -> None:
    """It counts for nothing any more."""
    detail = f"{row.path} or its manifest is gone"
    entry = Entry.about(row, EntryKind.LOSS, at=ports.now(), by=by, outcome=Outcome.FAILED, detail=detail)
    ports.register.set_state(row, SnapshotState.MISSING, entry)
    ports.emit(
        Event.SNAPSHOT_LOST,
        database=row.database,
        policy=row.policy,
        snapshot=row.id,
        reason=detail,
        hint="find out who deletes in the store; what is put back is taken up again",
    )


def mark_found(ports: Ports, row: Snapshot, *, by: str) -> None:
    entry = Entry.about(row, EntryKind.ADOPTION, at=ports.now(), by=by, detail="found again")
    ports.register.set_state(row, SnapshotState.PRESENT, entry)
    ports.emit(Event.RECONCILE_ACTED, what="found again", thing=row.path)
