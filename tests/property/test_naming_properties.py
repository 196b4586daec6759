"""Whatever is written on the command line: a safe file name comes out, or a ConfigurationError."""

import re
import unicodedata
from datetime import UTC, datetime
from pathlib import PurePosixPath, PureWindowsPath

from hypothesis import given, settings
from hypothesis import strategies as st

from amanat.domain.errors import ConfigurationError
from amanat.domain.naming import FIELDS, check_name, counts_wanted, fields, numbered, render, slug

# Text that is mostly close to a name, with what is dangerous in one mixed in.
PIECES = st.sampled_from(
    ["..", "/", "\\", "\0", "\n", "-", ".", " ", "é", "e\u0301", "ə", "\u202e", "{", "}", "{name}"]
)
TEXT = st.text(max_size=120) | st.lists(PIECES | st.text("abc019_", max_size=9), max_size=12).map("".join)
TEMPLATE = st.lists(
    st.sampled_from([*(f"{{{field}}}" for field in FIELDS), "{count.users}", "_", "x", "é", ".", "{nme}", "/"]),
    max_size=8,
).map("".join)


def is_safe(name: str) -> bool:
    """Said differently than in the code: one path component everywhere, printable, the same in NFC, fits in 255."""
    return (
        PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
        and name not in {".", ".."}
        and name.isprintable()
        and name == unicodedata.normalize("NFC", name)
        and not name.startswith((".", "-"))
        and len(f"{numbered(name, 99)}.sqlite.manifest.json".encode()) <= 255
    )


@settings(max_examples=150, deadline=None)
@given(TEXT)
def test_a_name_is_safe_or_refused(text: str) -> None:
    try:
        name = check_name(text)
    except ConfigurationError:
        return
    assert is_safe(name)
    assert check_name(name) == name
    assert len(name.encode()) <= 150


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(categories=["Ll", "Lu", "Lo", "Nd"]), min_size=1, max_size=25))
def test_letters_and_digits_of_any_script_are_never_refused(text: str) -> None:
    assert is_safe(check_name(text))


@settings(max_examples=150, deadline=None)
@given(
    TEMPLATE | TEXT,
    TEXT,
    TEXT,
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_a_file_name_is_safe_or_refused(template: str, name: str, version: str, taken_at: datetime) -> None:
    try:
        file_name = render(
            template,
            environment="production",
            database="atis",
            policy="nightly",
            name=name,
            taken_at=taken_at,
            counts={"users": 12},
            version=version,
        )
    except ConfigurationError:
        return
    assert is_safe(file_name)
    assert fields(template) <= {*FIELDS, "count.users"}
    assert set(counts_wanted(template)) <= {"users"}


@settings(max_examples=100, deadline=None)
@given(TEXT)
def test_a_slug_is_plain_and_its_own_slug(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?", slug(text))
    assert slug(slug(text)) == slug(text)
