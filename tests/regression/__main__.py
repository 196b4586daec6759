"""``python -m tests.regression SOURCE…``: PostgreSQL's regression database, snapshot, drill; ``make regression``.

Whatever a drill finds other than it was is printed; exit status 1 then. There are no exceptions: what a description
leaves out is named in ``documentation/facts.md``, and ``tests/contract/test_postgresql_features.py`` holds it to that.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from amanat.domain.errors import AmanatError
from amanat.domain.policy import PostgresqlSource
from amanat.engines.postgresql import PostgresqlEngine, PostgresqlRehearser
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from tests.contract.engine_contract import make_order
from tests.regression.suite import Suite
from tests.support.postgres import MAJORS
from tests.support.postgres_server import SETTINGS, Server, Workspace

_DATABASE = "regression"


def main() -> int:
    options = _options()
    wrong = 0
    for source in options.source:
        with (
            _folder() as work,
            contextlib.closing(Workspace(settings={**SETTINGS, "max_prepared_transactions": "2"})) as servers,
        ):
            suite = Suite(source=source, work=work)
            server = servers.server(options.major or suite.major)
            print(f"PostgreSQL {server.major}, the suite of {suite.major}:", flush=True)
            for hung in suite.build(server, _DATABASE):
                print(f"  left in the middle: {hung}")
            wrong += _drill(server)
    return 1 if wrong else 0


def _drill(server: Server) -> int:
    """How much was not as it was."""
    try:
        found = _differences(server)
    except AmanatError as exc:
        found = [f"{exc.message} ({exc.hint})"]
    for line in found:
        print(f"  {line}")
    print(f"  {len(found)} differences", flush=True)
    return len(found)


def _differences(server: Server) -> list[str]:
    source, clients = PostgresqlSource(parameters=server.conninfo(_DATABASE)), (server.bin,)
    with _folder() as folder:
        artefact = PostgresqlEngine(source, None, extra_client_folders=clients).take(
            make_order(folder), RunControl()
        )
        facts = artefact.facts
        told = len(facts.description.objects) if facts.description else 0
        print(
            f"  {told} objects, {len(facts.rows)} tables with {sum(table.rows for table in facts.rows)} rows",
            flush=True,
        )
        place = Place(run="0123456789ab", folder=folder, scratch=folder, is_dead=lambda _: False)
        rehearser = PostgresqlRehearser(source, None, extra_client_folders=clients)
        rehearsal = rehearser.rehearse(artefact.path, facts, (), place, RunControl())
    comparison = rehearsal.comparison
    return [*(item.describe() for item in comparison.differences), *comparison.not_compared, *rehearsal.warnings]


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """One that the server's user can enter."""
    with tempfile.TemporaryDirectory(prefix="amanat-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _source(name: str) -> Path:
    if not (Path(name) / "src" / "test" / "regress" / "parallel_schedule").exists():
        raise argparse.ArgumentTypeError(f"{name} is no tree of PostgreSQL's source")
    return Path(name).absolute()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.regression", description=__doc__)
    parser.add_argument("source", nargs="+", type=_source, help="a tree of PostgreSQL's source, unpacked")
    parser.add_argument("--major", type=int, choices=MAJORS, help="the server's, if not the source's own")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as exc:
        sys.exit(f"regress.c: {exc}")
