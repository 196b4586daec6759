"""Delete what the keep rules let go: decide, ask the guards, then unit by unit (design section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from zoneinfo import ZoneInfo

from amanat.domain.entry import BEGUN, Entry, EntryKind
from amanat.domain.errors import AmanatError, BusyError, RefusedError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, Run, Snapshot, SnapshotState, Stage
from amanat.domain.policy import Configuration, KeepRules, Policy
from amanat.domain.retention import Plan, Verdict, decide, floors_of
from amanat.domain.retention_guards import Refusal, guard
from amanat.domain.schedule import interval
from amanat.ports import Ports
from amanat.services import losses
from amanat.services.runs import ActiveRun, admitted, new_id, recorded, warn

_FINAL = (Outcome.SUCCEEDED, Outcome.FAILED)


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What became of one (database, policy): the plan, why it was refused, what was deleted.

    ``spared``: why some stayed that the plan lets go, as sentences.
    """

    database: str
    policy: str
    plan: Plan
    refusals: tuple[Refusal, ...]
    deleted: tuple[Snapshot, ...] = ()
    spared: tuple[str, ...] = ()


def plans(ports: Ports, configuration: Configuration, *, database: str | None) -> list[Pruning]:
    """What pruning would do now, for every (database, policy) that has snapshots."""
    rows = cache(lambda name: losses.as_on_disk(ports, _rows(ports, name)))
    return [judge(ports, policy, name, rows(name)) for name, policy in _groups(ports, configuration, database)]


def _groups(ports: Ports, configuration: Configuration, database: str | None) -> list[tuple[str, Policy]]:
    """Every database with each policy that has snapshots of it."""
    return [
        (name, configuration.policies.get(policy) or _keep_all(policy))
        for name, policy in ports.register.groups(database)
    ]


def _rows(ports: Ports, database: str) -> list[Snapshot]:
    return ports.register.snapshots(database=database, gone=False)


def judge(
    ports: Ports,
    policy: Policy,
    database: str,
    rows: Sequence[Snapshot],
    *,
    confirmed: str = "",
    before: Snapshot | None = None,
) -> Pruning:
    """The plan for one (database, policy) and what the guards say of it.

    ``rows``: of the whole database, as they are on the disk.
    ``before``: the policy's newest snapshot before the run that just ended; a clock that jumped shows there.
    """
    now = ports.now()
    mine = [item for item in rows if item.policy == policy.name]
    zone = ZoneInfo(policy.schedule.timezone) if policy.schedule else ZoneInfo("UTC")
    plan = decide(mine, policy.keep, now, zone=zone, floors=floors_of(rows, now))
    refusals = guard(
        plan,
        now=now,
        interval=interval(policy.schedule, now) if policy.schedule else None,
        last_seen=ports.register.last_seen(),
        newest=before.taken_at if before else None,
        newest_run_failed=_newest_run_failed(ports, policy.name, database),
        confirmed=confirmed,
    )
    return Pruning(database=database, policy=policy.name, plan=plan, refusals=refusals)


def prune(
    ports: Ports,
    configuration: Configuration,
    *,
    database: str | None,
    by: str,
    confirmed: str = "",
    wait: float,
) -> list[Pruning]:
    """Carry the plans out where no guard refuses."""
    done = []
    for name, policy in _groups(ports, configuration, database):
        with admitted(ports, _run(ports, policy.name, name, by), wait=wait):
            done.append(_carry_out(ports, policy, name, by=by, confirmed=confirmed))
    return done


def after_success(ports: Ports, policy_name: str, database: str, *, by: str, before: Snapshot | None) -> None:
    """Prune after a successful run, under its lock; a refusal or failure is recorded and harms nothing.

    By the rules in force now: they may have been changed while the run went on.
    """
    policy = ports.policy_now(policy_name) or _keep_all(policy_name)
    try:
        _carry_out(ports, policy, database, by=by, before=before)
    except AmanatError as exc:
        ports.emit(Event.RUN_WARNING, database=database, policy=policy_name, warning=f"prune: {exc}")


def _carry_out(
    ports: Ports,
    policy: Policy,
    database: str,
    *,
    by: str,
    confirmed: str = "",
    before: Snapshot | None = None,
) -> Pruning:
    rows = _rows(ports, database)
    if losses.record(ports, rows, by=by):
        rows = _rows(ports, database)
    judged = judge(ports, policy, database, rows, confirmed=confirmed, before=before)
    run = _run(ports, policy.name, database, by)
    if judged.refusals:
        _record_refusal(ports, run, judged)
        return judged
    with recorded(ports, run) as active:
        let_go = [verdict for verdict in reversed(judged.plan.verdicts) if not verdict.keep]
        deleted = [verdict.snapshot for verdict in let_go if _is_deleted(ports, verdict, active)]
    return replace(judged, deleted=tuple(deleted), spared=tuple(active.warnings))


def _is_deleted(ports: Ports, verdict: Verdict, active: ActiveRun) -> bool:
    """Not if it has been held meanwhile, nor while somebody reads it: then the next run deletes it."""
    run = active.run
    try:
        delete(ports, verdict.snapshot, by=run.by, run=run.id, reason="; ".join(verdict.reasons))
    except (RefusedError, BusyError) as exc:
        warn(ports, active, f"kept for now: {exc.message}")
        return False
    return True


def delete(ports: Ports, snapshot: Snapshot, *, by: str, run: str | None, reason: str) -> None:
    """Row ``pruning`` and an entry, manifest, artefact, row ``pruned``: reconcile finishes it after a crash.

    RefusedError when it has been held since the plan was made, BusyError while somebody reads it.
    """
    begun = Entry.about(snapshot, EntryKind.DELETION, at=ports.now(), by=by, run=run, detail=reason)
    with ports.locks.deleting(snapshot.id):
        ports.register.begin_pruning(snapshot, replace(begun, outcome=BEGUN))
        ports.store.delete(snapshot.path, snapshot.companions)
        ports.register.set_state(snapshot, SnapshotState.PRUNED, replace(begun, at=ports.now()))
    ports.emit(
        Event.SNAPSHOT_DELETED,
        database=snapshot.database,
        policy=snapshot.policy,
        snapshot=snapshot.id,
        reason=reason,
    )


def _record_refusal(ports: Ports, run: Run, judged: Pruning) -> None:
    """One refused row, by its first reason; the event names them all."""
    first = judged.refusals[0]
    ports.register.start_run(run)
    ports.register.finish_run(
        replace(
            run,
            finished_at=ports.now(),
            outcome=Outcome.REFUSED,
            code=first.reason,
            reason="; ".join(refusal.message for refusal in judged.refusals),
            hint=first.hint,
        )
    )
    for refusal in judged.refusals:
        ports.emit(
            Event.RETENTION_REFUSED,
            database=judged.database,
            policy=judged.policy,
            code=refusal.reason,
            reason=refusal.message,
            hint=refusal.hint,
        )


def _newest_run_failed(ports: Ports, policy: str, database: str) -> bool:
    newest = ports.register.newest_run(Stage.SNAPSHOT, policy, database, outcomes=_FINAL)
    return newest is not None and newest.outcome is Outcome.FAILED


def _run(ports: Ports, policy: str, database: str, by: str) -> Run:
    return Run(id=new_id(), stage=Stage.PRUNE, database=database, policy=policy, by=by, started_at=ports.now())


def _keep_all(policy: str) -> Policy:
    """``manual``, and policies that the configuration no longer knows: without rules nothing is deleted."""
    return Policy(name=policy, databases=(), keep=KeepRules(all=True))
