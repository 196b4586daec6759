"""``config check`` and ``config schema``."""

import typer

from amanat.faces.cli import output, session
from amanat.faces.cli.grouped import Grouped


def add_to(cli: typer.Typer) -> None:
    group = typer.Typer(cls=Grouped, help="Check the policy file, or print its JSON schema.")
    group.command()(check)
    group.command()(schema)
    cli.add_typer(group, name="config", rich_help_panel="Service")


def check(*, as_json: output.AsJson = False) -> None:
    """Read settings and policy file as the daemon would, and say every error at once.

    A key that does nothing where it stands is named too, and is no error.

    Exit status: 0 usable; 2 not.
    """
    from amanat.settings import policies

    settings = session.settings()
    configuration = policies.load(settings.policies)
    found = {
        "policies_file": str(settings.policies),
        "databases": list(configuration.databases),
        "policies": list(configuration.policies),
        "scheduled": [job.id for job in configuration.jobs()],
    }
    found["uncovered"] = configuration.uncovered()
    found["warnings"] = list(configuration.warnings)
    if as_json:
        output.print_json(found)
        return
    typer.echo(
        f"{settings.policies}: ok, {len(found['databases'])} databases, {len(found['policies'])} policies, "
        f"{len(found['scheduled'])} schedules"
    )
    for warning in configuration.warnings:
        typer.echo(f"  {warning}")
    for name in configuration.uncovered():
        typer.echo(f"  no policy covers {name}: nothing is taken of it but by hand")


def schema() -> None:
    """Print the JSON schema of the policy file, for editors.

    Exit status: 0.
    """
    from amanat.settings import policies

    output.print_json(policies.schema())
