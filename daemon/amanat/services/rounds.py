"""What the daemon proves anew by itself: drills of some snapshots, and re-reading of a share of the store."""

import random
from collections.abc import Callable, Iterable

from amanat.domain import drills
from amanat.domain.errors import AmanatError, InterruptedRunError, RegisterError
from amanat.domain.model import ProofLevel, Run, Snapshot, SnapshotState
from amanat.domain.policy import Job
from amanat.ports import Ports
from amanat.services import verify
from amanat.services.runs import new_id, record_skip

NO_SNAPSHOT = "no-snapshot"


def has_nothing(ports: Ports, job: Job, *, by: str) -> bool:
    """Whether the policy has no snapshot that is there; a row tells it."""
    if any(row.state is SnapshotState.PRESENT for row in _snapshots(ports, job)):
        return False
    record_skip(ports, _run(ports, job, by), code=NO_SNAPSHOT, reason="the policy has none that is there")
    return True


def drill(ports: Ports, job: Job, *, by: str) -> None:
    """The newest and a sample of the policy's snapshots, one after the other; each is a run of its own."""
    wanted = job.policy.drills
    assert wanted  # noqa: S101 - it has a schedule
    chosen = drills.chosen(
        _snapshots(ports, job),
        wanted,
        ports.now(),
        drilled=ports.register.last_drills(job.database.name),
        draw=random.random,
    )

    def one(snapshot: Snapshot) -> None:
        code, why = drills.excuse(wanted, snapshot.source_bytes, ports.now())
        if code:
            record_skip(ports, _run(ports, job, by, snapshot.id), code=code, reason=why)
            return
        limit = drills.time_left(wanted, ports.now())
        verify.drill(ports, snapshot, by=by, wait=job.policy.timeout.total_seconds(), limit=limit)

    _each(chosen, one)


def reread(ports: Ports, job: Job, *, by: str) -> None:
    """A share of what the policy has stored, the longest unread first."""
    wanted = job.policy.rereading
    assert wanted  # noqa: S101 - it has a schedule

    def one(snapshot: Snapshot) -> None:
        verify.verify(ports, snapshot, level=ProofLevel.STORED, by=by, wait=job.policy.timeout.total_seconds())

    _each(drills.longest_unread(_snapshots(ports, job), wanted.percent), one)


def _snapshots(ports: Ports, job: Job) -> Iterable[Snapshot]:
    rows = ports.register.each_snapshot(database=job.database.name, gone=False)
    return (row for row in rows if row.policy == job.policy.name)


def _each(chosen: Iterable[Snapshot], prove: Callable[[Snapshot], None]) -> None:
    """All of them, whatever becomes of one: its row tells, and the first problem is raised at the end."""
    problems: list[AmanatError] = []
    for snapshot in chosen:
        try:
            prove(snapshot)
        except (InterruptedRunError, RegisterError):
            raise
        except AmanatError as exc:
            problems.append(exc)
    for problem in problems[:1]:
        raise problem


def _run(ports: Ports, job: Job, by: str, snapshot: str | None = None) -> Run:
    return Run(
        id=new_id(),
        stage=job.stage,
        database=job.database.name,
        policy=job.policy.name,
        by=by,
        started_at=ports.now(),
        snapshot=snapshot,
    )
