"""``demo``: an application database, a policy file and a daemon that shows its first proven snapshot."""

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import typer

import amanat
from amanat.faces.cli import session

if TYPE_CHECKING:
    from amanat.app import App

_DATABASE = Path("demo/database.sqlite")
_POLICIES = Path("config/policies.yaml")
_PATIENCE_SECONDS = 30


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Service")(demo)


def demo() -> None:
    """Make a demo database in this folder, and run the daemon on it until Ctrl-C.

    What is there already (demo/, config/policies.yaml, database-backups/) is used as it is.
    Exit status: as for the daemon.
    """
    from amanat.faces.service import Daemon

    _prepare()
    app = session.open_app(quiet=False, create=True)
    teller = threading.Thread(target=_tell, args=(app,), daemon=True)
    Daemon(app, on_ready=teller.start).run()


def _prepare() -> None:
    from amanat.engines.sqlite.demo import create

    if create(_DATABASE):
        typer.echo(f"made the demo application's database {_DATABASE}")
    if not _POLICIES.exists():
        _POLICIES.parent.mkdir(exist_ok=True)
        shutil.copyfile(_shipped_policies(), _POLICIES)
        typer.echo(f"wrote {_POLICIES}")
    session.settings().store.mkdir(mode=0o700, exist_ok=True)


def _shipped_policies() -> Path:
    """Inside the installed package; in a checkout, where it lies in the project."""
    package = Path(amanat.__file__).parent
    installed = package / "config" / "policies.yaml"
    return installed if installed.exists() else package.parents[1] / "config" / "policies.yaml"


def _tell(app: "App") -> None:
    """Show the first proven snapshot, its register entry, and where to look on."""
    from amanat.services import document

    taken = None
    pause = threading.Event()
    for _ in range(_PATIENCE_SECONDS * 10):
        taken = app.ports.register.newest_snapshot(database="demo", proven=True)
        if taken or pause.wait(0.1):
            break
    if not taken:
        typer.echo("no proven snapshot of the demo yet: `amanat status` says why")
        return
    address, command = app.settings.http, _this_command()
    lines = [
        "",
        f"proven snapshot  {taken.id}: {taken.proof}, {app.ports.store.path(taken.path)}",
        "register entry   " + document.render([taken]).splitlines()[-1],
        *(
            []
            if address == "off"
            else [f"status           http://{address}/status", f"metrics          http://{address}/metrics"]
        ),
        "",
        "The daemon goes on until Ctrl-C. In another terminal: "
        + " · ".join(f"{command} {word}" for word in ("list", "status", "next")),
        "",
    ]
    typer.echo("\n".join(lines))


def _this_command() -> str:
    """How to call it from this folder: by name where a shell finds it, else by its path."""
    called = Path(sys.argv[0]).absolute()
    if shutil.which("amanat") == str(called):
        return "amanat"
    return os.path.relpath(called) if called.name == "amanat" else "amanat"
