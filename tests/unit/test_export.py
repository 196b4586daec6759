"""The export for auditors: nothing in an entry runs, breaks out or gets lost, and hashes can be worked out from it."""

import csv
import io
import json
from html.parser import HTMLParser

import pytest

from amanat.domain import chain
from amanat.faces.cli.register import Format
from amanat.services.export import COLUMNS, WRITERS

HOSTILE = ["\x1b=1+1", " =1+1", "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", '=cmd|"/c calc"!A1']
TRICKY = [
    *HOSTILE,
    'a,"b"\nc',
    "<script>alert(1)</script>",
    "</td></table>",
    "a | b",
    "&amp;",
    "\u202egnp",
    "\x00\x1b[2J",
]


def entry(text="", **said):
    values = {**dict.fromkeys(COLUMNS), "detail": text, "size_bytes": 5, **said}
    return chain.link(values, after=None, sequence=1)


def written(wanted, *entries):
    return "".join(WRITERS[wanted](iter(entries)))


class Cells(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.texts = set(), []
        self.feed(text)

    def handle_starttag(self, tag, _attributes):
        self.tags.add(tag)
        if tag in {"td", "th"}:
            self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data.rstrip("\n")


@pytest.mark.parametrize("text", TRICKY)
def test_json_gives_the_hash_again(text):
    (read,) = json.loads(written("json", entry(text)))
    assert read["detail"] == text
    assert chain.digest(read) == read["hash"]


@pytest.mark.parametrize("text", TRICKY)
def test_csv_holds_the_text_and_no_formula(text):
    head, row = csv.reader(io.StringIO(written("csv", entry(text)), newline=""))
    assert tuple(head) == COLUMNS
    cell = row[COLUMNS.index("detail")]
    shown = "".join(char if char.isprintable() else " " for char in text)
    assert cell == (f"'{shown}" if text in HOSTILE else shown)
    assert row[COLUMNS.index("size_bytes")] == "5"


@pytest.mark.parametrize("text", TRICKY)
def test_html_holds_the_text_and_no_markup(text):
    page = Cells(written("html", entry(text)))
    assert page.tags == {"html", "head", "meta", "title", "style", "body", "h1", "p", "table", "tr", "th", "td"}
    shown = "".join(char if char.isprintable() else " " for char in text)
    assert page.texts[len(COLUMNS) + COLUMNS.index("detail")] == shown
    assert len(page.texts) == 2 * len(COLUMNS)


@pytest.mark.parametrize("text", TRICKY)
def test_markdown_keeps_one_line_for_each_entry(text):
    lines = written("markdown", entry(text), entry("second")).splitlines()
    assert [line[:3] for line in lines[-4:]] == ["| s", "| -", "| 1", "| 1"]


@pytest.mark.parametrize("wanted", list(Format))
def test_no_entries_are_a_whole_document_too(wanted):
    text = written(wanted)
    assert text.endswith("\n")
    assert wanted is not Format.JSON or json.loads(text) == []


def test_it_comes_as_it_is_read():
    """However many there are, the first can be written before the second is read."""

    def endless():
        while True:
            yield entry("one more")

    assert set(WRITERS) == set(Format)
    for write in WRITERS.values():
        pieces = write(endless())
        assert any("one more" in next(pieces) for _ in range(5))
