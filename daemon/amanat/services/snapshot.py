"""Take a snapshot: lock, row, space, staging, engine, proof, commit, row, prune (design section 5)."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from amanat.domain import drills
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, BusyError, RefusedError, TimeoutExceededError, YieldedError
from amanat.domain.events import Event
from amanat.domain.model import FALLBACK, Facts, Outcome, ProofLevel, Run, Snapshot, Stage
from amanat.domain.policy import Policy
from amanat.ports import Ports
from amanat.ports.engine import Place
from amanat.ports.run import Control
from amanat.services import checks, hooks, plan, prune, reconcile
from amanat.services.beside import warm
from amanat.services.beside.site import at, place_of
from amanat.services.commit import Taken, commit
from amanat.services.giving_way import GivingWay, Mark
from amanat.services.rehearse import Rehearse, rehearsal
from amanat.services.request import Request, require_usable
from amanat.services.runs import ActiveRun, admitted, holder_of, new_id, outcome_of, recorded, warn

_LONGEST_PAUSE = timedelta(minutes=15)  # unless the policy's own backoff is longer
_MOST_DOUBLINGS = 20  # more would only count: a minute has become a year


def take(ports: Ports, request: Request) -> Snapshot:
    """Take, prove and commit one snapshot, trying again as the policy says after what may pass.

    Errors: ConfigurationError before anything is recorded; else what the last attempt raised, after its
    row was written and its files were removed, with one audit entry for all attempts.
    """
    require_usable(request)
    with hooks.on_failure(ports, request.database, {"AMANAT_PURPOSE": request.purpose}):
        try:
            return _try(ports, request)
        except AmanatError as exc:
            ports.register.append(_failure(ports, request, exc))
            raise


def _try(ports: Ports, request: Request) -> Snapshot:
    earlier = _earlier(ports, request)
    tries = _Tries(request.policy, failures=_failures(earlier), began=ports.now())
    wait = request.wait
    for attempt in itertools.count(1):
        try:
            return _attempt(ports, request, len(earlier) + attempt, wait=wait)
        except AmanatError as exc:
            pause = tries.pause_after(exc, attempt, ports.now())
            if pause is None:
                raise
            _back_off(ports, request, attempt, exc, pause)
            if isinstance(exc, YieldedError):
                wait = max(request.wait, tries.seconds_left(ports.now()))
    raise AssertionError  # unreachable: count() does not end


class _Tries:
    """How long a request goes on: failures are counted; standing back is not, but ends with the timeout."""

    def __init__(self, policy: Policy, *, failures: int, began: datetime) -> None:
        self._retry = policy.retry
        self._failures = failures
        self._until = began + policy.timeout

    def pause_after(self, exc: AmanatError, attempt: int, now: datetime) -> timedelta | None:
        """Before the next attempt; None: this was the last one."""
        doubled = self._retry.backoff * 2 ** min(attempt - 1, _MOST_DOUBLINGS)
        pause = min(doubled, max(_LONGEST_PAUSE, self._retry.backoff))
        if isinstance(exc, YieldedError):
            return pause if now + pause <= self._until else None
        self._failures += 1
        return pause if exc.transient and self._failures < self._retry.attempts else None

    def seconds_left(self, now: datetime) -> float:
        """Of the time for standing back."""
        return max(0.0, (self._until - now).total_seconds())


def is_served(earlier: Sequence[Run], policy: Policy) -> bool:
    """Whether these runs of one instant leave nothing to do: one succeeded, or as many failed as may.

    One that was interrupted or stood back leaves the instant open.
    """
    succeeded = any(run.outcome is Outcome.SUCCEEDED for run in earlier)
    return succeeded or _failures(earlier) >= policy.retry.attempts


def _failures(earlier: Sequence[Run]) -> int:
    return sum(run.outcome is Outcome.FAILED for run in earlier)


def _earlier(ports: Ports, request: Request) -> list[Run]:
    """Attempts at the same instant before a crash or a stop."""
    if request.scheduled_at is None:
        return []
    label = (request.policy.name, request.database.name)
    return ports.register.runs_of_slot(Stage.SNAPSHOT, *label, request.scheduled_at)


def _back_off(ports: Ports, request: Request, attempt: int, exc: AmanatError, pause: timedelta) -> None:
    seconds = pause.total_seconds()
    ports.emit(
        Event.RUN_RETRIED,
        **request.label,
        attempt=attempt,
        pause_seconds=seconds,
        code=exc.kind,
        reason=exc.message,
    )
    ports.controls(timeout=None, label={}).wait(seconds)


def _attempt(ports: Ports, request: Request, attempt: int, *, wait: float) -> Snapshot:
    """``wait``: as in the request; whoever stood back waits for as long as it goes on."""
    run = Run(
        id=new_id(),
        stage=Stage.SNAPSHOT,
        by=request.by,
        purpose=request.purpose,
        scheduled_at=request.scheduled_at,
        attempt=attempt,
        started_at=ports.now(),
        database=request.database.name,
        policy=request.policy.name,
    )
    with admitted(ports, run, wait=wait):
        reconcile.settle(ports, request.database.name)
        before = _newest(ports, request)
        with recorded(ports, replace(run, started_at=ports.now())) as active:
            snapshot = _produce(ports, request, active, _reins(ports, request))
        prune.after_success(ports, request.policy.name, request.database.name, by=request.by, before=before)
    return snapshot


def _reins(ports: Ports, request: Request) -> GivingWay:
    control = ports.controls(timeout=request.policy.timeout, label=request.label)
    return GivingWay(control, Mark(ports, request.database.name, after=request.policy.yield_after))


def _newest(ports: Ports, request: Request) -> Snapshot | None:
    return ports.register.newest_snapshot(database=request.database.name, policy=request.policy.name, proven=True)


def _produce(ports: Ports, request: Request, active: ActiveRun, control: GivingWay) -> Snapshot:
    checks.require_for_run(checks.of_host(ports))
    engine = ports.engine_of(request.database)
    with ports.store.staging(active.run.id) as folder, ports.scratch.folder(active.run.id) as scratch:
        order = plan.order(ports, request, engine, (folder, scratch), control)
        planned = checks.Planned(request=request, engine=engine, order=order, control=control)
        checks.require_for_run(checks.of_plan(ports, planned))
        application = _application(ports, request)
        with _around(ports, request, active, control) as around:
            taken_at = ports.now()
            artefact = engine.take(order, control)
        facts = replace(artefact.facts, extra={**artefact.facts.extra, **application})
        _, excuse = drills.excuse(request.policy.drills, facts.source_bytes, ports.now())
        for warning in (*artefact.warnings, *_told(request, excuse)):
            warn(ports, active, warning)
        place = place_of(ports, active.run.id, (folder, scratch), warn=partial(warn, ports, active))
        taken = Taken(
            engine=engine,
            run=active.run.id,
            at=taken_at,
            artefact=replace(artefact, facts=facts),
            rehearse=None if excuse else _rehearsal(ports, request, active, place, control),
        )
        committed = commit(ports, request, taken, control)
        if warm.is_wanted(ports, request.policy, None):
            site = at(ports, request.database, place, control)
            warm.take_over(ports, site, request.policy, committed.snapshot)
    active.snapshot = committed.snapshot.id
    active.code = FALLBACK if artefact.fallback else ""
    active.restore_seconds = committed.restore_seconds
    if committed.problem:
        warn(ports, active, f"kept as {active.snapshot}, which is readable, but not proven")
        raise committed.problem
    if around.problem:
        raise around.problem
    return committed.snapshot


def _around(
    ports: Ports, request: Request, active: ActiveRun, control: Control
) -> contextlib.AbstractContextManager[hooks.Around]:
    told = {"AMANAT_RUN": active.run.id, "AMANAT_PURPOSE": request.purpose}
    return hooks.around_snapshot(ports, request.database, told, control, partial(warn, ports, active))


def _rehearsal(ports: Ports, request: Request, active: ActiveRun, place: Place, control: GivingWay) -> Rehearse:
    """In its turn among the drills; the policy's limits hold from then on."""

    def rehearse(artefact: Path, facts: Facts) -> float:
        with _turn(ports, active, control):
            limited = _limited(ports, request, facts, control)
            keep = warm.is_wanted(ports, request.policy, None)
            prove = rehearsal(ports, request.database, request.policy, place, limited, keep=keep)
            return prove(artefact, facts)

    return rehearse


@contextlib.contextmanager
def _turn(ports: Ports, active: ActiveRun, control: Control) -> Iterator[None]:
    """Waited for no longer than half of the time that the run has left: the rest is to restore in."""
    with contextlib.ExitStack() as stack:
        wait = control.remaining() / 2
        try:
            stack.enter_context(ports.locks.drill(control, wait=wait, holder=holder_of(active.run)))
        except BusyError as exc:
            raise TimeoutExceededError(
                f"not restored for its proof, as its turn did not come in half of the run's time; {exc.message}",
                hint="`amanat drill` proves it; raise the policy's timeout, or drill at other times",
            ) from exc
        yield


def _limited(ports: Ports, request: Request, facts: Facts, control: GivingWay) -> Control:
    now, wanted = ports.now(), request.policy.drills
    _, excuse = drills.excuse(wanted, facts.source_bytes, now)
    if excuse:
        raise RefusedError(f"not restored for its proof: {excuse}", hint="`amanat drill` proves it at any time")
    limit = drills.time_left(wanted, now)
    if limit and limit.total_seconds() < control.remaining():
        return control.with_less(ports.controls(timeout=limit, label=request.label))
    return control


def _told(request: Request, excuse: str) -> Sequence[str]:
    if not excuse or not request.policy.proof.reaches(ProofLevel.RESTORED):
        return ()
    return (f"not restored for its proof, so it does not count yet: {excuse}",)


def _application(ports: Ports, request: Request) -> dict[str, object]:
    """What is known of the application at this moment; deployments go on while a snapshot is taken."""
    folder = request.database.application
    known = {"version": request.version, "commit": ports.commit_of(folder) if folder else None}
    told = {name: value for name, value in known.items() if value}
    return {"application": told} if told else {}


def _failure(ports: Ports, request: Request, exc: AmanatError) -> Entry:
    return Entry(
        at=ports.now(),
        by=request.by,
        kind=EntryKind.SNAPSHOT,
        database=request.database.name,
        environment=request.database.environment,
        policy=request.policy.name,
        purpose=request.purpose,
        scope=request.effective_scope.describe(),
        outcome=outcome_of(exc),
        detail=exc.message,
    )
