"""``migrate``."""

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from amanat.domain.errors import AmanatError, ConfigurationError, ExitCode
from amanat.domain.model import EngineName, ProofLevel
from amanat.faces.cli import gate, output, progress, session

if TYPE_CHECKING:
    from amanat.app import App
    from amanat.domain.account import Account
    from amanat.domain.gate import Wanted
    from amanat.domain.model import Snapshot
    from amanat.services.migrate import Migrated, Order

_OPTIONS = "PGOPTIONS"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Migrations")(migrate)


def migrate(
    database: Annotated[str, typer.Argument(help="A configured database, or laravel:FOLDER.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="What migrates it.")],
    *,
    purpose: Annotated[str, typer.Option(help="Why, for the register.")],
    max_age: Annotated[str, typer.Option(help="How old the snapshot to go back to may be.")] = "1h",
    level: Annotated[
        ProofLevel | None, typer.Option(help="How far it must be proven.", show_default="as its policy asks")
    ] = None,
    policy: Annotated[str, typer.Option(help="Only snapshots of this policy.", show_default="any")] = "",
    wait: Annotated[str, typer.Option(help="How long to wait for runs and locks to end.")] = "1m",
    lock_timeout: Annotated[
        str, typer.Option(help="PostgreSQL: how long a statement may wait for a lock.", show_default="as it is")
    ] = "",
    statement_timeout: Annotated[
        str, typer.Option(help="PostgreSQL: how long a statement may take.", show_default="as it is")
    ] = "",
    pass_role: Annotated[
        str,
        typer.Option(
            metavar="ROLE",
            help="Where `amanat enforce` is installed: who may change the schema meanwhile.",
            show_default="who owns the database, or most of its tables",
        ),
    ] = "",
    rollback_on_failure: Annotated[
        bool, typer.Option("--rollback-on-failure", help="Go back to the snapshot if the command fails.")
    ] = False,
    by: output.By = "",
) -> None:
    """Run COMMAND on a database with a snapshot to go back to, with nothing in its way, and tell what it changed.

    Exit status: that of COMMAND, rolled back or not; of a signal, 128 and its number. Where COMMAND was not run:
    4 the gate is closed, or no pass can be issued; 2 usage; 3 COMMAND cannot be started, the database cannot be
    asked, or the snapshot failed; 5 no such database, policy or role; 6 another migration of it runs, or the
    snapshot found it busy.
    """
    from amanat.services.migrate import Moments, Order

    waiting, asked = output.seconds(wait), gate.Asked(max_age=max_age, level=level, policy=policy)
    limits = {
        name: output.duration(f"--{name.replace('_', '-')}", text)
        for name, text in (("lock_timeout", lock_timeout), ("statement_timeout", statement_timeout))
        if text
    }
    if not purpose.strip():
        raise ConfigurationError("a migration needs a purpose", hint='say why: --purpose "release 2.1.0"')
    with contextlib.ExitStack() as shown:
        app = session.open_app(on_progress=shown.enter_context(progress.shown(silent=False)), create=True)
        session.stop_on_signals(app.stop)
        wanted = asked.of(app, database)
        order = Order(
            wanted=wanted,
            request=gate.request_for(app, wanted, purpose=purpose, by=by, wait=waiting),
            command=tuple(command),
            environment={**session.caller.environment, **_limited(app, wanted, limits)},
            umask=session.caller.umask,
            pass_role=pass_role,
        )

        def opened(snapshot: "Snapshot") -> None:
            shown.close()
            _say(f"snapshot {snapshot.id} of {snapshot.database} is there to go back to: {snapshot.proof}")

        ended = partial(_ended, app, order, rollback_on_failure=rollback_on_failure)
        migrated = app.migrate(order, Moments(opened=opened, ended=ended))
    if migrated.ended is None:
        _say(*gate.lines(migrated.verdict, wanted.database.name))
        raise typer.Exit(ExitCode.REFUSED)
    code = migrated.ended.returncode
    raise typer.Exit(code if code >= 0 else 128 - code)


def _limited(app: "App", wanted: "Wanted", limits: Mapping[str, timedelta]) -> Mapping[str, str]:
    from amanat.domain.migrating import session_options

    if not limits:
        return {}
    if app.ports.engine_of(wanted.database).name is not EngineName.POSTGRESQL:
        raise ConfigurationError(
            f"{wanted.database.name} is no PostgreSQL database, and has no such limits",
            hint="leave out --lock-timeout and --statement-timeout",
        )
    known = session.caller.environment.get(_OPTIONS, "")
    return {_OPTIONS: session_options(known, **limits)}


def _ended(app: "App", order: "Order", migrated: "Migrated", *, rollback_on_failure: bool) -> None:
    account, snapshot = migrated.account, migrated.verdict.snapshot
    _say(*account.changes or ("the schema is as it was",) if not account.warnings else account.warnings)
    if not account.failure:
        return
    _say(account.failure)
    if rollback_on_failure and migrated.failed_by_itself and snapshot:
        _roll_back(app, order, snapshot, account)
        return
    if rollback_on_failure:
        _say("it was told to stop, so nothing is rolled back")
    _say(f"  → to go back: {account.undo}")


def _roll_back(app: "App", order: "Order", snapshot: "Snapshot", account: "Account") -> None:
    """What goes wrong is told, and leaves the exit code to the command."""
    from amanat.observability.redaction import redact
    from amanat.services import after_failure

    _say(f"rolling back to snapshot {snapshot.id}")
    try:
        done = after_failure.roll_back(app.ports, order, snapshot, account.failure)
    except AmanatError as exc:
        hints = filter(None, (redact(exc.hint), f"to try again: {account.undo}"))
        _say(f"the rollback failed: {redact(exc.message)}", *(f"  → {hint}" for hint in hints))
        return
    _say(*(f"warning: {line}" for line in done.account.warnings))
    _say(f"{done.account.result}; what was live is kept, to swap it back: {done.account.undo}")


def _say(*lines: str) -> None:
    """Standard output is the command's."""
    for line in lines:
        typer.echo(f"amanat: {output.one_line(line)}", err=True)
