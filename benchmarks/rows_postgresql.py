"""PostgreSQL: a snapshot and a restore, beside pg_dump and pg_restore on the same server and file system."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import scene
from benchmarks.figures import Sample, Section, size_ratio, time_ratio
from benchmarks.processes import Attendant, Go, command, in_turn, tell
from benchmarks.scene import Scene
from benchmarks.servers import version
from tests.support.postgres_server import Server

STORED = "amanat, proof stored"
PARALLEL = "amanat, proof stored, parallel: 2"
TIGHTER = "amanat, proof stored, gzip level 2"
READABLE = "amanat, proof readable"
COMMAND = "the command `amanat snapshot` (stored)"
STOCK = "pg_dump -Fc"
LIMIT = "pg_dump -Fc -Z0 > /dev/null"
POLICIES = scene.POLICIES | {
    "parallel": f"{scene.POLICIES['stored']}, parallel: 2",
    "tighter": f"{scene.POLICIES['stored']}, compression: {{codec: gzip, level: 2}}",
}
_RESTORED = "amanat's restore"
_PLAIN = "pg_restore"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A database that is dumped; ``scene`` knows it by the same name. ``size_bytes``: as the server says."""

    scene: Scene
    runner: Attendant
    server: Server
    dbname: str
    size_bytes: int

    def budgeted(self) -> dict[str, Go]:
        return {
            STORED: lambda: self.scene.take(self.runner, self.dbname, "stored"),
            STOCK: self._stock,
            LIMIT: lambda: command(*self._pg_dump("--compress=0")),
        }

    def by_daemon(self) -> Sample:
        return self.scene.by_daemon(self.dbname)

    def told_of(self) -> dict[str, Go]:
        return {
            PARALLEL: lambda: self.scene.take(self.runner, self.dbname, "parallel"),
            TIGHTER: lambda: self.scene.take(self.runner, self.dbname, "tighter"),
            READABLE: lambda: self.scene.take(self.runner, self.dbname, "readable"),
            COMMAND: lambda: self.scene.command("snapshot", self.dbname, "--policy=stored"),
        }

    def archive(self) -> Path:
        """A new snapshot."""
        self.scene.take(self.runner, self.dbname, "stored")
        assert self.scene.newest  # noqa: S101 - just taken
        return self.scene.newest

    def _stock(self) -> Sample:
        """pg_dump syncs what it wrote by itself (manual, ``--no-sync``)."""
        file = self.scene.folder / "stock.dump"
        file.unlink(missing_ok=True)
        taken = command(*self._pg_dump(f"--file={file}"))
        return replace(taken, size_bytes=file.stat().st_size)

    def _pg_dump(self, option: str) -> tuple[str | Path, ...]:
        return (self.server.bin / "pg_dump", *self.server.where, "--format=custom", option, self.dbname)


def snapshot(subject: Subject, rounds: int) -> Section:
    tell("PostgreSQL: snapshots")
    series = in_turn(subject.budgeted() | subject.told_of(), rounds)
    by_name = {item.name: item for item in series}
    stored, stock = by_name[STORED], by_name[STOCK]
    what = "PostgreSQL snapshot, stored"
    return Section(
        title="PostgreSQL: a snapshot",
        subject=_subject(subject),
        series=series,
        budgets=(
            time_ratio(f"{what}: time of {STOCK}", stored, stock, 0.28),
            size_ratio(f"{what}: size of {STOCK}", stored, stock, 1.15),
            time_ratio(f"{what}: time of {LIMIT}", stored, by_name[LIMIT], 1.4),
        ),
        notes=tuple(dict.fromkeys(subject.scene.warnings)),
    )


def restore(subject: Subject, rounds: int) -> Section:
    """Every contestant restores the same snapshot, into a new database that is made before its clock starts."""
    tell("PostgreSQL: restores")
    archive, jobs = subject.archive(), os.cpu_count() or 1
    pg_restore = (str(subject.server.bin / "pg_restore"), *subject.server.where, "--dbname=restored")
    series = in_turn(
        {
            f"{_RESTORED}, {jobs} jobs": lambda: _restored(subject, archive, jobs),
            _PLAIN: lambda: into_new(subject.server, lambda: command(*pg_restore, archive)),
            f"{_PLAIN} -j{jobs}": lambda: into_new(
                subject.server, lambda: command(*pg_restore, f"-j{jobs}", archive)
            ),
        },
        rounds,
    )
    return Section(
        title="PostgreSQL: a restore",
        subject=_subject(subject),
        series=series,
        budgets=(time_ratio(f"PostgreSQL restore: time of {_PLAIN}", series[0], series[1], 0.9),),
    )


def _restored(subject: Subject, archive: Path, jobs: int) -> Sample:
    def go() -> Sample:
        answer, watch = subject.runner.ask(
            work="restore",
            archive=str(archive),
            client=str(subject.server.bin),
            parameters=subject.server.conninfo("restored"),
            jobs=jobs,
        )
        return Sample(
            seconds=answer["seconds"],
            cpu_seconds=answer["cpu_seconds"],
            own_bytes=watch.own_bytes,
            children_bytes=watch.children_bytes,
        )

    return into_new(subject.server, go)


def into_new(server: Server, go: Go) -> Sample:
    """A database ``restored``, which is gone afterwards."""
    server.psql("CREATE DATABASE restored TEMPLATE template0")
    server.psql("CHECKPOINT")
    try:
        return go()
    finally:
        server.psql("DROP DATABASE restored")


def _subject(subject: Subject) -> str:
    return f"a database of {subject.size_bytes / 1e6:,.0f} MB, PostgreSQL {version(subject.server)}"
