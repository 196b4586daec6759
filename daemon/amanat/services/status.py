"""The state of every policy, and when it runs next."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any

from amanat.domain.model import Outcome, Run, SnapshotState, Stage, utc_text
from amanat.domain.policy import Configuration, Database, Job, Policy
from amanat.domain.recovery import UNKNOWN, recoveries
from amanat.domain.schedule import jittered, next_instants
from amanat.ports import Ports
from amanat.ports.register import SnapshotTotals
from amanat.services.report import aside_row, optional_text, run_row, snapshot_row

_ENDED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.YIELDED)


def status(ports: Ports, configuration: Configuration) -> dict[str, Any]:
    """JSON-ready: what runs now, and for every policy and database when it last succeeded and is next due."""
    now, head = ports.now(), ports.register.head()
    missed = ports.register.missed_slots()
    totals = {(item.policy, item.database): item for item in ports.register.snapshot_totals()}
    return {
        "now": utc_text(now),
        "store": {"path": str(ports.store.root.absolute()), "free_bytes": ports.store.free_bytes()},
        "register_head": asdict(head) if head else None,
        "running": [run_row(run) for run in ports.register.open_runs() if ports.locks.is_alive(run.id)],
        "policies": [
            {
                **_policy_row(ports, policy, database, now),
                **_counts(totals.get((policy.name, database.name))),
                "missed": missed.get((Stage.SNAPSHOT, policy.name, database.name), 0),
            }
            for policy, database in configuration.pairs()
        ],
        "recovery": recovery(ports, configuration),
        "asides": [aside_row(aside) for aside in ports.register.asides.all()],
        "uncovered": configuration.uncovered(),
        "recent_runs": [run_row(run) for run in ports.register.recent_runs(10)],
    }


def recovery(ports: Ports, configuration: Configuration) -> dict[str, dict[str, Any]]:
    """How long each database would take to be restored, and how that is known."""
    told = recoveries(ports.register.histories())
    return {name: asdict(told.get(name, UNKNOWN)) for name in configuration.databases}


def _policy_row(ports: Ports, policy: Policy, database: Database, now: datetime) -> dict[str, Any]:
    def newest(*outcomes: Outcome, stage: Stage = Stage.SNAPSHOT) -> Run | None:
        return ports.register.newest_run(stage, policy.name, database.name, outcomes=outcomes)

    proven = ports.register.newest_snapshot(database=database.name, policy=policy.name, proven=True)
    last, success = newest(*_ENDED), newest(Outcome.SUCCEEDED)
    drill, tried = newest(Outcome.SUCCEEDED, stage=Stage.DRILL), newest(*_ENDED, stage=Stage.DRILL)
    reread = newest(*_ENDED, stage=Stage.VERIFY) if policy.rereading else None
    next_runs = {job.stage: utc_text(start) for job in policy.jobs(database) for _, start in upcoming(job, now, 1)}
    return {
        "policy": policy.name,
        "database": database.name,
        "environment": database.environment,
        "last_run": run_row(last) if last else None,
        "last_success": optional_text(success.finished_at) if success else None,
        "last_drill": _drill_row(drill) if drill else None,
        "failed_drill": run_row(tried) if tried and tried.outcome is not Outcome.SUCCEEDED else None,
        "last_reread": run_row(reread) if reread else None,
        "newest_proven": snapshot_row(proven) if proven else None,
        "next_run": next_runs.get(Stage.SNAPSHOT),
        "next_drill": next_runs.get(Stage.DRILL),
        "next_reread": next_runs.get(Stage.VERIFY),
    }


def _counts(totals: SnapshotTotals | None) -> dict[str, int]:
    damaged = totals.by_proof.get(SnapshotState.DAMAGED, 0) if totals else 0
    return {"proven": totals.proven if totals else 0, "damaged": damaged}


def _drill_row(run: Run) -> dict[str, Any]:
    """``seconds``: all of it. ``restore_seconds``: what a recovery needs of that; comparing comes on top."""
    assert run.finished_at  # noqa: S101 - it has succeeded
    seconds = (run.finished_at - run.started_at).total_seconds()
    return {
        "at": optional_text(run.finished_at),
        "snapshot": run.snapshot,
        "seconds": seconds,
        "restore_seconds": run.restore_seconds,
    }


def upcoming(job: Job, after: datetime, count: int) -> Iterator[tuple[datetime, datetime]]:
    """(scheduled instant, start with jitter) in the zone of its schedule."""
    for slot in islice(next_instants(job.schedule, after), count):
        yield slot, jittered(job.schedule, slot, job.id)
