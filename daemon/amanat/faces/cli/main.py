"""The ``amanat`` command: global options, the commands, and from error to exit code in one place."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from amanat import __version__
from amanat.domain.errors import AmanatError, ConfigurationError, ExitCode
from amanat.faces.cli import (
    configuration,
    demo,
    doctor,
    enforce,
    gate,
    migrate,
    output,
    overview,
    register,
    retention,
    rollback,
    service,
    session,
    snapshots,
)
from amanat.faces.cli.grouped import Grouped

_PLACES = ("--policies", "--store", "--state")


cli = typer.Typer(
    name="amanat",
    help="Keeps SQLite and PostgreSQL databases restorable, and proves it.",
    epilog="Exit codes: 0 done, 1 a bug, 2 usage, 3 failed, 4 refused, 5 not found, 6 busy, 7 integrity.",
    cls=Grouped,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_MODULES = (
    snapshots,
    rollback,
    gate,
    migrate,
    enforce,
    retention,
    overview,
    doctor,
    register,
    configuration,
    service,
    demo,
)
for module in _MODULES:
    module.add_to(cli)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"amanat {__version__}")
        raise typer.Exit


@cli.callback()
def places(
    *,
    policies: Annotated[
        Path | None, typer.Option(help="Policy file.", show_default="config/policies.yaml")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the snapshots.", show_default="database-backups")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Folder of the register.", show_default=".amanat")] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Global options; they win over AMANAT_* variables and config/amanat.env."""
    del version
    session.flags = {"policies": policies, "store": store, "state": state}


def main() -> None:
    """Run the command line and exit with the code of what happened."""
    session.caller = session.Caller(environment=dict(os.environ), umask=os.umask(0o077))
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # it would look through all installed packages for them
    arguments = _places_first(sys.argv[1:])
    output.open_stdout()
    try:
        _require_utf8(arguments)
        cli(args=arguments, prog_name="amanat", standalone_mode=True)
    except AmanatError as exc:
        _tell(exc, as_json="--json" in _own(arguments))
        sys.exit(session.signal_code() or exc.exit_code)
    except Exception:  # noqa: BLE001 - the last resort: a trace in the log, and its own exit code
        session.report_bug()
        sys.exit(ExitCode.BUG)


def _require_utf8(arguments: list[str]) -> None:
    """Other bytes could be neither registered nor printed."""
    for word in arguments:
        shown = os.fsencode(word).decode("utf-8", "backslashreplace")
        if shown != word:
            raise ConfigurationError(f"the argument {shown} is not UTF-8", hint="write it in UTF-8")


def _places_first(arguments: list[str]) -> list[str]:
    """Global options are understood behind the command too; nothing after ``--`` is touched."""
    front: list[str] = []
    rest: list[str] = []
    queue = _own(arguments)
    end = len(queue)
    while queue:
        word = queue.pop(0)
        if word in _PLACES and queue:
            front += [word, queue.pop(0)]
        elif word.startswith(tuple(f"{option}=" for option in _PLACES)):
            front.append(word)
        else:
            rest.append(word)
    return [*front, *rest, *arguments[end:]]


def _own(arguments: list[str]) -> list[str]:
    """Behind ``--`` they are another command's."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments[:]


def _tell(exc: AmanatError, *, as_json: bool) -> None:
    from amanat.observability.redaction import redact

    message, hint = redact(exc.message), redact(exc.hint)
    if as_json:
        body = {"error": {"kind": exc.kind, "message": message, "hint": hint, "exit_code": int(exc.exit_code)}}
        typer.echo(json.dumps(body, ensure_ascii=False), err=True)
        return
    typer.echo(f"amanat: {message}", err=True)
    if hint:
        typer.echo(f"  → {hint}", err=True)
