"""Going back: the whole command, what a client of the database sees of it, and ``pg_restore`` beside it."""

import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks import clients, rows_postgresql
from benchmarks.clients import Write
from benchmarks.figures import Budget, Sample, Section, Series, Unit
from benchmarks.processes import Attendant, command, in_turn, tell
from benchmarks.scene import POLICIES as OTHERS
from benchmarks.scene import Scene
from benchmarks.servers import version
from tests.support.postgres_server import Server

POLICIES = OTHERS | {"warm": "on_demand: true, proof: restored, warm: true, keep: {last: 1}"}
_WARM = "`amanat rollback` to a warm snapshot"
_OUTAGE = "its outage, as a client sees it"
_COLD = "`amanat rollback` to one that is not warm"
_PLAIN = "pg_restore"
_COMMAND_SECONDS = 3.0
_OUTAGE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Subject:
    """``name``: of the database in ``scene``. ``write``: as one of its clients does."""

    scene: Scene
    runner: Attendant
    name: str
    write: Write

    def take(self, policy: str) -> Path:
        self.scene.take(self.runner, self.name, policy)
        assert self.scene.newest  # noqa: S101 - just taken
        return self.scene.newest

    def roll_back(self, policy: str) -> Sample:
        return self.scene.command("rollback", self.name, f"--to={policy}", "--yes", "--purpose=benchmark")

    def accept(self) -> None:
        self.scene.command("accept", self.name)


def sqlite(subject: Subject, rounds: int, *, megabytes: float) -> Section:
    tell("SQLite: rollbacks")
    warm = _warm(subject, rounds)
    return Section(
        title="SQLite: a rollback",
        subject=f"a database of {megabytes:,.0f} MB in WAL mode",
        series=warm,
        budgets=_budgets("SQLite", *warm),
    )


def postgresql(subject: Subject, server: Server, rounds: int, *, megabytes: float) -> Section:
    tell("PostgreSQL: rollbacks")
    warm, (cold, plain) = _warm(subject, rounds), _cold(subject, server, rounds)
    return Section(
        title="PostgreSQL: a rollback",
        subject=f"a database of {megabytes:,.0f} MB, PostgreSQL {version(server)}",
        series=(*warm, cold, plain),
        budgets=_budgets("PostgreSQL", *warm),
    )


def _warm(subject: Subject, rounds: int) -> tuple[Series, Series]:
    """Both figures are of the same goes."""
    gone = [_rolled_back(subject) for _ in range(rounds)]
    return (
        Series(name=_WARM, samples=tuple(whole for whole, _ in gone)),
        Series(name=_OUTAGE, samples=tuple(Sample(seconds=outage) for _, outage in gone)),
    )


def _rolled_back(subject: Subject) -> tuple[Sample, float]:
    subject.take("warm")
    os.sync()  # what the snapshot left to be written is not the rollback's work
    with clients.writing(subject.write) as (client,):
        whole = subject.roll_back("warm")
    tell(f"  {_WARM}: {whole.seconds:.2f} s, {_OUTAGE}: {client.longest_pause:.2f} s")
    subject.accept()
    return whole, client.longest_pause


def _cold(subject: Subject, server: Server, rounds: int) -> tuple[Series, ...]:
    archive = subject.take("stored")
    pg_restore = (str(server.bin / "pg_restore"), *server.where, "--dbname=restored", str(archive))

    def cold() -> Sample:
        server.psql("CHECKPOINT")
        gone = subject.roll_back("stored")
        subject.accept()
        return gone

    stock = {_PLAIN: lambda: rows_postgresql.into_new(server, lambda: command(*pg_restore))}
    return in_turn({_COLD: cold} | stock, rounds)


def _budgets(engine: str, whole: Series, outage: Series) -> tuple[Budget, Budget]:
    return (
        _within(f"{engine}, rollback to a warm snapshot, the whole command", whole, _COMMAND_SECONDS),
        _within(f"{engine}, outage of a rollback, as a client sees it", outage, _OUTAGE_SECONDS),
    )


def _within(what: str, series: Series, limit: float) -> Budget:
    return Budget(what=what, limit=limit, unit=Unit.SECONDS, measured=series.seconds)
