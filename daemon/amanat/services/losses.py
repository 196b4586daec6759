"""Snapshots whose files somebody else removed or changed: noticed, and said, before anything relies on them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import StoreError
from amanat.domain.events import Event
from amanat.domain.model import MANIFEST_SUFFIX, Outcome, ProofLevel, Snapshot, SnapshotState
from amanat.ports import Ports

_SHOULD_BE_HERE = (SnapshotState.PRESENT, SnapshotState.DAMAGED)


def as_on_disk(ports: Ports, rows: Iterable[Snapshot]) -> list[Snapshot]:
    """The rows, ``missing`` where artefact or manifest is gone; changes nothing."""
    return [row if there or not is_lost(ports, row) else _missing(row) for row, there in _seen(ports, rows)]


def _missing(row: Snapshot) -> Snapshot:
    return replace(row, state=SnapshotState.MISSING)


def _seen(ports: Ports, rows: Iterable[Snapshot]) -> Iterator[tuple[Snapshot, bool]]:
    """Each with whether its files are there, by one look at each database's folder.

    A row may be younger than that look: who misses its files looks again.
    """
    units = cache(ports.store.units)
    return ((row, row.path in units(row.database)) for row in rows)


def require_store(ports: Ports) -> None:
    """StoreError if it is missing, or empty although the register knows snapshots: a disk that is not mounted."""
    require_filled(ports, sum(totals.present for totals in ports.register.snapshot_totals()))


def require_filled(ports: Ports, known: int) -> None:
    """The same; ``known``: how many snapshots should be in it."""
    ports.store.require()
    if known and ports.store.is_bare():
        raise StoreError(
            f"store {ports.store.root} is empty, and the register knows {known} snapshots in it",
            hint="mount it; if they were really removed, `amanat reconcile` takes note of that",
        )


def record(ports: Ports, rows: Iterable[Snapshot], *, by: str) -> int:
    """Write down what was lost and what came back; how many rows were changed.

    StoreError when the store itself is gone: it may come back.
    """
    require_store(ports)
    changed = 0
    for row, there in _seen(ports, rows):
        if not there and is_lost(ports, row):
            mark_lost(ports, row, by=by)
        elif there and row.state is SnapshotState.MISSING:
            mark_found(ports, row, by=by)
        else:
            continue
        changed += 1
    return changed


def is_lost(ports: Ports, row: Snapshot) -> bool:
    return row.state in _SHOULD_BE_HERE and not ports.store.holds(row.path)


def what_is_gone(ports: Ports, row: Snapshot) -> str:
    """Which of artefact and manifest, as a sentence; empty where both are there."""
    artefact = ports.store.path(row.path)
    manifest = artefact.with_name(artefact.name + MANIFEST_SUFFIX)
    match artefact.is_file(), ports.store.has_manifest(row.path):
        case False, False:
            return f"{artefact} and its manifest are gone"
        case False, True:
            return f"{artefact} is gone; its manifest {manifest.name} still lies there"
        case True, False:
            return f"{manifest} is gone; {artefact.name} still lies there"
    return ""


def problem(ports: Ports, row: Snapshot) -> str:
    """What is known against restoring it, as a sentence; empty where nothing is."""
    gone = what_is_gone(ports, row)
    if gone or row.state is not SnapshotState.DAMAGED:
        return gone
    entries = ports.register.entries(snapshot=row.id)
    failures = [entry.detail for entry in entries if entry.outcome == Outcome.FAILED]
    return f"it is damaged: {(failures or ['its bytes are not those it had'])[-1]}"


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
    """Its files are there again; it counts as before if they are the same bytes."""
    state = judged_by_bytes(ports, replace(row, state=SnapshotState.PRESENT)).state
    detail = "found again" if state is SnapshotState.PRESENT else "found again, but not with the bytes it had"
    entry = Entry.about(row, EntryKind.ADOPTION, at=ports.now(), by=by, detail=detail)
    ports.register.set_state(row, state, entry)
    ports.emit(Event.RECONCILE_ACTED, what="found again", thing=row.path, state=state)


def judged_by_bytes(ports: Ports, snapshot: Snapshot) -> Snapshot:
    """As it is if the disk gives the bytes that were proven; else ``damaged``."""
    control = ports.controls(timeout=None, label={"database": snapshot.database, "policy": snapshot.policy})
    artefact = ports.store.path(snapshot.path)
    if ports.store.reread(artefact, control) == snapshot.sha256:
        return snapshot
    return replace(snapshot, state=SnapshotState.DAMAGED, proof=ProofLevel.NONE)
