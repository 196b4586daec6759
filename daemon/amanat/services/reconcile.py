"""Bring register and store into agreement after a crash; safe while other runs are alive."""

from dataclasses import replace

from amanat.domain.errors import AmanatError, BusyError
from amanat.domain.events import Event
from amanat.domain.manifest import Manifest
from amanat.domain.model import Entry, EntryKind, Outcome, Run, Snapshot
from amanat.domain.reconcile import Observed, Repairs, plan
from amanat.ports import Ports
from amanat.services import losses, prune


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
        if losses.is_lost(ports, row):  # look again: it may have been committed after the survey
            losses.mark_lost(ports, row, by=by)
    for row in repairs.found_again:
        losses.mark_found(ports, row, by=by)
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
    entry = Entry.about(
        snapshot, EntryKind.ADOPTION, at=ports.now(), by=by, detail=f"adopted from {snapshot.path}"
    )
    ports.register.add_snapshot(snapshot, entry)
    _tell(ports, "adopted", snapshot.path)


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


def _tell(ports: Ports, what: str, thing: str) -> None:
    ports.emit(Event.RECONCILE_ACTED, what=what, thing=thing)
