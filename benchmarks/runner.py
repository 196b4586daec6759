"""A process that works as the daemon's threads do, and answers how long each piece of work took.

It reads a JSON line, does what it asks by the application as the faces do, and writes a JSON line:
so the start of an interpreter is not part of the figures.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from amanat.app import App, open_app
from amanat.domain import retention
from amanat.domain.events import Event
from amanat.domain.policy import KeepRules
from amanat.engines.postgresql import clients, connection
from amanat.engines.postgresql.restoring import restore as postgresql
from amanat.services.request import Request
from amanat.settings import service
from tests.support.many_snapshots import NEWEST, Growth

_warnings: list[str] = []


def emit(event: Event, /, **fields: object) -> None:
    """What the log would warn of belongs to the figures: a fallback, say, is not what was to be measured."""
    if event is Event.RUN_WARNING:
        _warnings.append(str(fields["warning"]))


def take(app: App, database: str, policy: str) -> dict[str, Any]:
    wanted = Request(
        database=app.database(database), policy=app.policy(policy, database), by="benchmark", name=policy
    )
    taken = app.take(wanted)
    return {"size_bytes": taken.size_bytes, "path": str(app.ports.store.path(taken.path).absolute())}


def restore(app: App, archive: str, client: str, parameters: dict[str, str], jobs: int) -> dict[str, Any]:
    control = app.ports.controls(timeout=None, label={})
    path = app.ports.store.relative(Path(archive)) or archive
    with tempfile.TemporaryDirectory() as scratch:
        restored = postgresql.restore(
            clients.newest_client(clients.Places(override=Path(client)), control),
            Path(archive),
            connection.target(parameters, None, Path(scratch)),
            facts=app.ports.store.read_manifest(path).facts,
            jobs=jobs,
            control=control,
        )
    return {"sections": dict(restored.sections)}


def decide(_: App, count: int) -> dict[str, Any]:
    """Which of so many snapshots stay: the decision alone, on values that are there already."""
    rules = KeepRules(last=3, hourly=48, daily=14, weekly=8, monthly=24, yearly=10)
    snapshots = list(Growth(count=count, every=timedelta(minutes=15)).snapshots())
    cpu, started = _cpu_seconds(), time.perf_counter()
    floors = retention.floors_of(snapshots, NEWEST)
    plan = retention.decide(snapshots, rules, NEWEST, zone=ZoneInfo("Asia/Baku"), floors=floors)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu, "verdicts": len(plan.verdicts)}


WORK: dict[str, Callable[..., dict[str, Any]]] = {"take": take, "restore": restore, "decide": decide}


def main() -> None:
    os.umask(0o077)
    app = open_app(service.load(None), emit=emit)
    for line in sys.stdin:
        question = json.loads(line)
        sys.stdout.write(json.dumps(_measured(app, question)) + "\n")
        sys.stdout.flush()


def _measured(app: App, question: dict[str, Any]) -> dict[str, Any]:
    """The whole of it, unless the work has looked at the clock itself."""
    work = WORK[question.pop("work")]
    _warnings.clear()
    cpu, started = _cpu_seconds(), time.perf_counter()
    answer = work(app, **question)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu_seconds": _cpu_seconds() - cpu, "warnings": list(_warnings), **answer}


def _cpu_seconds() -> float:
    """Of this process and of the children it has waited for."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
