"""A page of sections for people: as text, Markdown or HTML, piece by piece."""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from amanat.services.markdown import cell

_STYLE = """<style>
body { font: 14px system-ui, sans-serif; margin: 2em }
table { border-collapse: collapse }
th, td { border: 1px solid #bbb; padding: .3em .5em; text-align: left; vertical-align: top; unicode-bidi: isolate }
td { overflow-wrap: anywhere; min-width: 4em }
</style>"""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table; ``note``: what is to be said of it; ``nothing`` is said where it has no rows."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    nothing: str = "none"
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Page:
    title: str
    lead: str
    sections: tuple[Section, ...]


def html_head(title: str, lead: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_escaped(title)}</title>\n{_STYLE}'
        f"</head><body>\n<h1>{_escaped(title)}</h1>\n<p>{_escaped(lead)}</p>\n"
    )


def html_rows(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"<table>\n<tr>{''.join(f'<th>{_escaped(title)}</th>' for title in head)}</tr>\n"
    for row in rows:
        yield f"<tr>{''.join(f'<td>{_escaped(text)}</td>' for text in row)}</tr>\n"
    yield "</table>"


def markdown_rows(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n| {' | '.join('---' for _ in head)} |\n"
    for row in rows:
        yield f"| {' | '.join(map(cell, row))} |\n"


def printable(text: str) -> str:
    """Without control characters, which HTML does not allow and a terminal would obey."""
    return "".join(char if char.isprintable() else " " for char in text)


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _text(page: Page) -> Iterator[str]:
    yield f"{page.title}\n{'=' * len(page.title)}\n\n{page.lead}\n"
    for section in page.sections:
        yield f"\n{section.title}\n{'-' * len(section.title)}\n"
        yield f"{section.note}\n\n" if section.note else ""
        yield from _columns(section) if section.rows else [f"{section.nothing}\n"]


def _columns(section: Section) -> Iterator[str]:
    rows = [section.head, *(tuple(map(printable, row)) for row in section.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _markdown(page: Page) -> Iterator[str]:
    yield f"# {cell(page.title)}\n\n{page.lead}\n"
    for section in page.sections:
        yield f"\n## {section.title}\n\n"
        yield f"{section.note}\n\n" if section.note else ""
        yield from markdown_rows(section.head, iter(section.rows)) if section.rows else [f"{section.nothing}\n"]


def _html(page: Page) -> Iterator[str]:
    yield html_head(page.title, page.lead)
    for section in page.sections:
        yield f"<h2>{_escaped(section.title)}</h2>\n"
        yield f"<p>{_escaped(section.note)}</p>\n" if section.note else ""
        if section.rows:
            yield from html_rows(section.head, iter(section.rows))
        else:
            yield f"<p>{_escaped(section.nothing)}</p>"
        yield "\n"
    yield "</body></html>\n"


WRITERS: dict[str, Callable[[Page], Iterator[str]]] = {"text": _text, "markdown": _markdown, "html": _html}
"""By the name of the form."""
