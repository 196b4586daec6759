"""The life of a run: admission by locks, a row from start to end, one event at its edge."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import timedelta

from amanat.domain.errors import (
    AmanatError,
    BusyError,
    InterruptedRunError,
    RefusedError,
    RegisterError,
    YieldedError,
)
from amanat.domain.events import Event
from amanat.domain.model import Outcome, Run, Snapshot, Stage
from amanat.domain.units import format_duration
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services.giving_way import GivingWay, Mark

Locks = Callable[[Control], Sequence[AbstractContextManager[None]]]


def new_id() -> str:
    """Twelve hex digits: short enough to type, long enough never to meet twice in one register."""
    return secrets.token_hex(6)


@dataclass
class ActiveRun:
    """A run under way; the body fills in what the row will say when it succeeds."""

    run: Run
    snapshot: str | None = None
    code: str = ""
    restore_seconds: float | None = None
    warnings: list[str] = field(default_factory=list)


def admitted(ports: Ports, run: Run, *, wait: float) -> AbstractContextManager[None]:
    """Hold the database's lock and one of the host's places; not getting them is a ``skipped`` row.

    ``wait``: seconds for each of the two, and for the end of a migration, which pruning leaves alone; they are not
    part of the run's timeout.
    """
    holder = holder_of(run)

    def locks(control: Control) -> Sequence[AbstractContextManager[None]]:
        return (
            ports.locks.database(run.database, control, wait=wait, holder=holder),
            ports.locks.slot(ports.limit, control, wait=wait, holder=holder),
        )

    return _holding(ports, run, locks, after_migration=None if run.stage is Stage.PRUNE else wait)


def admitted_to_read(
    ports: Ports, run: Run, snapshot: Snapshot, *, wait: float, restores: bool
) -> AbstractContextManager[None]:
    """Likewise for a run that leaves the database alone: nobody's snapshot waits for it, and none that it reads
    is deleted. ``restores``: when its turn among the drills has come, and no migration runs.
    """
    place = ports.locks.drill_and_slot if restores else ports.locks.slot

    def locks(control: Control) -> Sequence[AbstractContextManager[None]]:
        return (
            place(ports.limit, control, wait=wait, holder=holder_of(run)),
            ports.locks.reading(snapshot.id, control),
        )

    return _holding(ports, run, locks, after_migration=wait if restores else None)


@contextlib.contextmanager
def _holding(ports: Ports, run: Run, locks: Locks, *, after_migration: float | None) -> Iterator[None]:
    """``after_migration``: seconds for its end; None: it is in nobody's way."""
    control = ports.controls(timeout=None, label={})
    try:
        if after_migration is None:
            held = _entered(locks(control))
        else:
            held = _entered_between_migrations(ports, run.database, locks, control, wait=after_migration)
    except BusyError as exc:
        record_skip(ports, run, code="busy", reason=exc.message)
        raise
    with held:
        yield


def _entered_between_migrations(
    ports: Ports, database: str, locks: Locks, control: Control, *, wait: float
) -> contextlib.ExitStack:
    """Who waits for a migration holds nothing that this may need itself."""
    while True:
        ports.locks.after_migration(database, control, wait=wait)
        with contextlib.suppress(YieldedError):
            held = _entered(locks(GivingWay(control, Mark(ports, database, after=timedelta(0)))))
            if not ports.locks.is_migrating(database):
                return held
            held.close()


def _entered(locks: Sequence[AbstractContextManager[None]]) -> contextlib.ExitStack:
    with contextlib.ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        return stack.pop_all()


def holder_of(run: Run) -> str:
    """What others are told who wait for its locks."""
    return f"run {run.id}, {run.stage} of {run.database} by {run.by}"


def record_skip(ports: Ports, run: Run, *, code: str, reason: str) -> None:
    """A run that was due but did not start, for the record."""
    now = ports.now()
    ports.register.start_run(run)
    ports.register.finish_run(replace(run, finished_at=now, outcome=Outcome.SKIPPED, code=code, reason=reason))
    ports.emit(Event.SLOT_SKIPPED, **_label(run), code=code, reason=reason)


@contextlib.contextmanager
def recorded(ports: Ports, run: Run) -> Iterator[ActiveRun]:
    """Row ``started`` before the body, its outcome after it, whatever happens; errors go on to the caller."""
    with ports.locks.run(run.id):
        ports.register.start_run(run)
        ports.emit(Event.RUN_STARTED, **_label(run))
        active = ActiveRun(run=run)
        try:
            yield active
        except BaseException as exc:
            with contextlib.suppress(RegisterError):  # it must not hide what happened
                _finish(ports, active, _ending(exc))
            raise
        ending: dict[str, object] = {
            "outcome": Outcome.SUCCEEDED,
            "code": active.code,
            "restore_seconds": active.restore_seconds,
        }
        _finish(ports, active, ending)


def warn(ports: Ports, active: ActiveRun, warning: str) -> None:
    """For the log, and for the run's row."""
    active.warnings.append(warning)
    ports.emit(Event.RUN_WARNING, **_label(active.run), warning=warning)


def _finish(ports: Ports, active: ActiveRun, ending: dict[str, object]) -> None:
    finished = replace(
        active.run,
        finished_at=ports.now(),
        snapshot=active.snapshot,
        note="; ".join(active.warnings),
        **ending,  # type: ignore[arg-type]
    )
    ports.register.finish_run(finished)
    assert finished.finished_at  # noqa: S101 - set two lines above
    ports.emit(
        Event.RUN_FINISHED,
        **_label(finished),
        outcome=finished.outcome,
        snapshot=finished.snapshot,
        took=format_duration(finished.finished_at - finished.started_at),
        code=finished.code,
        reason=finished.reason,
        hint=finished.hint,
    )


def outcome_of(exc: BaseException) -> Outcome:
    """How a run ends that raised this."""
    if isinstance(exc, RefusedError):
        return Outcome.REFUSED
    if isinstance(exc, BusyError):
        return Outcome.SKIPPED
    if isinstance(exc, YieldedError):
        return Outcome.YIELDED
    if isinstance(exc, InterruptedRunError) or not isinstance(exc, Exception):
        return Outcome.INTERRUPTED
    return Outcome.FAILED


def _ending(exc: BaseException) -> dict[str, object]:
    outcome = outcome_of(exc)
    if isinstance(exc, AmanatError):
        return {"outcome": outcome, "code": exc.kind, "reason": exc.message, "hint": exc.hint}
    if isinstance(exc, Exception):
        return {"outcome": outcome, "code": "bug", "reason": repr(exc), "hint": "please report it"}
    return {"outcome": outcome, "code": "interrupted", "reason": type(exc).__name__}


def _label(run: Run) -> dict[str, object]:
    return {"run": run.id, "stage": run.stage, "database": run.database, "policy": run.policy}
