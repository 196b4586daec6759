"""``register``, and its ``verify rebuild export``."""

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amanat.domain.errors import ConfigurationError, IntegrityError
from amanat.faces.cli import output, session
from amanat.faces.cli.grouped import Grouped

if TYPE_CHECKING:
    from amanat.domain.chain import Row
    from amanat.domain.reconcile import Repairs
    from amanat.services.audit import Audit

_PANEL = "Overview"
_MOST_SHOWN = 50
_SHOWN = ("at", "by", "kind", "outcome", "database", "environment", "scope", "purpose", "snapshot", "detail")
_TITLES = ("NO", "WHEN", "BY", "WHAT", *(column.upper() for column in _SHOWN[3:]))
_LOST = (
    "who held and released what: holds are gone",
    "runs that failed, were skipped, refused or interrupted",
    "deletions and losses, and every snapshot that has no manifest in the store",
    "proof that was renewed or lost after a snapshot was taken",
    "how far schedules had come",
)


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"
    MARKDOWN = "markdown"
    HTML = "html"


def add_to(cli: typer.Typer) -> None:
    group = typer.Typer(cls=Grouped, invoke_without_command=True)
    group.callback()(register)
    for command in (verify, rebuild, export):
        group.command()(command)
    cli.add_typer(group, name="register", rich_help_panel=_PANEL)


def register(
    context: typer.Context,
    *,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the Markdown register.")] = False,
    as_json: output.AsJson = False,
) -> None:
    """Show the audit record: who did what, when and why; or verify, rebuild or export it.

    Exit status: 0.
    """
    from amanat.services import document
    from amanat.services.export import COLUMNS

    if context.invoked_subcommand:
        if markdown or as_json:
            raise ConfigurationError("an option stands before the command", hint="write it behind the command")
        return
    app = session.open_app()
    if markdown:
        typer.echo(document.render(app.ports.register.each_snapshot(), app.ports.register.head()), nl=False)
        return
    entries = app.ports.register.stored_entries()
    if as_json:
        output.print_json_list({column: entry[column] for column in COLUMNS} for entry in entries)
        return
    output.table(_TITLES, (_cells(entry) for entry in entries), right=("NO",))


def _cells(entry: "Row") -> tuple[str, ...]:
    from amanat.services.export import text

    texts = [text(entry, column) for column in ("sequence", *_SHOWN)]
    with contextlib.suppress(ValueError):  # edited: shown as it is
        texts[1] = output.local_text(texts[1])
    return tuple(texts)


def verify(
    *,
    head: Annotated[
        str,
        typer.Option(metavar="SEQUENCE:HASH", help="A head noted elsewhere; it must be on the chain."),
    ] = "",
    as_json: output.AsJson = False,
) -> None:
    """Check that the register is what it was: its hash chain, its rows, and the manifests of the store.

    Exit status: 0 it is; 3 the store or the register cannot be read; 7 it is not, and at which entry it breaks.
    """
    from amanat.domain.chain import Head
    from amanat.services import audit

    try:
        noted = Head.parse(head) if head else None
    except ValueError as exc:
        raise ConfigurationError(f"--head: {exc}") from exc
    found = audit.audit(session.open_app().ports, noted=noted)
    if as_json:
        output.print_json(_json(found))
    else:
        _print(found)
    if found.findings:
        first, more = found.findings[0], len(found.findings) - 1
        raise IntegrityError(
            f"the register is not what it was: {first.reason}" + (f"; and {more} more" if more else ""),
            hint="keep a copy of the state folder before anything is done; documentation/register.md",
        )


def _json(found: "Audit") -> dict[str, object]:
    return {
        "valid": not found.findings,
        "head": vars(found.head) if found.head else None,
        "snapshots": found.snapshots,
        "manifests": found.manifests,
        "remade": found.remade,
        "findings": [vars(finding) for finding in found.findings],
    }


def _print(found: "Audit") -> None:
    for finding in found.findings[:_MOST_SHOWN]:
        typer.echo(f"{finding.kind}: {output.one_line(finding.reason)}")
    if (more := len(found.findings) - _MOST_SHOWN) > 0:
        typer.echo(f"{more} more: --json tells all")
    if found.remade:
        typer.echo(output.one_line(found.remade))
    holds = "holds up to" if found.findings else "holds:"
    typer.echo(f"the chain {holds} {found.head or 'no entry'}")
    typer.echo(f"{found.snapshots} snapshots and {found.manifests} manifests were compared with it")


def rebuild(
    *,
    move_aside: Annotated[
        bool, typer.Option("--move-aside", help="Keep a register that is there, under a dated name.")
    ] = False,
    by: output.By = "",
    as_json: output.AsJson = False,
) -> None:
    """Make the register anew from the manifests of the store, and say what cannot be had back.

    Exit status: 0; 3 the store cannot be read; 4 there is a register, or no manifest; 6 somebody uses it.
    """
    from amanat.app import place_for_register

    who = output.who(by)
    with place_for_register(session.settings(), move_aside=move_aside) as aside:
        app = session.open_app(create=True)
        repairs = app.rebuild(by=who, aside=aside)
        head = app.ports.register.head()
    if as_json:
        output.print_json(
            {
                "adopted": [manifest.snapshot.path for manifest in repairs.adopted],
                "unreadable": dict(repairs.broken),
                "moved_aside": str(aside) if aside else None,
                "head": vars(head) if head else None,
                "lost": _lost(repairs),
            }
        )
        return
    if aside:
        typer.echo(f"the register of before is {aside}")
    for path, reason in repairs.broken.items():
        typer.echo(f"unreadable: {path}: {output.one_line(reason)}")
    typer.echo(f"made anew from {len(repairs.adopted)} manifests; its head is {head}")
    typer.echo("not to be had back:")
    for what in _lost(repairs):
        typer.echo(f"  {what}")


def _lost(repairs: "Repairs") -> list[str]:
    from amanat.services.reconcile import newest_head

    head = newest_head(repairs.adopted)
    entries = f"the entries of before: there were {head.sequence} or more" if head else "the entries of before"
    return [entries, *_LOST]


def export(
    *,
    begin: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Entries from then on: a day, or a time (ISO 8601).")
    ] = "",
    end: Annotated[
        str, typer.Option("--to", metavar="TIME", help="Up to and with this day, or before this time.")
    ] = "",
    form: Annotated[Format, typer.Option("--format", help="How they are written.")] = Format.JSON,
    file: Annotated[
        Path | None, typer.Option("--output", help="Write to this file.", show_default="stdout")
    ] = None,
) -> None:
    """Write the entries for an auditor, with their numbers and hashes. Days and times without a zone are UTC.

    A link at --output is followed; a device or a pipe is written to.

    Exit status: 0; 3 the file cannot be written.
    """
    from amanat.services.export import WRITERS

    since = _time("--from", begin) if begin else None
    until = _time("--to", end, whole_day=True) if end else None
    if since and until and since > until:
        raise ConfigurationError(f"--from {begin} is later than --to {end}", hint="no entry is within; swap them")
    entries = session.open_app().ports.register.stored_entries(since=since, until=until)
    _write(WRITERS[form](entries), file)


def _write(pieces: Iterable[str], file: Path | None) -> None:
    from amanat.host import files

    if file is None:
        output.write(pieces)
        return
    with files.explained(f"export {file}"):
        files.write_pieces(file, pieces)


def _time(option: str, text: str, *, whole_day: bool = False) -> datetime:
    """``whole_day``: of a day, its end."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigurationError(
            f"{option} {text!r} is no time", hint="write 2026-10-24 or 2026-10-24T06:00:00Z"
        ) from exc
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return time + timedelta(days=1) if whole_day and len(text) == len("2026-10-24") else time
