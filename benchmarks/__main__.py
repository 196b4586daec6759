"""``python -m benchmarks run | register | rollback | peers | document``; see documentation/performance.md.

Exit status: 0; 1 a budget is over; 2 something that is compared did not work.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks import document, keeping, peers, report
from benchmarks.figures import Findings
from benchmarks.processes import BenchmarkError
from benchmarks.run import Plan, register, rollback, run

_FOLDER = Path(__file__).parents[1] / ".cache" / "bench"
_TOOLS = _FOLDER / "peers" / "bin"  # where `make bench-peers` puts borgmatic
_RUN, _PEERS = _FOLDER / "run.json", _FOLDER / "peers.json"
_QUICK = {
    "postgresql_megabytes": 120,
    "sqlite_megabytes": 100,
    "fractions": (0.5, 1.0),
    "rounds": 1,
    "growth_rounds": 1,
    "quick_rounds": 3,
    "counts": (100, 10_000),
    "idle_seconds": 5.0,
}
_SIZES = ("postgresql_megabytes", "sqlite_megabytes", "rounds", "major")


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    try:
        return int(_WORK[given.work](given))
    except BenchmarkError as exc:
        sys.stderr.write(f"{exc}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Amanat beside the stock tools.")
    works = parser.add_subparsers(dest="work", required=True)
    for name, kept, text in (
        ("run", _RUN, "every budget, and what grows"),
        ("register", _RUN, "only what the register's size costs, once more, in the findings of a run"),
        ("rollback", _RUN, "only going back, once more, in the findings of a run"),
        ("peers", _PEERS, "other tools on the same data"),
    ):
        work = works.add_parser(name, help=text)
        work.add_argument("--folder", type=Path, default=_FOLDER, help="where to work (default: .cache/bench)")
        work.add_argument("--postgresql-megabytes", type=int, help="size of the PostgreSQL database")
        work.add_argument("--sqlite-megabytes", type=int, help="size of the SQLite database")
        work.add_argument("--rounds", type=int, help="how often each contestant runs")
        work.add_argument("--major", type=int, help="PostgreSQL's major version, 14 to 18 (default: 15)")
        work.add_argument("--quick", action="store_true", help="small data, few rounds")
        work.add_argument("--json", type=Path, default=kept, help="where the findings are kept")
    written = works.add_parser("document", help="put kept findings into documentation/")
    written.add_argument("--json", type=Path, default=_RUN, help="findings of a run")
    written.add_argument("--peers", type=Path, default=_PEERS, help="findings of peers; those there stay without")
    return parser


def _run(given: argparse.Namespace) -> bool:
    with _working(given.folder) as folder:
        findings = run(_plan(given, folder))
    _keep(findings, given.json)
    return bool(findings.over)


def _register(given: argparse.Namespace) -> bool:
    known = keeping.load(given.json)
    with _working(given.folder) as folder:
        section, curves = register(_plan(given, folder))
    return _keep_again(known.with_again([section], curves), "the register", given.json)


def _rollback(given: argparse.Namespace) -> bool:
    known = keeping.load(given.json)
    with _working(given.folder) as folder:
        sections = rollback(_plan(given, folder))
    return _keep_again(known.with_again(sections), "rollbacks", given.json)


def _keep_again(findings: Findings, what: str, path: Path) -> bool:
    again = {what: f"measured once more by itself, {time.strftime('%Y-%m-%d')}"}
    _keep(findings := replace(findings, conditions={**findings.conditions, **again}), path)
    return bool(findings.over)


def _peers(given: argparse.Namespace) -> bool:
    with _working(given.folder) as folder:
        _keep(peers.run(_plan(given, folder), _TOOLS), given.json)
    return False


def _document(given: argparse.Namespace) -> bool:
    """Both kinds of findings, as one; where only one is there, the other stays as it is documented."""
    known = keeping.load(document.MEASURED) if document.MEASURED.exists() else None
    findings = keeping.load(given.json) if given.json.exists() or known is None else known
    others = keeping.load(given.peers) if given.peers.exists() else known
    document.write(replace(findings, peers=others.peers if others else ()))
    return False


_WORK: dict[str, Callable[[argparse.Namespace], bool]] = {
    "run": _run,
    "register": _register,
    "rollback": _rollback,
    "peers": _peers,
    "document": _document,
}


def _plan(given: argparse.Namespace, folder: Path) -> Plan:
    said = {name: value for name in _SIZES if (value := getattr(given, name)) is not None}
    return Plan(folder=folder, **{**(_QUICK if given.quick else {}), **said})


@contextlib.contextmanager
def _working(folder: Path) -> Iterator[Path]:
    """A folder below it that is new, and gone at the end. One run at a time: two would measure each other."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise BenchmarkError(f"another run works in {folder}") from exc
        work = folder.resolve() / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o755)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _keep(findings: Findings, path: Path) -> None:
    path.write_text(keeping.encode(findings), encoding="utf-8")
    sys.stdout.write(report.whole(findings))


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(sys.argv[1:]))
