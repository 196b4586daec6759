"""``restore rollback undo accept``."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amanat.domain.errors import ConfigurationError, ExitCode, RefusedError
from amanat.domain.model import utc_text
from amanat.domain.units import format_duration, format_size
from amanat.faces.cli import output, progress, session
from amanat.faces.cli.snapshots import Reference

if TYPE_CHECKING:
    from amanat.domain.account import Account
    from amanat.services.beside.exchange import Done
    from amanat.services.rollback import Prospect

_PANEL = "Going back"
DatabaseName = Annotated[str, typer.Argument(help="A configured database, or laravel:FOLDER.")]
Purpose = Annotated[str, typer.Option(help="Why, for the register and the rollback log.")]

FromElsewhere = Annotated[
    bool,
    typer.Option(
        "--from-elsewhere", help="Though it is of another server or file, as after a move or an upgrade."
    ),
]


def add_to(cli: typer.Typer) -> None:
    for command in (restore, rollback, undo, accept):
        cli.command(rich_help_panel=_PANEL)(command)


def restore(
    reference: Reference,
    *,
    to: Annotated[str, typer.Option(help="The new database's name; of a SQLite snapshot, the new file.")],
    tables: Annotated[str, typer.Option(help="Only these tables: names or globs, with commas.")] = "",
    schema_only: Annotated[bool, typer.Option("--schema-only", help="Without rows.")] = False,
    purpose: Purpose = "",
    by: output.By = "",
    wait: output.Wait = "10s",
    as_json: output.AsJson = False,
) -> None:
    """Restore a snapshot beside everything that is there, and compare it. What exists is never touched.

    Exit status: 0; 3 it failed, or what was restored differs (and stays); 4 there is something of that name, or it
    may not be made; 5 no such snapshot; 7 the snapshot was changed.
    """
    from amanat.services import find
    from amanat.services import restore as service

    waiting = output.seconds(wait)
    patterns = tuple(filter(None, (part.strip() for part in tables.split(","))))
    with progress.shown(silent=as_json) as on_progress:
        app = session.open_app(on_progress=on_progress)
        session.stop_on_signals(app.stop)
        found = find.require_here(app.ports, find.snapshot(app.ports, reference))
        wanted = service.Wanted(
            snapshot=found,
            to=to,
            by=output.who(by),
            purpose=purpose,
            tables=patterns,
            schema_only=schema_only,
            wait=waiting,
        )
        with app.documented():
            done = service.restore(app.ports, wanted)
    _print_account(done.account, {"snapshot": found.id, "to": to}, as_json=as_json)


def rollback(
    database: DatabaseName,
    *,
    to: Annotated[
        str,
        typer.Option(
            help="A snapshot, or a policy whose newest proven one is meant.",
            show_default="the newest proven pre-release one, else the newest proven",
        ),
    ] = "",
    purpose: Purpose = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do; change nothing.")] = False,
    from_elsewhere: FromElsewhere = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: output.By = "",
    wait: output.Wait = "1m",
    as_json: output.AsJson = False,
) -> None:
    """Roll a database back to a snapshot: restore it beside, compare it, swap it in. What was live is kept.

    Without --yes it is shown and asked for; where nobody can be asked, it is refused. So is a snapshot of another
    database: see --from-elsewhere, for one that was moved, or whose server was upgraded.

    Exit status: 0; 3 it failed, or a hook after the swap did; 4 refused; 5 no such database or snapshot; 6 busy;
    7 the snapshot was changed. Unless it says that it was swapped, the live database is as it was.
    """
    from amanat.services import reconcile
    from amanat.services import rollback as service

    waiting = output.seconds(wait)
    if not purpose.strip() and not dry_run:
        raise ConfigurationError("a rollback needs a purpose", hint='say why: --purpose "release 2.1.0 failed"')
    looking = session.open_app()
    found = looking.database(database)
    with looking.documented():
        reconcile.settle_swaps(looking.ports, found.name)
    prospect = service.look(looking.ports, found, to, from_elsewhere=from_elsewhere)
    if dry_run:
        _show_plan(prospect, as_json=as_json)
        return
    if not as_json:
        _show(prospect)
    if not yes:  # before anything draws on the terminal, or listens to its signals
        _confirm(f"Roll {database} back to snapshot {prospect.snapshot.id}?")
    with progress.shown(silent=as_json) as on_progress:
        app = session.open_app(on_progress=on_progress)
        session.stop_on_signals(app.stop)
        wanted = service.Wanted(prospect=prospect, by=output.who(by), purpose=purpose.strip(), wait=waiting)
        with app.documented():
            done = service.rollback(app.ports, wanted)
    _print_done(done, database, as_json=as_json)


def undo(
    database: DatabaseName,
    *,
    purpose: Purpose = "",
    from_elsewhere: FromElsewhere = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    by: output.By = "",
    wait: output.Wait = "1m",
    as_json: output.AsJson = False,
) -> None:
    """Swap back what the last rollback (or undo) swapped out. What is undone is kept the same way.

    Exit status: 0; 3 it failed, or a hook after the swap did; 4 refused; 5 nothing is kept; 6 busy.
    """
    from amanat.services import reconcile
    from amanat.services import undo as service
    from amanat.services.beside import asides

    waiting = output.seconds(wait)
    app = session.open_app()
    found = app.database(database)
    with app.documented():
        reconcile.settle_swaps(app.ports, found.name)
    kept = asides.before(app.ports, found.name)
    if not as_json:
        typer.echo(f"{kept.name} was live until {output.local(kept.since)}; what was written since goes aside")
    if not yes:
        _confirm(f"Swap it back as {database}?")
    session.stop_on_signals(app.stop)
    with app.documented():
        wanted = service.Wanted(
            database=found,
            kept=kept.name,
            by=output.who(by),
            purpose=purpose.strip(),
            wait=waiting,
            from_elsewhere=from_elsewhere,
        )
        done = service.undo(app.ports, wanted)
    _print_done(done, database, as_json=as_json)


def accept(
    database: DatabaseName,
    *,
    purpose: Purpose = "",
    from_elsewhere: FromElsewhere = False,
    by: output.By = "",
    wait: output.Wait = "10s",
    as_json: output.AsJson = False,
) -> None:
    """Drop what is kept beside a database: what was live before, and the warm one. There is no undo after that.

    Exit status: 0; 4 it is held, or of another place; 5 nothing is kept; 6 busy.
    """
    from amanat.services import report
    from amanat.services.beside import asides

    waiting = output.seconds(wait)
    app = session.open_app()
    session.stop_on_signals(app.stop)
    found = app.database(database)
    with app.documented():
        wanted = asides.Accepting(
            database=found,
            by=output.who(by),
            reason=purpose.strip(),
            wait=waiting,
            from_elsewhere=from_elsewhere,
        )
        dropped = asides.accept(app.ports, wanted)
    if as_json:
        output.print_json([report.aside_row(aside) for aside in dropped])
        return
    for aside in dropped:
        typer.echo(f"dropped {aside.name} ({aside.kind}, {format_size(aside.size_bytes)})")


def _show(prospect: "Prospect") -> None:
    snapshot = prospect.snapshot
    typer.echo(f"snapshot {snapshot.id} of {snapshot.database}: {snapshot.policy}, {snapshot.proof}")
    purpose = f", {output.one_line(snapshot.purpose)}" if snapshot.purpose else ""
    typer.echo(f"  taken {output.local(snapshot.taken_at)}, {format_duration(prospect.age)} ago{purpose}")
    for line in prospect.elsewhere:
        typer.echo(f"  it is of another database: {output.one_line(line)}")
    if prospect.warm:
        typer.echo(f"  {prospect.warm.name} stands ready, restored from it: it only has to be swapped in")
    if prospect.newer:
        newer = prospect.newer
        typer.echo(f"  a newer proven one is {newer.id} ({newer.policy}, {output.local(newer.taken_at)}): --to")
    typer.echo("What was written since is swapped out, and kept for `amanat undo`:")
    for line in prospect.lost or ("nothing that shows in row counts, sequences, migrations and structure",):
        typer.echo(f"  {output.one_line(line)}")


def _show_plan(prospect: "Prospect", *, as_json: bool) -> None:
    from amanat.services.report import aside_row, snapshot_row

    if not as_json:
        _show(prospect)
        return
    output.print_json(
        {
            "database": prospect.database.name,
            "snapshot": snapshot_row(prospect.snapshot),
            "age_seconds": prospect.age.total_seconds(),
            "lost": list(prospect.lost),
            "warm": aside_row(prospect.warm) if prospect.warm else None,
            "newer": snapshot_row(prospect.newer) if prospect.newer else None,
        }
    )


def _confirm(question: str) -> None:
    """RefusedError where nobody can be asked, or the answer is no."""
    if not sys.stdin.isatty():
        raise RefusedError(f"{question} Nobody can be asked here", hint="say --yes")
    try:
        confirmed = typer.confirm(question, err=True)
    except typer.Abort:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if not confirmed:
        raise RefusedError("not confirmed", hint="nothing was changed")


def _print_done(done: "Done", database: str, *, as_json: bool) -> None:
    kept = done.kept
    told = {"database": database, "kept": kept.name, "kept_until": utc_text(kept.until)}
    _print_account(done.account, told, as_json=as_json)
    if not as_json:
        typer.echo(f"kept: {kept.name}, until {output.local(kept.until)}; swap back: {done.account.undo}")


def _print_account(account: "Account", told: dict[str, Any], *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        output.print_json({**told, **asdict(account)})
        return
    typer.echo(f"{output.one_line(account.origin)} → {output.one_line(account.result)}")
    for line in account.checks:
        typer.echo(f"  checked: {output.one_line(line)}")
    for line in account.warnings:
        typer.echo(f"  warning: {output.one_line(line)}", err=True)
    outage = "" if account.outage_seconds is None else f", the database was out for {account.outage_seconds:.2f} s"
    typer.echo(f"done in {account.seconds:.1f} s{outage}")
