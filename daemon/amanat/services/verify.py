"""Prove a snapshot anew, from the bytes on the disk."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import IntegrityError, ProofError
from amanat.domain.model import ProofLevel, Run, Snapshot, SnapshotState, Stage, utc_text
from amanat.domain.policy import MANUAL
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services import damage, find, intact, prove, reconcile
from amanat.services.beside import warm
from amanat.services.beside.site import at, place_of
from amanat.services.giving_way import GivingWay, Mark
from amanat.services.rehearse import Rehearse, configured, policy_of, rehearsal
from amanat.services.runs import ActiveRun, admitted_to_read, new_id, recorded, warn


def drill(
    ports: Ports, snapshot: Snapshot, *, by: str, wait: float, limit: Callable[[], timedelta | None] = lambda: None
) -> Snapshot:
    """The proof ``restored``, as a run of its own kind: how long it takes is what a recovery takes.

    ``limit``: asked when its turn has come; a drill that takes longer is stopped, and proves nothing.
    """
    return verify(ports, snapshot, level=ProofLevel.RESTORED, by=by, wait=wait, stage=Stage.DRILL, limit=limit)


def verify(
    ports: Ports,
    snapshot: Snapshot,
    *,
    level: ProofLevel,
    by: str,
    wait: float,
    stage: Stage = Stage.VERIFY,
    limit: Callable[[], timedelta | None] = lambda: None,
) -> Snapshot:
    """The snapshot with its proof renewed (a higher level stays, with the time when it was proven).

    IntegrityError or ProofError when it is no longer what it was; it is then ``damaged``, or ``missing``
    when the file is gone, and counts for nothing. NotFoundError, and no run, when it was pruned meanwhile.
    """
    run = Run(
        id=new_id(),
        stage=stage,
        database=snapshot.database,
        policy=snapshot.policy,
        by=by,
        started_at=ports.now(),
        snapshot=snapshot.id,
    )
    with admitted_to_read(ports, run, snapshot, wait=wait, restores=level.reaches(ProofLevel.RESTORED)):
        reconcile.settle_if_free(ports, run.database)  # a drill that died may have left a whole database
        snapshot = find.require_here(ports, find.snapshot(ports, snapshot.id))
        within = limit() or MANUAL.timeout
        with recorded(ports, replace(run, started_at=ports.now())) as active:
            active.snapshot = snapshot.id
            return _renewed(ports, snapshot, level, active, within)


def _renewed(ports: Ports, snapshot: Snapshot, level: ProofLevel, active: ActiveRun, limit: timedelta) -> Snapshot:
    label = {"database": snapshot.database, "policy": snapshot.policy}
    control: Control = ports.controls(timeout=min(MANUAL.timeout, limit), label=label)
    if level.reaches(ProofLevel.RESTORED):
        after = policy_of(ports, snapshot.policy, snapshot.database).yield_after
        control = GivingWay(control, Mark(ports, snapshot.database, after=after))
    try:
        active.restore_seconds = _prove(ports, snapshot, level, active, control)
    except (IntegrityError, ProofError) as exc:
        damage.note(ports, snapshot, level, active.run, exc)
        raise
    _require_enough(snapshot, level)
    return _record(ports, replace(snapshot, failed_proof=None), level, active.run)


def _require_enough(snapshot: Snapshot, level: ProofLevel) -> None:
    """What failed its drill is damaged, however well its bytes can be read."""
    failed = snapshot.failed_proof
    if snapshot.state is SnapshotState.DAMAGED and failed and not level.reaches(failed):
        raise ProofError(
            f"snapshot {snapshot.id} is {level}, and stays damaged: it failed the proof {failed}",
            hint=f"amanat verify {snapshot.id} --level={failed}",
        )


def _prove(
    ports: Ports, snapshot: Snapshot, level: ProofLevel, active: ActiveRun, control: Control
) -> float | None:
    manifest = intact.manifest_of(ports, snapshot, control)
    with _rehearsal(ports, snapshot, level, active, control) as rehearse:
        return prove.prove(
            ports,
            ports.store.path(snapshot.path),
            engine=snapshot.engine,
            sha256=snapshot.sha256,
            facts=manifest.facts,
            scope=snapshot.scope,
            level=level,
            control=control,
            rehearse=rehearse,
        )


@contextlib.contextmanager
def _rehearsal(
    ports: Ports, snapshot: Snapshot, level: ProofLevel, active: ActiveRun, control: Control
) -> Iterator[Rehearse | None]:
    if not level.reaches(ProofLevel.RESTORED):
        yield None
        return
    database, run = configured(ports, snapshot.database), active.run.id
    policy = policy_of(ports, snapshot.policy, snapshot.database)
    with ports.store.staging(run) as folder, ports.scratch.folder(run) as scratch:
        place = place_of(ports, run, (folder, scratch), warn=partial(warn, ports, active))
        keep = active.run.stage is Stage.DRILL and warm.is_wanted(ports, policy, snapshot)
        yield rehearsal(ports, database, policy, place, control, keep=keep)
        if keep:
            warm.take_over(ports, at(ports, database, place, control), policy, snapshot)


def _record(ports: Ports, snapshot: Snapshot, level: ProofLevel, run: Run) -> Snapshot:
    """``level``: what was checked and holds."""
    at = ports.now()
    renewed = _with_proof(snapshot, level, run, at)
    entry = Entry.about(
        snapshot,
        EntryKind.DRILL if run.stage is Stage.DRILL else EntryKind.VERIFY,
        at=at,
        by=run.by,
        run=run.id,
        detail=_told(renewed, level),
    )
    ports.register.record_proof(renewed, entry)
    return renewed


def _with_proof(snapshot: Snapshot, level: ProofLevel, run: Run, at: datetime) -> Snapshot:
    """A level above the one that was checked stays as it was proven then."""
    read = replace(snapshot, read_at=at, state=SnapshotState.PRESENT)
    if level.reaches(snapshot.proof):
        return replace(read, proof=level, proof_at=at, proof_run=run.id)
    return read


def _told(renewed: Snapshot, level: ProofLevel) -> str:
    if renewed.proof is level:
        return f"proof {level}"
    since = f" of {utc_text(renewed.proof_at)}" if renewed.proof_at else ""
    return f"checked {level}; proof {renewed.proof}{since} stays"
