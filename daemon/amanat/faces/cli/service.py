"""``daemon``: scheduler, metrics and watchdog, in the foreground."""

import typer

from amanat.faces.cli import session


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Service")(daemon)


def daemon() -> None:
    """Run the scheduler in the foreground until SIGTERM or Ctrl-C; SIGHUP reloads the policies.

    Exit status: 0 stopped; 2 settings, policies or HTTP address cannot be used; 3 store or register cannot;
    6 another daemon runs on the same state folder.
    """
    from amanat.faces.service import Daemon

    Daemon(session.open_app(quiet=False, create=True)).run()
