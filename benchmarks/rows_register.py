"""Commands, retention and metrics on registers of 100 to 100,000 snapshots."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Budget, Curve, Sample, Section, Series, Unit
from benchmarks.processes import BenchmarkError, cpu_seconds, forget_peak, in_turn, memory, tell
from benchmarks.scene import Scene, with_tiny_database
from tests.support.cli import Daemon
from tests.support.many_snapshots import Growth, fill

HELP = "amanat --help"
LIST = "amanat list"
PRUNE = "amanat prune --dry-run"
METRICS = "GET /metrics"
READY = "start of the daemon"
RETENTION = "retention (the decision)"
_MANY = 10_000
_SCRAPES = 20
_READY_SECONDS = 600.0  # it looks at every manifest first


@dataclass(frozen=True, kw_only=True)
class Grown:
    """What was measured on a register with so many snapshots."""

    count: int
    series: Mapping[str, Series]


def measured(folder: Path, counts: Sequence[int], rounds: int) -> list[Grown]:
    return [_measured(folder / str(count), count, rounds) for count in counts]


def section(grown: Sequence[Grown], decided: Series) -> Section:
    """``grown``: smallest first, 100 snapshots; the budget of metrics is for the largest up to 10,000."""
    few, many = grown[0], [item for item in grown if item.count <= _MANY][-1]
    helped, listed, scraped = few.series[HELP], few.series[LIST], many.series[METRICS]
    rows = [_counted(series, item.count) for item in grown for name, series in item.series.items() if name != HELP]
    return Section(
        title="Commands, retention, metrics",
        subject="registers and stores filled with tiny snapshots; commands from the start of their process",
        series=(helped, *rows, decided),
        budgets=(
            _within(f"`{HELP}`", helped, 0.25),
            _within(f"`{LIST}` with {few.count:,} snapshots", listed, 0.4),
            _within(decided.name, decided, 1.0),
            _within(f"/metrics with {many.count:,} snapshots", scraped, 0.05),
        ),
    )


def curves(grown: Sequence[Grown]) -> tuple[Curve, Curve]:
    names = (LIST, PRUNE, READY, METRICS)
    return (
        Curve(
            name="register-time",
            title="Time by the number of snapshots",
            x_unit="snapshots in the register",
            y_unit="seconds",
            log=True,
            lines={name: tuple((item.count, item.series[name].seconds) for item in grown) for name in names},
        ),
        Curve(
            name="register-memory",
            title="Memory by the number of snapshots",
            x_unit="snapshots in the register",
            y_unit="MB, peak of the process",
            log=True,
            lines={
                name: tuple((item.count, item.series[name].own_bytes / 1e6) for item in grown) for name in names
            },
        ),
    )


def _measured(folder: Path, count: int, rounds: int) -> Grown:
    tell(f"filling a register with {count:,} snapshots")
    scene = _filled(folder, count)
    contestants = {name: lambda words=words: scene.command(*words) for name, words in _commands().items()}
    scene.command("list")  # for the page cache, and the interpreter's compiled files
    series = {item.name: item for item in in_turn(contestants, rounds)}
    series |= {item.name: item for item in _served(scene)}
    scene.close()
    return Grown(count=count, series=series)


def _commands() -> dict[str, tuple[str, ...]]:
    return {HELP: ("--help",), LIST: ("list",), PRUNE: ("prune", "--dry-run")}


def _filled(folder: Path, count: int) -> Scene:
    """One database under a policy that keeps a part of them."""
    keep = "keep: {last: 3, daily: 5000, weekly: 600, monthly: 130}"
    scene = with_tiny_database(folder, "kept", f"on_demand: true, {keep}")
    fill(Growth(count=count, policy="kept"), state=scene.amanat.state, store=scene.amanat.store)
    return scene


def _served(scene: Scene) -> tuple[Series, Series]:
    """A scrape once a minute finds the daemon after its first look at the register, and scraped before."""
    started = time.perf_counter()
    with scene.amanat.daemon(ready=False) as daemon:
        daemon.wait_ready(_READY_SECONDS)
        ready = Sample(
            seconds=time.perf_counter() - started,
            cpu_seconds=cpu_seconds(daemon.pid),
            own_bytes=memory(daemon.pid, "VmHWM"),
        )
        daemon.wait_for("a look at the chain", lambda: _has_looked(daemon), timeout=_READY_SECONDS)
        forget_peak(daemon.pid)
        scrapes = tuple(_scrape(daemon) for _ in range(_SCRAPES))
    return Series(name=READY, samples=(ready,)), Series(name=METRICS, samples=scrapes)


def _has_looked(daemon: Daemon) -> bool:
    return daemon.metric("register_chain_valid") is not None


def _scrape(daemon: Daemon) -> Sample:
    cpu, started = cpu_seconds(daemon.pid), time.perf_counter()
    status, text = daemon.get("/metrics")
    if status != 200 or not text:  # noqa: PLR2004 - OK
        raise BenchmarkError(f"GET /metrics: {status}")
    return Sample(
        seconds=time.perf_counter() - started,
        cpu_seconds=cpu_seconds(daemon.pid) - cpu,
        own_bytes=memory(daemon.pid, "VmHWM"),
    )


def decided(folder: Path, count: int, rounds: int) -> Series:
    scene = with_tiny_database(folder, "kept", "on_demand: true, keep: {last: 1}")

    def go() -> Sample:
        answer, watch = runner.ask(work="decide", count=count)
        return Sample(seconds=answer["seconds"], cpu_seconds=answer["cpu_seconds"], own_bytes=watch.own_bytes)

    with scene.runner() as runner:
        (series,) = in_turn({f"{RETENTION} over {count:,} snapshots": go}, rounds)
    scene.close()
    return series


def _counted(series: Series, count: int) -> Series:
    return Series(name=f"{series.name}, {count:,} snapshots", samples=series.samples)


def _within(what: str, series: Series, limit: float) -> Budget:
    return Budget(what=what, limit=limit, unit=Unit.SECONDS, measured=series.seconds)
