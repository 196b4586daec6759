"""Bring register and store into agreement after a crash; safe while other runs are alive."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from amanat.domain.account import Account
from amanat.domain.chain import Head
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, BusyError, IntegrityError, RegisterError
from amanat.domain.events import Event
from amanat.domain.manifest import Manifest
from amanat.domain.migrating import way_back
from amanat.domain.model import MANIFEST_SUFFIX, Outcome, Run, Snapshot, Stage
from amanat.domain.reconcile import COMPANION_SUFFIXES, Observed, Repairs, plan
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services import losses, prune
from amanat.services.beside import swaps, sweeping

UNFOUNDED = "is left: its row says that its deletion began, and no entry does"

_DIED = "its process died before it ended"
_SETTLING = timedelta(seconds=5)  # a run, or the daemon's start, waits for it


def look(ports: Ports) -> Repairs:
    """What there is to do; changes nothing. The order of the questions is part of ``domain.reconcile``."""
    found = ports.store.survey()
    staged = sorted({*ports.store.staged_runs(), *ports.scratch.runs()})
    open_runs = ports.register.open_runs()
    alive = {run.id for run in open_runs if ports.locks.is_alive(run.id)}
    rows = ports.register.snapshots(gone=False)
    unfounded = ports.register.unfounded_deletions()
    units, broken = _read(ports, found.marked - {row.path for row in rows})
    return plan(
        Observed(
            open_runs=open_runs,
            alive=alive | {run for run in staged if ports.locks.is_alive(run)},
            staged=staged,
            rows=[*rows, *_rows_of(ports, units.values())],
            unfounded=unfounded,
            units=units,
            present=found.present,
            marked=found.marked,
            broken=broken,
        )
    )


def _read(ports: Ports, paths: Iterable[str]) -> tuple[dict[str, Manifest], dict[str, str]]:
    """Manifests by the path of their artefact; those that cannot be read by their own, with the reason."""
    units: dict[str, Manifest] = {}
    broken: dict[str, str] = {}
    for path in sorted(paths):
        try:
            units[path] = ports.store.read_manifest(path)
        except IntegrityError as exc:
            if ports.store.has_manifest(path):  # else it was pruned since
                broken[f"{path}{MANIFEST_SUFFIX}"] = exc.message
    return units, broken


def _rows_of(ports: Ports, units: Iterable[Manifest]) -> list[Snapshot]:
    """A pruned snapshot whose files somebody put back is known all the same."""
    return [row for unit in units for row in ports.register.snapshots_like(unit.snapshot.id)]


def reconcile(ports: Ports, *, by: str) -> Repairs:
    """Carry out what ``look`` finds; each step may be repeated after another crash.

    What is told as ``pruned`` is what was deleted.
    """
    repairs = look(ports)
    _adopt_all(ports, repairs.adopted, by)
    control = ports.controls(timeout=_SETTLING, label={})
    swapped = tuple(what for database in swaps.pending(ports) for what in settle_swaps(ports, database))
    for database in sorted({run.database for run in repairs.interrupted}):
        settle_if_free(ports, database, control)
    for run_id in repairs.swept:
        _sweep(ports, run_id)
    for row in repairs.missing:
        if losses.is_lost(ports, row):  # look again: it may have been committed after the survey
            losses.mark_lost(ports, row, by=by)
    for row in repairs.found_again:
        losses.mark_found(ports, row, by=by)
    pruned = tuple(row for row in repairs.pruned if _finish_pruning(ports, row, by))
    for row in repairs.unfounded:
        _tell_unfounded(ports, row)
    for path in repairs.foreign:
        ports.emit(Event.FOREIGN_FOUND, path=path)
    for path, reason in repairs.broken.items():
        ports.emit(Event.FOREIGN_FOUND, path=path, reason=reason)
    return replace(repairs, pruned=pruned, swaps=swapped)


def rebuild(ports: Ports, *, by: str, aside: Path | None) -> Repairs:
    """The same in a register that is empty. ``aside``: where the one of before lies."""
    _begin_anew(ports, look(ports).adopted, by, aside)
    return reconcile(ports, by=by)


def newest_head(manifests: Iterable[Manifest]) -> Head | None:
    heads = [manifest.register_head for manifest in manifests if manifest.register_head]
    return max(heads, key=lambda head: head.sequence, default=None)


def _begin_anew(ports: Ports, manifests: Sequence[Manifest], by: str, aside: Path | None = None) -> None:
    """The first entry says that others came before, and which was the last that anybody knows."""
    head = newest_head(manifests) or "none"
    detail = f"made anew from {len(manifests)} manifests; newest head of the register before, in them: {head}"
    moved = f"; it was moved to {aside.name}" if aside else ""
    entry = Entry(
        at=ports.now(),
        by=by,
        kind=EntryKind.REBUILD,
        database="",
        outcome=Outcome.SUCCEEDED,
        detail=f"{detail}{moved}",
    )
    ports.register.append(entry)
    _tell(ports, "register", detail)


def settle(ports: Ports, database: str, control: Control | None = None) -> None:
    """Close the dead runs of a database, with all they left. The caller holds the database's lock.

    ``control``: how long servers are asked, by default for seconds; the rest is for ``sweep_servers`` and the next
    drill there.
    """
    control = control or ports.controls(timeout=_SETTLING, label={})
    swaps.settle(ports, database)
    for run in _dead(ports, database):
        _remove_half_written(ports, run)
        sweeping.remove_restored(ports, run, control)
        _sweep(ports, run.id)
        _close(ports, run)


def settle_swaps(ports: Ports, database: str) -> list[str]:
    """What dead runs began to swap there, unless somebody works on the database. What was done."""
    if database not in swaps.pending(ports):
        return []
    with contextlib.suppress(BusyError), _locked(ports, database):
        return swaps.settle(ports, database)
    return []


def settle_if_free(ports: Ports, database: str, control: Control | None = None) -> None:
    """The same, unless somebody works on the database: who holds its lock settles it himself."""
    if _dead(ports, database):
        with contextlib.suppress(BusyError), _locked(ports, database):
            settle(ports, database, control)


def _dead(ports: Ports, database: str) -> list[Run]:
    open_runs = ports.register.open_runs()
    return [run for run in open_runs if run.database == database and not ports.locks.is_alive(run.id)]


def _remove_half_written(ports: Ports, run: Run) -> None:
    """What the run named and moved into place, unless it was committed after all."""
    if (
        run.artefact
        and not ports.store.has_manifest(run.artefact)
        and not ports.register.snapshot_at(run.artefact)
    ):
        ports.store.delete(run.artefact, tuple(f"{run.artefact}{suffix}" for suffix in COMPANION_SUFFIXES))
        _tell(ports, "half-written", run.artefact)


def _sweep(ports: Ports, run_id: str) -> None:
    ports.store.sweep(run_id)
    ports.scratch.sweep(run_id)
    _tell(ports, "swept", run_id)


def _close(ports: Ports, run: Run) -> None:
    if run.stage is Stage.MIGRATION:
        _tell_of_migration(ports, run)
    ports.register.finish_run(
        replace(
            run,
            finished_at=ports.now(),
            outcome=Outcome.INTERRUPTED,
            code="died",
            reason=_DIED,
            hint=f"see the system log for why; {_left(run)}",
        )
    )
    ports.locks.forget(run.id)
    _tell(ports, "interrupted", run.id)


def _left(run: Run) -> str:
    if run.stage is not Stage.MIGRATION:
        return "nothing of it is left"
    return f"what its command did stays: see what stands in {run.database}; to go back: {_way_back(run)}"


def _way_back(run: Run) -> str:
    return way_back(run.database, run.snapshot or "…")


def _tell_of_migration(ports: Ports, run: Run) -> None:
    """Nobody else does, and what its command did may be half of it."""
    database = ports.database_now(run.database)
    account = Account(failure=f"{_DIED}; what its command did is not known", undo=_way_back(run))
    ports.register.append(
        Entry(
            at=ports.now(),
            by=run.by,
            kind=EntryKind.MIGRATION,
            database=run.database,
            environment=database.environment if database else "",
            policy=run.policy,
            purpose=run.purpose,
            outcome=Outcome.INTERRUPTED,
            snapshot=run.snapshot,
            run=run.id,
            detail=account.as_text(),
        )
    )


def _adopt_all(ports: Ports, manifests: Sequence[Manifest], by: str) -> None:
    if manifests and ports.register.head() is None:
        _begin_anew(ports, manifests, by)
    for manifest in manifests:
        _adopt(ports, manifest, by)


def _adopt(ports: Ports, manifest: Manifest, by: str) -> None:
    """The manifest's proof holds for the bytes it was made of, so these are read first."""
    snapshot = replace(losses.judged_by_bytes(ports, manifest.snapshot), read_at=ports.now())
    head = manifest.register_head
    known = head is None or ports.register.hash_at(head.sequence) == head.hash
    detail = f"adopted from {snapshot.path}" + ("" if known else f", which knows another register, {head}")
    entry = Entry.about(snapshot, EntryKind.ADOPTION, at=ports.now(), by=by, detail=detail)
    try:
        ports.register.add_snapshot(snapshot, entry)
    except RegisterError as exc:
        ports.emit(Event.FOREIGN_FOUND, path=snapshot.path, reason=exc.message)
        return
    _tell(ports, "adopted", snapshot.path)


@contextlib.contextmanager
def _locked(ports: Ports, database: str) -> Iterator[None]:
    """BusyError when somebody else works on it."""
    with ports.locks.database(database, ports.controls(timeout=None, label={}), wait=0):
        yield


def _finish_pruning(ports: Ports, row: Snapshot, by: str) -> bool:
    """Not while a live prune is at it: the database's lock tells."""
    try:
        with _locked(ports, row.database):
            prune.delete(ports, row, by=by, run=None, reason="finishing a deletion that was interrupted")
    except BusyError:
        return False
    except AmanatError as exc:
        ports.emit(Event.RUN_WARNING, database=row.database, warning=f"reconcile: {exc}")
        return False
    return True


def _tell_unfounded(ports: Ports, row: Snapshot) -> None:
    ports.emit(
        Event.REGISTER_BROKEN,
        kind="row edited",
        reason=f"{row.path} {UNFOUNDED}",
        hint="find out who writes to the register; `amanat register rebuild --move-aside` makes it anew",
    )


def _tell(ports: Ports, what: str, thing: str) -> None:
    ports.emit(Event.RECONCILE_ACTED, what=what, thing=thing)
