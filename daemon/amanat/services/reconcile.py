"""Bring register and store into agreement after a crash; safe while other runs are alive."""

import contextlib
from dataclasses import replace

from amanat.domain.errors import AmanatError, BusyError, IntegrityError
from amanat.domain.events import Event
from amanat.domain.manifest import Manifest
from amanat.domain.model import Entry, EntryKind, Outcome, Run, Snapshot, SnapshotState
from amanat.domain.reconcile import Observed, Repairs, plan
from amanat.ports import Ports
from amanat.services import prune


def look(ports: Ports) -> Repairs:
    """What there is to do; changes nothing. The order of the questions is part of ``domain.reconcile``."""
    found = ports.store.survey()
    staged = sorted({*ports.store.staged_runs(), *ports.scratch.runs()})
    open_runs = ports.register.open_runs()
    alive = {run.id for run in open_runs if ports.locks.is_alive(run.id)}
    return plan(
        Observed(
            open_runs=open_runs,
            alive=alive | {run for run in staged if ports.locks.is_alive(run)},
            staged=staged,
            rows=ports.register.snapshots(),
            units=found.units,
            present=found.present,
            strays=found.strays,
        )
    )


def reconcile(ports: Ports, *, by: str) -> Repairs:
    """Carry out what ``look`` finds; each step may be repeated after another crash."""
    repairs = look(ports)
    for path in repairs.half_written:
        ports.store.delete(path, ())
        _tell(ports, "half-written", path)
    for run_id in repairs.swept:
        ports.store.sweep(run_id)
        ports.scratch.sweep(run_id)
        _tell(ports, "swept", run_id)
    for manifest in repairs.adopted:
        _adopt(ports, manifest, by)
    for run in repairs.interrupted:
        _close(ports, run)
    for row in repairs.missing:
        _mark_missing(ports, row, by)
    for row in repairs.found_again:
        _mark(ports, row, SnapshotState.PRESENT, _entry(ports, row, EntryKind.ADOPTION, "found again", by))
    for row in repairs.pruned:
        _finish_pruning(ports, row, by)
    for path in repairs.foreign:
        ports.emit(Event.FOREIGN_FOUND, path=path)
    return repairs


def _close(ports: Ports, run: Run) -> None:
    ports.register.finish_run(
        replace(
            run,
            finished_at=ports.now(),
            outcome=Outcome.INTERRUPTED,
            code="died",
            reason="its process died before it ended",
            hint="see the system log for why; nothing of it is left",
        )
    )
    ports.locks.forget(run.id)
    _tell(ports, "interrupted", run.id)


def _adopt(ports: Ports, manifest: Manifest, by: str) -> None:
    snapshot = manifest.snapshot
    entry = _entry(ports, snapshot, EntryKind.ADOPTION, f"adopted from {snapshot.path}", by)
    ports.register.add_snapshot(snapshot, entry)
    _tell(ports, "adopted", snapshot.path)


def _mark_missing(ports: Ports, row: Snapshot, by: str) -> None:
    """Look again: it may have been committed after the survey."""
    with contextlib.suppress(IntegrityError):
        ports.store.read_manifest(row.path)
        if ports.store.path(row.path).is_file():
            return
    entry = _entry(ports, row, EntryKind.LOSS, f"{row.path} or its manifest is gone", by)
    _mark(ports, row, SnapshotState.MISSING, entry)


def _mark(ports: Ports, row: Snapshot, state: SnapshotState, entry: Entry) -> None:
    ports.register.set_state(row, state, entry)
    _tell(ports, state, row.path)


def _finish_pruning(ports: Ports, row: Snapshot, by: str) -> None:
    """Not while a live prune is at it: the database's lock tells."""
    control = ports.controls(timeout=None, label={})
    try:
        with ports.locks.database(row.database, control, wait=0):
            prune.delete(ports, row, by=by, run=None, reason="finishing a deletion that was interrupted")
    except BusyError:
        return
    except AmanatError as exc:
        ports.emit(Event.RUN_WARNING, database=row.database, warning=f"reconcile: {exc}")


def _entry(ports: Ports, snapshot: Snapshot, kind: EntryKind, detail: str, by: str) -> Entry:
    return Entry.about(snapshot, kind, at=ports.now(), by=by, detail=detail)


def _tell(ports: Ports, what: str, thing: str) -> None:
    ports.emit(Event.RECONCILE_ACTED, what=what, thing=thing)
