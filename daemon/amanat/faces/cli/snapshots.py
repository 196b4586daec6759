"""``snapshot list show verify drill``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amanat.domain.errors import ConfigurationError, ExitCode, NotFoundError
from amanat.domain.model import MANIFEST_SUFFIX, MANUAL_POLICY, ProofLevel, Scope
from amanat.domain.units import format_size
from amanat.faces.cli import output, progress, session

if TYPE_CHECKING:
    from amanat.app import App
    from amanat.domain.model import Snapshot
    from amanat.domain.policy import Database

Reference = Annotated[
    str, typer.Argument(metavar="SNAPSHOT", help="Id, unique prefix, path, or latest[:DATABASE[:POLICY]].")
]
_PANEL = "Snapshots"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel=_PANEL)(snapshot)
    cli.command("list", rich_help_panel=_PANEL)(list_)
    cli.command(rich_help_panel=_PANEL)(show)
    cli.command(rich_help_panel=_PANEL)(verify)
    cli.command(rich_help_panel=_PANEL)(drill)


def snapshot(
    database: Annotated[str, typer.Argument(help="A configured database, or laravel:FOLDER.")],
    *,
    policy: Annotated[str, typer.Option(help="Take it under this policy.")] = MANUAL_POLICY,
    name: Annotated[str, typer.Option(help="Its name.", show_default="the policy's name")] = "",
    purpose: Annotated[str, typer.Option(help="Why, for the register.")] = "",
    by: output.By = "",
    tables: Annotated[str, typer.Option(help="Only these tables: names or globs, with commas.")] = "",
    version: Annotated[str, typer.Option(help="The application's version, for {version} in file names.")] = "",
    connection: Annotated[
        str, typer.Option(help="With laravel:FOLDER: sqlite or pgsql, instead of DB_CONNECTION.")
    ] = "",
    beside: Annotated[
        Path | None, typer.Option(help="Leave the file in this folder too (hard link, else copy).")
    ] = None,
    wait: output.Wait = "10s",
    as_json: output.AsJson = False,
) -> None:
    """Take a snapshot now, prove it, and keep it.

    Exit status: 0 taken and proven, 2 usage, 3 failed, 4 kept but not proven, as its policy allows no drill now,
    5 no such database or policy, 6 busy or stood back.
    """
    from amanat.services.request import Request

    waiting = output.seconds(wait)
    if beside and not beside.is_dir():
        raise ConfigurationError(f"--beside {beside}: there is no such folder", hint="make it first")
    with progress.shown(silent=as_json) as on_progress:
        app = session.open_app(on_progress=on_progress, create=True)
        session.stop_on_signals(app.stop)
        source = _database(app, database, connection)
        request = Request(
            database=source,
            policy=app.policy(policy, source.name),
            by=output.who(by),
            name=name or policy,
            purpose=purpose,
            scope=Scope(tables=_patterns(tables)) if tables else None,
            version=version or app.settings.app_version,
            wait=waiting,
        )
        taken = app.take(request)
    handed = app.ports.store.hand_out(taken.path, beside.resolve()) if beside else None
    _print_snapshot(app, taken, as_json=as_json, handed=handed)
    if not taken.proven:
        raise typer.Exit(ExitCode.REFUSED)


def list_(
    database: Annotated[str | None, typer.Argument(help="Only this database.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also pruned and missing ones.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """List snapshots, newest first.

    Exit status: 0; 5 when the database is neither configured nor in the register.
    """
    from amanat.services import report

    app = session.open_app()
    if database and not app.ports.register.newest_snapshot(database=database):
        app.database(database)
    found = report.listed(app.ports, database, everything=everything)
    if as_json:
        output.print_json_list(map(report.snapshot_row, found))
        return
    head = ("ID", "DATABASE", "POLICY", "NAME", "TAKEN", "SIZE", "PROOF", "SCOPE", "PURPOSE")
    output.table(head, map(_row, found), right=("SIZE",))


def show(reference: Reference, *, as_json: output.AsJson = False) -> None:
    """Show one snapshot: what it holds, how far it is proven, and how to restore it with stock tools.

    What is known against restoring it stands above that, and with --json under problem.

    Exit status: 0; 5 no such snapshot; 7 its manifest cannot be read.
    """
    from amanat.domain import manifest as manifests
    from amanat.services import find, losses, report

    app = session.open_app()
    found = find.snapshot(app.ports, reference)
    row = report.snapshot_row(found)
    row |= {"manifest": f"{found.path}{MANIFEST_SUFFIX}", "problem": losses.problem(app.ports, found)}
    if found.state in {"present", "damaged"}:
        manifest = manifests.encode(app.ports.store.read_manifest(found.path))
        row |= {key: manifest[key] for key in ("facts", "tools", "restore", "warnings")}
        row["archive_version"] = manifest["artefact"]["archive_version"]
    if as_json:
        output.print_json(row)
        return
    _print_details(row)
    if row["problem"]:
        typer.echo(f"\nWARNING: {output.one_line(row['problem'])}")
    if "restore" in row:
        lines = (f"  {line}" for line in row["restore"])
        folder = app.ports.store.path(found.path).parent.absolute()
        typer.echo("\n".join(["", f"To restore it by hand, in {folder}:", *lines]))


def _print_details(row: dict[str, Any]) -> None:
    for key, value in row.items():
        if value not in ("", None, [], {}) and key not in {"facts", "restore", "problem"}:
            typer.echo(f"{key:>16}  {output.one_line(_detail(key, value))}")
    if facts := row.get("facts"):
        size = format_size(row["source_bytes"])
        typer.echo(f"{'tables':>16}  {len(facts['tables'])}, of a database of {size}")


def _detail(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return f"{format_size(value)} ({value:,} bytes)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {text}" for name, text in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def verify(
    reference: Reference,
    *,
    level: Annotated[
        ProofLevel, typer.Option(help="How far to prove it: stored, readable or restored.")
    ] = ProofLevel.READABLE,
    by: output.By = "",
    wait: output.Wait = "10s",
    as_json: output.AsJson = False,
) -> None:
    """Prove a snapshot anew from the bytes on the disk.

    Exit status: 0 proven; 3 it cannot be read, or does not restore, as what it should be; 4 a restore to compare
    is not possible; 5 no such snapshot; 7 it was changed.
    """
    from amanat.services import find

    if level is ProofLevel.NONE:
        raise ConfigurationError("level none proves nothing", hint="ask for stored, readable or restored")
    waiting = output.seconds(wait)
    app = session.open_app()
    session.stop_on_signals(app.stop)
    found = find.require_here(app.ports, find.snapshot(app.ports, reference))
    proven = app.verify(found, level=level, by=output.who(by), wait=waiting)
    _print_snapshot(app, proven, as_json=as_json)


def drill(
    database: Annotated[str | None, typer.Argument(help="Only of this database.")] = None,
    *,
    by: output.By = "",
    wait: output.Wait = "10s",
    as_json: output.AsJson = False,
) -> None:
    """Restore the newest snapshot of each configured database beside it, compare all of it, and drop it again.

    Exit status: 0 all are proven; 3 one does not restore as what it should be; 4 a restore to compare is not
    possible; 5 no such database, or no snapshot; 7 a snapshot was changed.
    """
    from amanat.services import report

    waiting = output.seconds(wait)
    app = session.open_app()
    session.stop_on_signals(app.stop)
    found = [_newest(app, name) for name in ([database] if database else app.configuration.databases)]
    drilled = [app.drill(item, by=output.who(by), wait=waiting) for item in found if item]
    if not drilled:
        raise NotFoundError("there is no snapshot to restore", hint="take one: amanat snapshot DATABASE")
    if as_json:
        output.print_json_list(map(report.snapshot_row, drilled))
        return
    for item in drilled:
        _print_snapshot(app, item, as_json=False)


def _newest(app: "App", database: str) -> "Snapshot | None":
    """Of all that should be there."""
    app.database(database)
    for item in app.ports.register.each_snapshot(database=database, gone=False):
        if item.state == "present":
            return item
        typer.echo(f"{item.id} of {database} is {item.state}: an older one is drilled", err=True)
    return None


def _database(app: "App", name: str, connection: str) -> "Database":
    if name.startswith("laravel:"):
        return app.application(Path(name.removeprefix("laravel:")), connection or None)
    if connection:
        raise ConfigurationError(
            "--connection goes with laravel:FOLDER", hint="leave it out for a configured database"
        )
    return app.database(name)


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip() for part in text.split(","))
    if not all(patterns):
        raise ConfigurationError(f"--tables {text!r} has an empty pattern", hint="write users,surveys")
    return patterns


def _print_snapshot(app: "App", taken: "Snapshot", *, as_json: bool, handed: Path | None = None) -> None:
    from amanat.services import report

    if as_json:
        row = report.snapshot_row(taken)
        output.print_json(row | {"beside": str(handed)} if handed else row)
        return
    size = format_size(taken.size_bytes)
    typer.echo(f"snapshot {taken.id} of {taken.database}: {taken.proof}, {size}")
    typer.echo(f"  {app.ports.store.path(taken.path)}")
    if handed:
        typer.echo(f"  {handed}")


def _row(item: "Snapshot") -> tuple[str, ...]:
    state = item.proof if item.state == "present" else item.state
    return (
        item.id,
        item.database,
        item.policy,
        item.name,
        output.local(item.taken_at),
        format_size(item.size_bytes),
        f"{state}{', held' if item.held else ''}",
        "whole" if item.scope.is_whole else item.scope.describe(),
        item.purpose,
    )
