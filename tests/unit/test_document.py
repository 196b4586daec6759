"""The Markdown register: text from users cannot break the table."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amanat.domain.model import Scope, SnapshotState
from amanat.services.document import render
from amanat.services.markdown import cell
from tests.support.snapshots import snapshot

T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)


def rows(text):
    return [line for line in text.splitlines() if line.startswith("| 2026")]


def columns(row):
    """Split as a Markdown reader does: at bars that no backslash escapes (GFM, tables)."""
    cells, current, escaped = [], "", False
    for char in row.strip()[1:-1]:
        if char == "|" and not escaped:
            cells.append(current.strip())
            current = ""
            continue
        escaped = char == "\\" and not escaped
        current += char
    return [*cells, current.strip()]


def test_a_row_tells_when_who_why_where_what():
    item = snapshot(
        T, by="aysel", purpose="pre release 2.1.0", scope=Scope(tables=("users", "surveys")), size_bytes=2048
    )
    assert columns(rows(render([item]))[0]) == [
        "2026-11-23 02:15:00",
        "aysel",
        "pre release 2.1.0",
        "production",
        "tables: users, surveys",
        "atis/some.sqlite",
        "2.0 KiB",
        "readable",
    ]


def test_what_is_gone_or_held_says_so():
    text = render([snapshot(T, state=SnapshotState.PRUNED), snapshot(T, held=("audit",))])
    assert columns(rows(text)[0])[-1] == "pruned (was readable)"
    assert columns(rows(text)[1])[-1] == "readable, held"


@pytest.mark.parametrize(
    "text",
    ["a | b", "a\nb", "a\r\n| x |", "\\|", "\\\\|", "`|`", "<script>", "[x](y)", "a\x1b[31mb", "a\u202eb", "|||"],
)
def test_hostile_text_stays_in_its_cell(text):
    (row,) = rows(render([snapshot(T, purpose=text, by=text, environment=text)]))
    assert len(columns(row)) == 8
    assert "\x1b" not in row and "\u202e" not in row and "<s" not in row.replace("\\<", "")


@given(st.text())
def test_any_text_is_one_line_and_one_cell(text):
    (row,) = rows(render([snapshot(T, purpose=text + "x")]))
    assert len(columns(row)) == 8


def test_ordinary_names_stay_as_they_are():
    assert cell("database_backup_20261123_nightly") == "database_backup_20261123_nightly"
    assert cell("_x_") == r"\_x\_"
