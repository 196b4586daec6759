"""Restores, or swaps, as a process of its own that can be killed; reports JSON.

Arguments: LIVE swap INCOMING OUTGOING, or LIVE restore ARTEFACT NAME, or LIVE require.
"""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from amanat.domain.errors import AmanatError
from amanat.domain.model import Facts
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteRestorer
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from amanat.ports.restoring import RestoreOrder

FACTS = Facts(engine_version="", source_bytes=0, tables=())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("live", type=Path)
    parser.add_argument("work", choices=["swap", "restore", "require"])
    parser.add_argument("names", nargs="*")
    json.dump(report(parser.parse_args()), sys.stdout)


def report(options: argparse.Namespace) -> dict[str, object]:
    folder = options.live.parent
    place = Place(run="dead00000000", folder=folder, scratch=folder, is_dead=lambda _: False)
    restorer, control = SqliteRestorer(SqliteSource(path=options.live)), RunControl(timeout=timedelta(seconds=5))
    try:
        if options.work == "swap":
            return asdict(restorer.swap(*options.names, place, control))
        if options.work == "require":
            restorer.require_swap(None, place, control)
            return {}
        artefact, name = options.names
        restorer.restore(RestoreOrder(artefact=Path(artefact), facts=FACTS, name=name), place, control)
    except AmanatError as exc:
        return {"error": type(exc).__name__, "message": exc.message, "hint": exc.hint}
    return {}


if __name__ == "__main__":
    main()
