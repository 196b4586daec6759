"""Takes and proves a snapshot as a process of its own, if asked with fewer rights; reports JSON.

Arguments: SOURCE FOLDER [--nobody] [--file-limit BYTES]
"""

import argparse
import json
import os
import resource
import sys
from pathlib import Path

from amanat.domain.errors import AmanatError
from amanat.domain.model import Scope
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver
from amanat.host.control import RunControl
from amanat.ports.engine import Order

NOBODY = 65534


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nobody", action="store_true")
    parser.add_argument("--file-limit", type=int)
    options = parser.parse_args()
    if options.nobody and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if options.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_limit, options.file_limit))
    json.dump(report(options.source, options.folder), sys.stdout)


def report(source: Path, folder: Path) -> dict[str, object]:
    control = RunControl()
    try:
        engine, order = SqliteEngine(SqliteSource(path=source)), Order(folder=folder, scratch=folder)
        examined = {check.name: check.level for check in engine.examine(order, control)}
        artefact = engine.take(order, control)
        SqliteProver().prove_readable(artefact.path, artefact.facts, Scope(), control)
    except AmanatError as exc:
        return {"error": type(exc).__name__, "message": exc.message, "hint": exc.hint}
    found = {"examined": examined, "artefact": str(artefact.path), "tables": artefact.facts.tables}
    return {"error": None, "copied_by": artefact.facts.extra["copied_by"], **found}


if __name__ == "__main__":
    main()
