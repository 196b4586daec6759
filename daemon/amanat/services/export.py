"""The entries for an auditor: JSON, CSV, Markdown or HTML, piece by piece as they are read.

JSON holds the columns as they are stored, so the hashes can be worked out from it; the others are for reading.
"""

import csv
import html
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import chain as joined

from amanat.domain import chain
from amanat.domain.chain import Row
from amanat.domain.model import Entry
from amanat.services.document import cell

COLUMNS = ("sequence", *(field.name for field in fields(Entry)), *chain.REPEATED, "previous", "hash")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # OWASP, CSV Injection

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Audit record of Amanat</title>
<style>
body { font: 14px system-ui, sans-serif; margin: 2em }
table { border-collapse: collapse }
th, td { border: 1px solid #bbb; padding: .3em .5em; text-align: left; vertical-align: top; unicode-bidi: isolate }
td { overflow-wrap: anywhere; min-width: 4em }
</style></head><body>
<h1>Audit record of Amanat</h1>
<p>Times are UTC. Each entry holds the hash of the one before.</p>
<table>
"""


def _json(entries: Iterable[Row]) -> Iterator[str]:
    separator = "[\n  "
    for entry in entries:
        yield separator + json.dumps({key: entry[key] for key in COLUMNS}, ensure_ascii=False)
        separator = ",\n  "
    yield "[]\n" if separator.startswith("[") else "\n]\n"


def _csv(entries: Iterable[Row]) -> Iterator[str]:
    """RFC 4180; a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in joined([COLUMNS], map(_texts, entries)):
        writer.writerow([f"'{text}" if text.startswith(_FORMULA) else text for text in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _markdown(entries: Iterable[Row]) -> Iterator[str]:
    yield "# Audit record of Amanat\n\nTimes are UTC. Each entry holds the hash of the one before.\n\n"
    for row in joined([COLUMNS, ("---",) * len(COLUMNS)], (map(cell, _texts(entry)) for entry in entries)):
        yield f"| {' | '.join(row)} |\n"


def _html(entries: Iterable[Row]) -> Iterator[str]:
    yield _PAGE
    yield f"<tr>{''.join(f'<th>{column}</th>' for column in COLUMNS)}</tr>\n"
    for entry in entries:
        yield f"<tr>{''.join(f'<td>{html.escape(_shown(text))}</td>' for text in _texts(entry))}</tr>\n"
    yield "</table></body></html>\n"


def _texts(entry: Row) -> Iterator[str]:
    return ("" if entry[column] is None else str(entry[column]) for column in COLUMNS)


def _shown(text: str) -> str:
    """Without control characters, which HTML does not allow."""
    return "".join(char if char.isprintable() else " " for char in text)


WRITERS: dict[str, Callable[[Iterable[Row]], Iterator[str]]] = {
    "json": _json,
    "csv": _csv,
    "markdown": _markdown,
    "html": _html,
}
"""By the name of the form: the document piece by piece."""
