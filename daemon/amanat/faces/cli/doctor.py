"""``doctor evidence``."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amanat.domain.errors import AmanatError, ConfigurationError, ExitCode, NotFoundError, RegisterError
from amanat.faces.cli import output, session

if TYPE_CHECKING:
    from amanat.app import App
    from amanat.domain.doctor import Check
    from amanat.services.doctor import Patient

_PANEL = "Overview"


class Format(StrEnum):
    TEXT = "text"
    MARKDOWN = "markdown"
    HTML = "html"
    JSON = "json"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel=_PANEL)(doctor)
    cli.command(rich_help_panel=_PANEL)(evidence)


def doctor(
    database: Annotated[str | None, typer.Argument(help="Only this database, and the host.")] = None,
    *,
    as_json: output.AsJson = False,
) -> None:
    """Examine all that runs depend on, and say what to do: host, store, register, databases, policies.

    Exit status: 0 nothing fails, though there may be warnings; 3 a check fails; 5 no such database.
    """
    from amanat.services import doctor as service

    with _opened() as (app, register_error):
        session.stop_on_signals(app.stop)
        found = service.examine(app.ports, _patient(app, database, register_error))
    if as_json:
        output.print_json({"level": service.worst(found), "checks": [_row(check) for check in found]})
    else:
        _print(found)
    if not all(check.ok for check in found):
        raise typer.Exit(ExitCode.FAILED)


@contextlib.contextmanager
def _opened() -> "Iterator[tuple[App, AmanatError | None]]":
    """Where the register cannot be opened, an empty one stands in for it, so that the rest can be examined."""
    try:
        app = session.open_app()
    except (ConfigurationError, RegisterError) as exc:
        refused = exc
    else:
        yield app, None
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix="amanat-doctor-") as folder:
        yield session.open_app(create=True, state=Path(folder)), refused


def _patient(app: "App", database: str | None, register_error: AmanatError | None) -> "Patient":
    from amanat.domain.policy import Configuration
    from amanat.services.doctor import Patient, Places
    from amanat.settings.service import ENV_FILE

    error = None
    try:
        configuration = app.configuration
    except ConfigurationError as exc:
        if database:
            raise
        error, configuration = exc, Configuration()
        app.use(configuration)
    settings = session.settings()
    return Patient(
        configuration=configuration,
        databases=(app.database(database),) if database else tuple(configuration.databases.values()),
        places=Places(state=settings.state, env_file=ENV_FILE, http=settings.http_address),
        register_error=register_error,
        configuration_error=error,
    )


def _row(check: "Check") -> dict[str, Any]:
    return {
        "subject": check.subject,
        "name": check.name,
        "level": check.level,
        "found": check.found,
        "remedy": check.remedy,
    }


def _print(found: "list[Check]") -> None:
    from amanat.observability.redaction import redact

    rows = [(check.subject, check.name, check.level, redact(check.found), redact(check.remedy)) for check in found]
    output.table(("SUBJECT", "CHECK", "LEVEL", "FOUND", "WHAT TO DO"), rows)


def evidence(
    database: Annotated[str, typer.Argument(help="A database of the policy file or of the register.")],
    *,
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.TEXT,
    as_json: output.AsJson = False,
) -> None:
    """Print one redacted page for an auditor: what is kept, what is proven, holds, retention, chain, tools.

    Exit status: 0; 3 store or register cannot be read; 5 the database is neither configured nor in the register.
    """
    from amanat import __version__
    from amanat.services import evidence as service
    from amanat.services import page

    app = session.open_app()
    if database not in app.configuration.databases and not _is_registered(app, database):
        raise NotFoundError(f"no database {database!r}", hint="`amanat list --all` shows those of the register")
    found = service.collect(app.ports, app.configuration, database, version=__version__)
    if as_json or form is Format.JSON:
        output.print_json(found)
    else:
        output.write(page.WRITERS[form](service.page(found)))


def _is_registered(app: "App", database: str) -> bool:
    return next(iter(app.ports.register.each_snapshot(database=database)), None) is not None
