"""One run of the benchmarks: makes its data, measures every row of the budgets, and what grows."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import (
    clients,
    conditions,
    data_postgresql,
    data_sqlite,
    growth,
    rows_daemon,
    rows_postgresql,
    rows_register,
    rows_rollback,
    rows_sqlite,
    servers,
)
from benchmarks.figures import Curve, Findings, Sample, Section
from benchmarks.processes import Attendant, tell
from benchmarks.scene import Scene, postgresql_line, sqlite_line
from tests.support.postgres_server import Server


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``fractions``: the sizes for growth, as parts of the megabytes; the last one is 1.

    ``quick_rounds``: of what takes less than seconds. ``counts``: of snapshots in a register. ``decided``: of
    those that one decision of retention is about.
    """

    folder: Path
    major: int = 15
    postgresql_megabytes: int = 1500
    sqlite_megabytes: int = 1000
    fractions: tuple[float, ...] = (0.25, 0.5, 1.0)
    rounds: int = 3
    growth_rounds: int = 2
    quick_rounds: int = 11
    counts: tuple[int, ...] = (100, 10_000, 100_000)
    decided: int = 100_000
    idle_seconds: float = 60.0

    def megabytes(self, whole: int) -> list[int]:
        return [max(1, round(whole * fraction)) for fraction in self.fractions]


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one engine contributes; ``peaks``: of a daemon that takes a snapshot, by what it takes."""

    sections: tuple[Section, ...]
    curves: tuple[Curve, ...]
    peaks: dict[str, Sample]


def run(plan: Plan) -> Findings:
    with servers.server(plan.major, plan.folder) as server:
        given = conditions.found(plan.folder, rounds=plan.rounds, server=servers.version(server))
        postgresql = _postgresql(plan, server)
    sqlite = _sqlite(plan)
    back = rollback(plan)
    section, curves = register(plan)
    return Findings(
        conditions=given,
        sections=(
            *postgresql.sections,
            *sqlite.sections,
            *back,
            rows_daemon.working(postgresql.peaks | sqlite.peaks),
            rows_daemon.idle(plan.folder / "idle", plan.idle_seconds, plan.quick_rounds),
            section,
        ),
        curves=(*postgresql.curves, *sqlite.curves, *curves),
    )


def register(plan: Plan) -> tuple[Section, tuple[Curve, ...]]:
    """What the size of the register costs."""
    grown = rows_register.measured(plan.folder / "register", plan.counts, plan.quick_rounds)
    decided = rows_register.decided(plan.folder / "decision", plan.decided, plan.rounds)
    return rows_register.section(grown, decided), tuple(rows_register.curves(grown))


def rollback(plan: Plan) -> tuple[Section, Section]:
    with servers.server(plan.major, plan.folder) as server:
        postgresql = _postgresql_rollback(plan, server)
    return postgresql, _sqlite_rollback(plan)


def _postgresql_rollback(plan: Plan, server: Server) -> Section:
    tell(f"making a PostgreSQL database of {plan.postgresql_megabytes} MB")
    size = data_postgresql.make(server, "atis", plan.postgresql_megabytes)
    server.psql(clients.TABLE, "atis")
    scene = Scene(plan.folder / "back", {"atis": postgresql_line(server, "atis")}, rows_rollback.POLICIES)
    with scene.runner() as runner:
        write = clients.of_postgresql(server.conninfo("atis"))
        subject = rows_rollback.Subject(scene=scene, runner=runner, name="atis", write=write)
        section = rows_rollback.postgresql(subject, server, plan.rounds, megabytes=size / 1e6)
    scene.close()
    return section


def _sqlite_rollback(plan: Plan) -> Section:
    tell(f"making a SQLite database of {plan.sqlite_megabytes} MB")
    path = plan.folder / "back.sqlite"
    size = data_sqlite.make(path, plan.sqlite_megabytes)
    clients.prepare_sqlite(path)
    scene = Scene(plan.folder / "back", {"app": sqlite_line(path)}, rows_rollback.POLICIES)
    with scene.runner() as runner:
        write = clients.of_sqlite(path)
        subject = rows_rollback.Subject(scene=scene, runner=runner, name="app", write=write)
        section = rows_rollback.sqlite(subject, plan.rounds, megabytes=size / 1e6)
    scene.close()
    path.unlink()
    return section


def _postgresql(plan: Plan, server: Server) -> _Part:
    made = {}
    for number, megabytes in enumerate(plan.megabytes(plan.postgresql_megabytes)):
        tell(f"making a PostgreSQL database of {megabytes} MB")
        made[f"atis_{number}"] = data_postgresql.make(server, f"atis_{number}", megabytes)
    lines = {name: postgresql_line(server, name) for name in made}
    scene = Scene(plan.folder / "postgresql", lines, rows_postgresql.POLICIES)
    with scene.runner() as runner:
        subjects = [
            rows_postgresql.Subject(scene=scene, runner=runner, server=server, dbname=name, size_bytes=size)
            for name, size in made.items()
        ]
        scene.take(runner, "atis_0", "stored")  # pays for what a process does once
        sections = (
            rows_postgresql.snapshot(subjects[-1], plan.rounds),
            rows_postgresql.restore(subjects[-1], plan.rounds),
        )
        part = _grown("PostgreSQL", subjects, sections, plan.growth_rounds)
    scene.close()
    return part


def _sqlite(plan: Plan) -> _Part:
    data = plan.folder / "data"
    data.mkdir()
    paths = {}
    for number, megabytes in enumerate(plan.megabytes(plan.sqlite_megabytes)):
        tell(f"making a SQLite database of {megabytes} MB")
        paths[f"app-{number}"] = data / f"app-{number}.sqlite"
        data_sqlite.make(data / f"app-{number}.sqlite", megabytes)
    scene = Scene(plan.folder / "sqlite", {name: sqlite_line(path) for name, path in paths.items()})
    with scene.runner() as runner:
        subjects = _sqlite_subjects(scene, runner, paths)
        scene.take(runner, "app-0", "stored")  # pays for what a process does once
        part = _grown("SQLite", subjects, (rows_sqlite.snapshot(subjects[-1], plan.rounds),), plan.growth_rounds)
    scene.close()
    shutil.rmtree(data)
    return part


def _sqlite_subjects(scene: Scene, runner: Attendant, paths: dict[str, Path]) -> list[rows_sqlite.Subject]:
    return [rows_sqlite.Subject(scene=scene, runner=runner, name=name, path=path) for name, path in paths.items()]


def _grown(engine: str, subjects: Sequence[growth.Subject], sections: tuple[Section, ...], rounds: int) -> _Part:
    tell(f"{engine}: smaller databases")
    sized = growth.at_sizes(subjects, sections[0].series, rounds)
    tell(f"{engine}: the memory of a daemon")
    peaks = [subject.by_daemon() for subject in subjects]
    return _Part(
        sections=sections,
        curves=growth.curves(engine, sized, peaks),
        peaks={f"{engine}, {size:,.0f} MB": peak for (size, _), peak in zip(sized, peaks, strict=True)},
    )
