"""What a run or the doctor asks of the outside, and a list does not: loaded when it is asked for.

Each fulfils the field of ``ports.Ports`` that has its name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amanat.domain.model import EngineName
    from amanat.domain.policy import Configuration, Database, Policy
    from amanat.ports.engine import Engine, Prover, Rehearser
    from amanat.ports.host import Host
    from amanat.ports.restoring import Restorer
    from amanat.ports.run import Control


def engine_of(database: "Database") -> "Engine":
    from amanat import wiring

    return wiring.engine_of(database)


def rehearser_of(database: "Database", policy: "Policy") -> "Rehearser":
    from amanat import wiring

    return wiring.rehearser_of(database, policy)


def restorer_of(database: "Database") -> "Restorer":
    from amanat import wiring

    return wiring.restorer_of(database)


def prover_of(engine: "EngineName", configuration: "Configuration") -> "Prover":
    from amanat import wiring

    return wiring.prover_of(engine, configuration)


def host() -> "Host":
    from amanat.host.examining import ThisHost

    return ThisHost()


def commit_of(folder: Path) -> str | None:
    from amanat.host import git

    return git.commit_of(folder)


def write_document(path: Path, text: str) -> None:
    from amanat.host import files

    with files.explained(f"document {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace_text(path, text, mode=0o644)


def run_attached(argv: Sequence[str], env: Mapping[str, str], umask: int) -> int:
    from amanat.host import process

    return process.attached(argv, env=env, umask=umask)


def run_command(argv: Sequence[str], env: Mapping[str, str], control: "Control") -> None:
    from amanat.domain.errors import ToolError
    from amanat.host import process

    finished = process.run(argv, control=control, env=env)
    if finished.returncode:
        said = finished.stderr.rpartition("\n")[2]
        raise ToolError(f"{argv[0]} {finished.how}: {said}", hint="run it by hand with the same environment")
