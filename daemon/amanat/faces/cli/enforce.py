"""``enforce install``, ``enforce status`` and ``enforce remove``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amanat.faces.cli import output, session
from amanat.faces.cli.grouped import Grouped

if TYPE_CHECKING:
    from amanat.ports.enforcing import Enforcement, Pass

_Database = Annotated[str, typer.Argument(help="A configured database, or laravel:FOLDER.")]
_PrintSql = Annotated[
    bool, typer.Option("--print-sql", help="Print what a superuser would have to run, and do nothing.")
]
_Purpose = Annotated[str, typer.Option(help="Why, for the register.")]


def add_to(cli: typer.Typer) -> None:
    group = typer.Typer(
        cls=Grouped, help="Have PostgreSQL itself refuse changes of the schema to who has no pass."
    )
    for command in (install, status, remove):
        group.command()(command)
    cli.add_typer(group, name="enforce", rich_help_panel="Migrations")


def install(
    database: _Database,
    *,
    exempt: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="It and its members need no pass; may be repeated.")
    ] = None,
    issuer: Annotated[
        str, typer.Option(metavar="ROLE", help="Who may issue passes.", show_default="the role Amanat connects as")
    ] = "",
    print_sql: _PrintSql = False,
    purpose: _Purpose = "",
    by: output.By = "",
    as_json: output.AsJson = False,
) -> None:
    """Refuse changes of the schema from now on, unless a pass is valid; superusers need none.

    One that is there is replaced; its passes end.

    Exit status: 0; 3 the database cannot be asked; 4 the role is no superuser, or the database is SQLite; 5 no
    such database or role.
    """
    from amanat.services import enforce as service

    app, exempted = session.open_app(create=not print_sql), tuple(exempt or ())
    found = app.database(database)
    if print_sql:
        _print_sql(service.installing(app.ports, found, exempt=exempted, issuer=issuer), as_json=as_json)
        return
    who = output.who(by)
    with app.documented():
        done = service.install(app.ports, found, exempt=exempted, issuer=issuer, by=who, purpose=purpose)
    _tell(done, found.name, as_json=as_json)


def status(database: _Database, *, as_json: output.AsJson = False) -> None:
    """Say whether it is installed and at work, who is exempt, and which passes are valid.

    Exit status: 0; 3 the database cannot be asked; 4 the database is SQLite; 5 no such database.
    """
    from amanat.services import enforce as service

    app = session.open_app()
    found = app.database(database)
    _tell(service.state(app.ports, found), found.name, as_json=as_json)


def remove(
    database: _Database,
    *,
    print_sql: _PrintSql = False,
    purpose: _Purpose = "",
    by: output.By = "",
    as_json: output.AsJson = False,
) -> None:
    """Let everybody change the schema again who could before.

    Exit status: 0; 3 the database cannot be asked; 4 the role is no superuser, or the database is SQLite; 5 no
    such database, or it is not installed.
    """
    from amanat.services import enforce as service

    app = session.open_app()
    found = app.database(database)
    if print_sql:
        _print_sql(service.removing(app.ports, found), as_json=as_json)
        return
    who = output.who(by)
    with app.documented():
        service.remove(app.ports, found, by=who, purpose=purpose)
    _tell(None, found.name, as_json=as_json)


def pass_row(issued: "Pass") -> dict[str, str]:
    from amanat.domain.model import utc_text

    return {
        "id": issued.id,
        "role": issued.role,
        "until": utc_text(issued.until),
        "by": issued.by,
        "purpose": issued.purpose,
    }


def _print_sql(statements: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"sql": statements})
    else:
        typer.echo(statements, nl=False)


def _tell(found: "Enforcement | None", database: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(_row(found, database))
    elif found:
        _print(found, database)
    else:
        typer.echo(f"{database}: not installed")


def _row(found: "Enforcement | None", database: str) -> dict[str, Any]:
    return {
        "database": database,
        "installed": found is not None,
        "enabled": bool(found and found.is_enabled),
        "version": found.version if found else None,
        "issuer": found.installation.issuer if found else None,
        "exempt": list(found.installation.exempt) if found else [],
        "passes": [pass_row(each) for each in found.passes] if found else [],
    }


def _print(found: "Enforcement", database: str) -> None:
    at_work = "enabled" if found.is_enabled else "not enabled: its event triggers do not fire"
    typer.echo(f"{database}: installed, version {found.version}, {at_work}")
    typer.echo(f"exempt: {', '.join(('superusers', *map(output.one_line, found.installation.exempt)))}")
    typer.echo(f"passes are issued by: {output.one_line(found.installation.issuer)}")
    for each in found.passes:
        why = f": {each.purpose}" if each.purpose else ""
        until = output.local(each.until)
        typer.echo(output.one_line(f"pass {each.id}: role {each.role} until {until}, by {each.by}{why}"))
