"""How commands print: JSON for machines, tables for people."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
By = Annotated[str, typer.Option(help="Who does it.", show_default="the OS user")]
Wait = Annotated[str, typer.Option(help="How long to wait for another run on the same database.")]


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """On a terminal in columns that fit it, else tab-separated and unabridged."""
    if not sys.stdout.isatty():
        for row in (head, *rows):
            typer.echo("\t".join(one_line(cell) for cell in row))
        return
    _draw(head, rows, right)


def _draw(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for title in head:
        short = title in {"ID", "TAKEN", "SIZE"}  # to be copied or compared, so never broken
        drawn.add_column(title, justify="right" if title in right else "left", overflow="fold", no_wrap=short)
    for row in rows:
        drawn.add_row(*(Text(one_line(cell)) for cell in row))
    Console().print(drawn)


def one_line(text: str) -> str:
    """User text as a table cell: control characters cannot move the cursor or break the line."""
    return "".join(char if char.isprintable() else " " for char in text)


def local(time: datetime | None) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}" if time else "never"


def local_text(time: str | None) -> str:
    """The same for a time of our JSON."""
    return local(datetime.fromisoformat(time) if time else None)


def who(by: str) -> str:
    from amanat.host.identity import os_user

    return by.strip() or os_user()


def seconds(wait: str) -> float:
    """ConfigurationError when it is not a duration."""
    from amanat.domain.errors import ConfigurationError
    from amanat.domain.units import parse_duration

    try:
        return parse_duration(wait).total_seconds()
    except ValueError as exc:
        raise ConfigurationError(f"--wait: {exc}") from exc
