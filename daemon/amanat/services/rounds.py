"""What the daemon proves anew by itself: drills of some snapshots, and re-reading of a share of the store."""

import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from amanat.domain import drills
from amanat.domain.errors import AmanatError, InterruptedRunError, NotFoundError, RegisterError
from amanat.domain.model import ProofLevel, Run, Snapshot, SnapshotState
from amanat.domain.policy import Drills, Job
from amanat.ports import Ports
from amanat.services import verify
from amanat.services.runs import new_id, record_skip

NO_SNAPSHOT = "no-snapshot"
GONE = "gone"


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
        def limit() -> timedelta | None:
            _require_allowed(wanted, snapshot, ports.now())
            return drills.time_left(wanted, ports.now())

        limit()  # before it waits for others, and again when its turn has come
        verify.drill(ports, snapshot, by=by, wait=job.policy.timeout.total_seconds(), limit=limit)

    _each(ports, job, by, chosen, one)


def reread(ports: Ports, job: Job, *, by: str) -> None:
    """A share of what the policy has stored, the longest unread first."""
    wanted = job.policy.rereading
    assert wanted  # noqa: S101 - it has a schedule

    def one(snapshot: Snapshot) -> None:
        verify.verify(ports, snapshot, level=ProofLevel.STORED, by=by, wait=job.policy.timeout.total_seconds())

    _each(ports, job, by, drills.longest_unread(_snapshots(ports, job), wanted.percent), one)


def _snapshots(ports: Ports, job: Job) -> Iterable[Snapshot]:
    rows = ports.register.each_snapshot(database=job.database.name, gone=False)
    return (row for row in rows if row.policy == job.policy.name)


class _ExcusedError(Exception):
    """Why one is not drilled now, in a word and a sentence."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def _require_allowed(wanted: Drills, snapshot: Snapshot, now: datetime) -> None:
    code, reason = drills.excuse(wanted, snapshot.source_bytes, now)
    if code:
        raise _ExcusedError(code, reason)


def _each(ports: Ports, job: Job, by: str, chosen: Iterable[Snapshot], prove: Callable[[Snapshot], None]) -> None:
    """All of them, whatever becomes of one: its row tells, and the first problem is raised at the end."""
    problems: list[AmanatError] = []
    for snapshot in chosen:
        try:
            prove(snapshot)
        except (InterruptedRunError, RegisterError):
            raise
        except _ExcusedError as exc:
            record_skip(ports, _run(ports, job, by, snapshot.id), code=exc.code, reason=str(exc))
        except NotFoundError as exc:  # it was pruned while it waited for its turn
            record_skip(ports, _run(ports, job, by, snapshot.id), code=GONE, reason=exc.message)
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
