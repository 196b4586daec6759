"""Amanat set up beside the data: store, register, policies, and the ways to take a snapshot there."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Sample
from benchmarks.processes import Attendant, BenchmarkError, command, watched
from tests.support.cli import Amanat
from tests.support.postgres_server import Server
from tests.support.sqlite_databases import build

_PATIENCE_SECONDS = 1800.0
_LAST_ONE = "keep: {last: 1}"
POLICIES = {
    "stored": f"on_demand: true, proof: stored, {_LAST_ONE}",
    "readable": f"on_demand: true, proof: readable, {_LAST_ONE}",
}
# a scheduled policy that never ran is due at once
_AT_ONCE = {"scheduled": f'schedule: {{cron: "0 0 1 1 *"}}, proof: stored, {_LAST_ONE}'}


@dataclass
class Scene:
    """``databases``: name → its line of the policy file; ``policies`` likewise, each for all databases.

    ``warnings``: what the runs warned of. ``newest``: the last artefact.
    """

    folder: Path
    databases: Mapping[str, str]
    policies: Mapping[str, str] = field(default_factory=lambda: POLICIES)
    warnings: list[str] = field(default_factory=list)
    newest: Path | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.amanat = Amanat(self.folder)
        self._write(self.policies, self.databases)

    @contextlib.contextmanager
    def runner(self) -> Iterator[Attendant]:
        log = self.folder / "runner.log"
        with Attendant(sys.executable, "-m", "benchmarks.runner", env=self.environment(), log=log) as started:
            yield started

    def take(self, runner: Attendant, database: str, policy: str) -> Sample:
        """As the daemon does it: in a process that is there already."""
        answer, watch = runner.ask(work="take", database=database, policy=policy)
        self.warnings += answer["warnings"]
        self.newest = Path(answer["path"])
        return Sample(
            seconds=answer["seconds"],
            cpu_seconds=answer["cpu_seconds"],
            own_bytes=watch.own_bytes,
            children_bytes=watch.children_bytes,
            size_bytes=answer["size_bytes"],
        )

    def command(self, *words: str) -> Sample:
        """A whole ``amanat`` command, from the shell's point of view."""
        return command(*amanat_command(), *words, env=self.environment())

    def by_daemon(self, database: str) -> Sample:
        """The peak memory of a real daemon that takes one snapshot; there is no time in it."""
        self._write(_AT_ONCE, [database])
        with self.amanat.daemon() as daemon, watched(daemon.pid) as watch:
            ended = daemon.wait_for(
                "a snapshot by the daemon", lambda: self._ended(database), timeout=_PATIENCE_SECONDS
            )
        self._write(self.policies, self.databases)
        if ended != "succeeded":
            raise BenchmarkError(f"the daemon's snapshot of {database}: {ended}\n{daemon.output()}")
        return Sample(seconds=0.0, own_bytes=watch.own_bytes, children_bytes=watch.children_bytes)

    def environment(self) -> dict[str, str]:
        """With compiled modules, as pip leaves them where Amanat is installed."""
        inherited = self.amanat.environment()
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        return {**inherited, "PYTHONPATH": str(Path(__file__).parents[1])}

    def close(self) -> None:
        shutil.rmtree(self.folder)

    def _ended(self, database: str) -> str | None:
        found = self.amanat.query(
            "SELECT outcome, reason FROM runs WHERE policy = 'scheduled' AND stage = 'snapshot' AND database = ?",
            database,
        )
        return " ".join(filter(None, found[0])) if found and found[0]["outcome"] else None

    def _write(self, policies: Mapping[str, str], databases: Iterable[str]) -> None:
        named = ", ".join(databases)
        lines = [
            "version: 1",
            "databases:",
            *(f"  {name}: {line}" for name, line in self.databases.items()),
            "policies:",
            *(f"  {name}: {{databases: [{named}], {line}}}" for name, line in policies.items()),
        ]
        self.amanat.policies("\n".join(lines) + "\n")


def postgresql_line(server: Server, dbname: str) -> str:
    connection = server.conninfo(dbname)
    return json.dumps(
        {"engine": "postgresql", "environment": "bench", "connection": connection, "client": str(server.bin)}
    )


def sqlite_line(path: Path) -> str:
    return json.dumps({"engine": "sqlite", "environment": "bench", "path": str(path)})


def with_tiny_database(folder: Path, policy: str, line: str) -> Scene:
    """For what is about the register, not about the data."""
    scene = Scene(folder, {"app": sqlite_line(folder / "app.sqlite")}, {policy: line})
    build(folder / "app.sqlite", "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
    return scene


def amanat_command() -> tuple[str, ...]:
    """As installed beside this Python; without that, as a module."""
    script = Path(sys.executable).with_name("amanat")
    return (str(script),) if script.exists() else (sys.executable, "-m", "amanat")
