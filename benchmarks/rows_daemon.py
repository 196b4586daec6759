"""The daemon: how much memory a snapshot takes in it, how it idles, how soon it is ready."""

import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.figures import Budget, Sample, Section, Series, Unit
from benchmarks.processes import cpu_seconds, in_turn, memory
from benchmarks.scene import Scene, with_tiny_database
from tests.support.many_snapshots import Growth, fill

_MOST_BYTES = 120e6
_IDLE_BYTES = 70e6
_IDLE_SHARE = 0.002
_READY_SECONDS = 1.5
_SETTLING_SECONDS = 3.0
_SNAPSHOTS = 100
_NIGHTLY = 'schedule: {cron: "15 2 * * *", timezone: Asia/Baku, catch_up: 12h}'


def working(peaks: Mapping[str, Sample]) -> Section:
    """``peaks``: what was taken → the daemon's memory meanwhile (``Scene.by_daemon``)."""
    series = tuple(Series(name=name, samples=(sample,)) for name, sample in peaks.items())
    return Section(
        title="Memory of a daemon that takes a snapshot",
        subject="a real `amanat daemon`, from its start to the end of a scheduled snapshot, proof stored",
        series=series,
        budgets=tuple(
            Budget(
                what=f"peak memory of the daemon: snapshot of {item.name}",
                limit=_MOST_BYTES,
                unit=Unit.BYTES,
                measured=item.own_bytes,
            )
            for item in series
        ),
    )


def idle(folder: Path, seconds: float, rounds: int) -> Section:
    """A daemon that has a schedule and a past, and nothing to do; watched for so many seconds."""
    scene = _quiet(folder)
    (ready,) = in_turn({"start of `amanat daemon` to READY": lambda: _started(scene)}, rounds)
    share, resident = _idled(scene, seconds)
    scene.close()
    return Section(
        title="The daemon",
        subject=f"with {_SNAPSHOTS} snapshots in its register; idle for {seconds:.0f} s",
        series=(ready,),
        budgets=(
            Budget(what="daemon idle: memory", limit=_IDLE_BYTES, unit=Unit.BYTES, measured=resident),
            Budget(what="daemon idle: CPU", limit=_IDLE_SHARE, unit=Unit.SHARE, measured=share),
            Budget(what="daemon: start to READY", limit=_READY_SECONDS, unit=Unit.SECONDS, measured=ready.seconds),
        ),
    )


def _quiet(folder: Path) -> Scene:
    scene = with_tiny_database(folder, "nightly", f"{_NIGHTLY}, keep: {{last: 1000}}")
    fill(Growth(count=_SNAPSHOTS), state=scene.amanat.state, store=scene.amanat.store)
    return scene


def _started(scene: Scene) -> Sample:
    started = time.perf_counter()
    with scene.amanat.daemon() as daemon:
        return Sample(
            seconds=time.perf_counter() - started,
            cpu_seconds=cpu_seconds(daemon.pid),
            own_bytes=memory(daemon.pid, "VmHWM"),
        )


def _idled(scene: Scene, seconds: float) -> tuple[float, int]:
    with scene.amanat.daemon() as daemon:
        time.sleep(min(_SETTLING_SECONDS, seconds))
        before = cpu_seconds(daemon.pid)
        time.sleep(seconds)
        return (cpu_seconds(daemon.pid) - before) / seconds, memory(daemon.pid, "VmRSS")
