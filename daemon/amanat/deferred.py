"""What a run or the doctor asks of the outside, and a list does not: loaded when it is asked for.

Each fulfils the field of ``ports.Ports`` that has its name.
"""

import shlex
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amanat.domain.model import EngineName
    from amanat.domain.policy import Configuration, Database, Policy
    from amanat.ports.enforcing import Enforcer
    from amanat.ports.engine import Engine, Prover, Rehearser
    from amanat.ports.host import Host
    from amanat.ports.restoring import Restorer
    from amanat.ports.run import Attached, Control, Ran

_OUTPUT_LINES = 20
_OUTPUT_WIDTH = 1000
_WRITTEN = b"Written by Amanat"


def engine_of(database: "Database") -> "Engine":
    from amanat import wiring

    return wiring.engine_of(database)


def rehearser_of(database: "Database", policy: "Policy") -> "Rehearser":
    from amanat import wiring

    return wiring.rehearser_of(database, policy)


def restorer_of(database: "Database") -> "Restorer":
    from amanat import wiring

    return wiring.restorer_of(database)


def enforcer_of(database: "Database") -> "Enforcer":
    from amanat import wiring

    return wiring.enforcer_of(database)


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
    from amanat.domain.errors import StoreError
    from amanat.host import files

    with files.explained(f"document {path}"):
        if path.is_file() and (there := path.read_bytes()[:1000]) and _WRITTEN not in there:
            raise StoreError(
                f"document {path}: there is one that Amanat did not write",
                hint="move it away if it is to be kept; or name another one in the policy file",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace_text(path, text, mode=0o644)


def run_attached(argv: Sequence[str], env: Mapping[str, str], umask: int) -> "Attached":
    from amanat.host import process

    return process.attached(argv, env=env, umask=umask)


def run_command(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    timeout: timedelta,
    control: "Control | None",
    folder: Path | None = None,
) -> "Ran":
    from amanat.domain.errors import TimeoutExceededError
    from amanat.host import clock, process
    from amanat.host.control import Limited, RunControl
    from amanat.observability.redaction import redact
    from amanat.ports.run import Ran

    limited = Limited(control, timeout) if control else RunControl(timeout=timeout)
    lines: deque[str] = deque(maxlen=_OUTPUT_LINES)
    began = clock.monotonic()
    try:
        finished = process.run(
            argv, control=limited, env=environment, cwd=folder, together=True, on_stderr=lines.append
        )
        succeeded, how = finished.returncode == 0, finished.how
    except TimeoutExceededError as exc:
        if control and not control.remaining():
            raise
        succeeded, how = False, exc.message
    return Ran(
        command=redact(shlex.join(argv)),
        succeeded=succeeded,
        how=how,
        seconds=clock.monotonic() - began,
        output=tuple(redact(line)[:_OUTPUT_WIDTH] for line in lines if line.strip()),
    )
