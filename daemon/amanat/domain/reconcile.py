"""What to set right after a crash: a plan from rows, locks and files; ``services.reconcile`` carries it out.

Order of observation matters: the store is surveyed first, then runs, then snapshot rows, so that what a
live run commits meanwhile is either still named by the open run or already a row.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from amanat.domain.manifest import Manifest
from amanat.domain.model import Run, Snapshot, SnapshotState

COMPANION_SUFFIXES = (".globals.sql",)
"""What an engine may put beside an artefact; nothing else behind its name is ours to remove."""

_HERE = (SnapshotState.PRESENT, SnapshotState.DAMAGED)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """``alive``: ids of runs whose process holds their lock. ``staged``: runs that have a staging folder.

    ``rows``: of all snapshots that were not pruned, and of those whose manifests are among ``units``.
    ``unfounded``: ids of those whose deletion no entry tells of.
    ``present``: all files of the store but manifests. ``marked``: paths beside which a manifest lies.
    ``units``: the manifests of paths that no row names; ``broken``: those that cannot be read, with the reason.
    """

    open_runs: Sequence[Run]
    alive: Collection[str]
    staged: Collection[str]
    rows: Sequence[Snapshot]
    unfounded: Collection[str]
    units: Mapping[str, Manifest]
    present: Collection[str]
    marked: Collection[str]
    broken: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Repairs:
    """``half_written``: path → run of artefacts whose commit mark was never made. ``foreign``: not ours.
    ``dropped``: databases of drills on servers, ``swaps`` that were begun, ``expired``: what stood aside for long;
    none of the three is looked for in advance.
    ``unfounded``: their rows say that they are being deleted, and no entry does: they are told, and left alone.
    """

    interrupted: tuple[Run, ...]
    swept: tuple[str, ...]
    half_written: Mapping[str, str]
    adopted: tuple[Manifest, ...]
    missing: tuple[Snapshot, ...]
    found_again: tuple[Snapshot, ...]
    pruned: tuple[Snapshot, ...]
    unfounded: tuple[Snapshot, ...]
    foreign: tuple[str, ...]
    broken: Mapping[str, str]
    dropped: tuple[str, ...] = ()
    swaps: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many things are to be changed; foreign files and unfounded deletions are only told."""
        groups = (self.interrupted, self.swept, self.half_written, self.adopted, self.missing)
        told = (self.found_again, self.pruned, self.dropped, self.swaps, self.expired)
        return sum(len(group) for group in (*groups, *told))


def plan(seen: Observed) -> Repairs:
    dead = tuple(run for run in seen.open_runs if run.id not in seen.alive)
    busy = {run.artefact for run in seen.open_runs if run.id in seen.alive and run.artefact}
    known_ids = {row.id for row in seen.rows}
    strays = set(seen.present) - _owned(seen)
    half_written = _half_written(seen, dead, strays)
    pruning = [row for row in seen.rows if row.state is SnapshotState.PRUNING]
    return Repairs(
        interrupted=dead,
        swept=tuple(run for run in seen.staged if run not in seen.alive),
        half_written=half_written,
        adopted=tuple(
            unit
            for path, unit in seen.units.items()
            if path in seen.present and path not in busy and unit.snapshot.id not in known_ids
        ),
        missing=tuple(row for row in seen.rows if row.state in _HERE and not _complete(row, seen)),
        found_again=tuple(row for row in seen.rows if row.state is SnapshotState.MISSING and _complete(row, seen)),
        pruned=tuple(row for row in pruning if row.id not in seen.unfounded),
        unfounded=tuple(row for row in pruning if row.id in seen.unfounded),
        broken=seen.broken,
        foreign=tuple(sorted(strays - set(half_written) - busy)),
    )


def _owned(seen: Observed) -> set[str]:
    """What a manifest claims; that of a known row is not read, the row says the same."""
    snapshots = [row for row in seen.rows if row.path in seen.marked]
    snapshots += [unit.snapshot for unit in seen.units.values()]
    return {name for snapshot in snapshots for name in (snapshot.path, *snapshot.companions)}


def _half_written(seen: Observed, dead: Sequence[Run], strays: Collection[str]) -> dict[str, str]:
    """Files that are ours only because a dead run named them: the artefact, and companions behind its name."""
    return {
        f"{run.artefact}{suffix}": run.id
        for run in dead
        if run.artefact and run.artefact not in seen.marked
        for suffix in ("", *COMPANION_SUFFIXES)
        if f"{run.artefact}{suffix}" in strays
    }


def _complete(row: Snapshot, seen: Observed) -> bool:
    return row.path in seen.present and row.path in seen.marked
