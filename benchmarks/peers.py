"""Other ways to keep a PostgreSQL database, in one run on the same data: what they take and what they give."""

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import conditions, data_postgresql, peers_repositories, servers
from benchmarks.figures import Findings, Peer, Sample
from benchmarks.peers_repositories import Source
from benchmarks.processes import Attendant, BenchmarkError, Go, command, in_turn, tell
from benchmarks.run import Plan
from benchmarks.scene import Scene, postgresql_line

_DBNAME = "atis"
_STOCK = "pg_restore reads it, also in parallel or a table alone"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """``traits``: restorable with what, in parallel, proven. ``goes``: what to measure, by a word for each.

    ``require``: BenchmarkError if it cannot be run here.
    """

    name: str
    traits: str
    goes: Mapping[str, Go]
    require: Callable[[], object] = lambda: None


def run(plan: Plan, tools: Path) -> Findings:
    """``tools``: a folder with programs that are not on PATH. WAL is archived, as pgBackRest needs it."""
    with servers.server(plan.major, plan.folder, archive_mode="on") as server:
        server.psql("ALTER SYSTEM SET archive_command = '/bin/true'")
        server.psql("SELECT pg_reload_conf()")
        tell(f"making a PostgreSQL database of {plan.postgresql_megabytes} MB")
        data_postgresql.make(server, _DBNAME, plan.postgresql_megabytes)
        given = conditions.found(plan.folder, rounds=plan.rounds, server=servers.version(server))
        scene = Scene(plan.folder / "peers", {_DBNAME: postgresql_line(server, _DBNAME)})
        source = Source(server=server, dbname=_DBNAME, folder=scene.folder, tools=tools)
        with scene.runner() as runner:
            found = compared([_ours(scene, runner), *_stock(source), *_repositories(source)], plan.rounds)
        scene.close()
    return Findings(conditions=given, peers=found)


def compared(contenders: Sequence[Contender], rounds: int) -> tuple[Peer, ...]:
    """In turn, those that can be run; the others with the reason why not."""
    reasons = {item.name: _obstacle(item) for item in contenders}
    runnable = [item for item in contenders if not reasons[item.name]]
    goes = {_name(item, word): go for item in runnable for word, go in item.goes.items()}
    series = {item.name: item for item in in_turn(goes, rounds)}
    return tuple(
        Peer(name=name, traits=item.traits, series=series.get(name), reason=reasons[item.name])
        for item in contenders
        for name in (_name(item, word) for word in item.goes)
    )


def _name(contender: Contender, word: str) -> str:
    return ", ".join(filter(None, (contender.name, word)))


def _obstacle(contender: Contender) -> str:
    """The last line of what it says, without the paths of this machine."""
    try:
        contender.require()
    except BenchmarkError as exc:
        return re.sub(r"(?<![^\s=\"'])/\S+", "…", str(exc).splitlines()[-1])
    return ""


def _ours(scene: Scene, runner: Attendant) -> Contender:
    def go() -> Sample:
        return scene.take(runner, _DBNAME, "stored")

    return Contender(
        name="amanat, proof stored",
        traits=f"one file; {_STOCK}; rows counted, bytes read back",
        goes={"": go},
        require=go,  # pays for what a process does once
    )


def _stock(source: Source) -> list[Contender]:
    jobs = os.cpu_count() or 1
    custom = source.pg_dump("--format=custom", "--file=stock")
    folder = source.pg_dump("--format=directory", f"--jobs={jobs}", "--file=stock")
    piped = f'"$0" "$@" --format=custom --compress=0 | zstd -q -3 -T{jobs} -f -o stock && sync stock'
    zstd = ("bash", "-o", "pipefail", "-c", piped, *source.pg_dump())
    return [
        Contender(
            name="pg_dump -Fc",
            traits=f"one file; {_STOCK}; not proven",
            goes={"": lambda: _kept(source, custom)},
        ),
        Contender(
            name=f"pg_dump -Fd -j{jobs}",
            traits=f"a folder; {_STOCK}; not proven",
            goes={"": lambda: _kept(source, folder)},
        ),
        Contender(
            name=f"pg_dump -Fc -Z0, piped to zstd -3 -T{jobs}",
            traits="one file; pg_restore reads it from a pipe, so not in parallel; not proven",
            goes={"": lambda: _kept(source, zstd)},
            require=lambda: _require("zstd"),
        ),
    ]


def _repositories(source: Source) -> list[Contender]:
    """Each takes the same data twice: into an empty repository, and once more when nothing has changed."""
    borgmatic, restic, pgbackrest = (kind(source) for kind in peers_repositories.KINDS)
    kinds = (
        (borgmatic, "borgmatic with borg", "a repository; borgmatic and borg read it; proven when asked (check)"),
        (
            restic,
            "pg_dump -Fc -Z0, piped to restic",
            "a repository, always encrypted; restic reads it; proven when asked (check)",
        ),
        (
            pgbackrest,
            "pgbackrest, the whole cluster",
            "a repository; pgbackrest reads it, for a server of the same major; page checksums; point in time",
        ),
    )
    return [
        Contender(
            name=name,
            traits=traits,
            goes={"first": repository.first, "again": repository.again},
            require=repository.require,
        )
        for repository, name, traits in kinds
    ]


def _kept(source: Source, argv: Sequence[str]) -> Sample:
    """``argv`` leaves the file or folder ``stock``."""
    stock = source.folder / "stock"
    shutil.rmtree(stock, ignore_errors=True)
    stock.unlink(missing_ok=True)
    taken = command(*argv, folder=source.folder)
    return replace(taken, size_bytes=peers_repositories.size(stock))


def _require(program: str) -> None:
    if not shutil.which(program):
        raise BenchmarkError(f"{program} is not installed")
