"""The entries for an auditor: JSON, CSV, Markdown or HTML, piece by piece as they are read.

JSON holds the columns as they are stored, so the hashes can be worked out from it; the others are for reading, and
tell in short what a rollback or a migration did.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import chain as joined

from amanat.domain import account, chain
from amanat.domain.chain import Row
from amanat.domain.entry import Entry
from amanat.services import page

COLUMNS = ("sequence", *(field.name for field in fields(Entry)), *chain.REPEATED, "previous", "hash")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # OWASP, CSV Injection

_TITLE = "Audit record of Amanat"
_LEAD = "Times are UTC. Each entry holds the hash of the one before."


def _json(entries: Iterable[Row]) -> Iterator[str]:
    separator = "[\n  "
    for entry in entries:
        yield separator + json.dumps({key: entry[key] for key in COLUMNS}, ensure_ascii=False)
        separator = ",\n  "
    yield "[]\n" if separator.startswith("[") else "\n]\n"


def _csv(entries: Iterable[Row]) -> Iterator[str]:
    """RFC 4180, without control characters; what a spreadsheet takes for a formula gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in joined([COLUMNS], map(_texts, entries)):
        writer.writerow([_cell(text) for text in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(text: str) -> str:
    shown = page.printable(text)
    return f"'{shown}" if text.startswith(_FORMULA) or shown.lstrip().startswith(_FORMULA) else shown


def _markdown(entries: Iterable[Row]) -> Iterator[str]:
    yield f"# {_TITLE}\n\n{_LEAD}\n\n"
    yield from page.markdown_rows(COLUMNS, (tuple(_texts(entry)) for entry in entries))


def _html(entries: Iterable[Row]) -> Iterator[str]:
    yield page.html_head(_TITLE, _LEAD)
    yield from page.html_rows(COLUMNS, (tuple(_texts(entry)) for entry in entries))
    yield "</body></html>\n"


def _texts(entry: Row) -> Iterator[str]:
    return (text(entry, column) for column in COLUMNS)


def text(entry: Row, column: str) -> str:
    """For reading: of an account, a line."""
    value = "" if entry[column] is None else str(entry[column])
    return account.in_short(value, str(entry["outcome"])) if column == "detail" else value


WRITERS: dict[str, Callable[[Iterable[Row]], Iterator[str]]] = {
    "json": _json,
    "csv": _csv,
    "markdown": _markdown,
    "html": _html,
}
"""By the name of the form: the document piece by piece."""
