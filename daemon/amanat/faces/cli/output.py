"""How commands print: JSON for machines, tables for people; long lists as they come."""

import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated, Any

import typer

from amanat.domain.errors import ExitCode, OutputError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
By = Annotated[str, typer.Option(help="Who does it.", show_default="the OS user")]
Wait = Annotated[str, typer.Option(help="How long to wait for another run on the same database.")]


class _Output(io.FileIO):
    """Standard output whose failures are told from all others."""

    def write(self, data: Any, /) -> int:
        """Who reads no further has what he wanted, and that is no failure; else OutputError."""
        try:
            return super().write(data)
        except OSError as exc:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # where the rest of the buffer goes
            if isinstance(exc, BrokenPipeError):
                raise typer.Exit(ExitCode.DONE) from None
            raise OutputError(
                f"standard output cannot be written: {exc.strerror}",
                hint="send it elsewhere, or make room there; what the command did before it printed is done",
            ) from exc


def open_stdout() -> None:
    """In place of Python's own. One that was closed takes nothing, as if it could not be written."""
    closed = sys.stdout is None
    raw = _Output(os.open(os.devnull, os.O_RDONLY) if closed else sys.stdout.fileno(), "wb", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if closed else sys.stdout.encoding,
        errors=None if closed else sys.stdout.errors,
        line_buffering=raw.isatty(),
    )


def print_json(value: Any) -> None:
    typer.echo(_json(value))


def print_json_list(values: Iterable[Any]) -> None:
    """The same for a list, without ever holding all of it."""
    items = (_json(value).replace("\n", "\n  ") for value in values)
    first = next(items, None)
    rest = (f",\n  {item}" for item in items)
    write(chain((f"[\n  {first}",), rest, ("\n]\n",)) if first else ["[]\n"])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """On a terminal in columns that fit it, else tab-separated and unabridged."""
    cells = (tuple(map(one_line, row)) for row in rows)
    if sys.stdout.isatty():
        from amanat.faces.cli import columns

        write(columns.drawn(head, cells, right))
    else:
        write("\t".join(row) + "\n" for row in chain((head,), cells))


def write(lines: Iterable[str]) -> None:
    sys.stdout.writelines(lines)
    sys.stdout.flush()


def one_line(text: str) -> str:
    """User text as a table cell: control characters cannot move the cursor or break the line."""
    if text.isprintable():
        return text
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
    return duration("--wait", wait).total_seconds()


def duration(option: str, text: str) -> timedelta:
    """ConfigurationError when it is none."""
    from amanat.domain.errors import ConfigurationError
    from amanat.domain.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as exc:
        raise ConfigurationError(f"{option}: {exc}") from exc
