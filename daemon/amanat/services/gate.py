"""Ask the gate: look at the database and at its snapshots, wait for what may be over in a while, and judge."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from amanat.domain.errors import IntegrityError
from amanat.domain.gate import Candidate, Live, Verdict, Wanted, judge
from amanat.domain.manifest import Manifest
from amanat.domain.model import Run, Snapshot, Stage
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services import losses
from amanat.services.request import Request
from amanat.services.runs import new_id
from amanat.services.snapshot import take
from amanat.services.verify import verify

_TIMEOUT = timedelta(minutes=2)  # of one question
_PAUSE_SECONDS = 2.0  # between questions
_LOOK_EVERY_SECONDS = 0.5
_LOOKS, _HOLDS = 7, 5  # who is there five times in a row, for two seconds, holds on; others come and go
_IN_THE_WAY = {Stage.SNAPSHOT, Stage.DRILL, Stage.MIGRATION, Stage.RESTORE, Stage.ROLLBACK, Stage.UNDO}


def ask(ports: Ports, wanted: Wanted, *, wait: float = 0.0) -> Verdict:
    """``wait``: seconds for what may be over in a while; it is asked again and again until then."""
    control = ports.controls(timeout=None, label={"database": wanted.database.name})
    until = ports.now() + timedelta(seconds=wait)
    while True:
        verdict = _asked(ports, wanted)
        if verdict.is_open or not verdict.may_pass or ports.now() >= until:
            return verdict
        control.wait(_PAUSE_SECONDS)


def ask_or_take(ports: Ports, wanted: Wanted, request: Request) -> Verdict:
    """The same, with a snapshot taken as ``request`` says, proven as far as is wanted, where none serves."""
    verdict = ask(ports, wanted, wait=request.wait)
    if verdict.snapshot:
        return verdict
    taken = take(ports, request)
    if wanted.level and not taken.proof.reaches(wanted.level):
        verify(ports, taken, level=wanted.level, by=request.by, wait=request.wait)
    return ask(ports, wanted, wait=request.wait)


def _asked(ports: Ports, wanted: Wanted) -> Verdict:
    control = ports.controls(timeout=_TIMEOUT, label={"database": wanted.database.name})
    live = _settled(ports, wanted, control)
    return judge(_candidates(ports, wanted), live, _running(ports, wanted), wanted, ports.now())


def _settled(ports: Ports, wanted: Wanted, control: Control) -> Live:
    """Its holders are those that hold on."""
    engine, seen = ports.engine_of(wanted.database), dict[str, int]()
    with ports.scratch.folder(new_id()) as scratch:
        for _ in range(_LOOKS):
            live = engine.live(scratch, control)
            seen = {holder.key: seen.get(holder.key, 0) + 1 for holder in live.holders}
            if not seen or live.migrations is None or max(seen.values()) == _HOLDS:
                break
            control.wait(_LOOK_EVERY_SECONDS)
    if live.migrations is None:  # we have waited for them ourselves
        return live
    return replace(live, holders=tuple(holder for holder in live.holders if seen[holder.key] >= _HOLDS))


def _candidates(ports: Ports, wanted: Wanted) -> Iterator[Candidate]:
    """Newest first, the first that is too old among them."""
    oldest = ports.now() - wanted.max_age
    for snapshot in ports.register.each_snapshot(database=wanted.database.name, gone=False):
        if wanted.policy in (None, snapshot.policy):
            yield _candidate(ports, snapshot)
            if snapshot.taken_at < oldest:
                return


def _candidate(ports: Ports, snapshot: Snapshot) -> Candidate:
    try:
        manifest = ports.store.read_manifest(snapshot.path)
    except IntegrityError as exc:
        problem = losses.problem(ports, snapshot) or exc.message
        return Candidate(snapshot=snapshot, facts=None, problem=problem)
    return Candidate(snapshot=snapshot, facts=manifest.facts, problem=_problem(ports, snapshot, manifest))


def _problem(ports: Ports, snapshot: Snapshot, manifest: Manifest) -> str:
    """What can be told at a glance; its bytes were read when it was proven."""
    if known := losses.problem(ports, snapshot):
        return known
    if snapshot.manifest_sha256 not in (None, manifest.snapshot.manifest_sha256):
        return "its manifest was edited since it was written"
    size = ports.store.path(snapshot.path).stat().st_size
    return "" if size == snapshot.size_bytes else f"it has {size:,} bytes, and had {snapshot.size_bytes:,}"


def _running(ports: Ports, wanted: Wanted) -> list[Run]:
    runs = (run for run in ports.register.open_runs() if run.database == wanted.database.name)
    return [run for run in runs if run.stage in _IN_THE_WAY and ports.locks.is_alive(run.id)]
