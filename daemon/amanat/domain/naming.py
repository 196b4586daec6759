"""Names of snapshots and files: what is safe, and how a template becomes a file name (design section 5)."""

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePath

from amanat.domain.errors import ConfigurationError
from amanat.domain.model import require_aware

FIELDS = ("environment", "database", "policy", "name", "timestamp", "date", "version")
"""Fields of a template; ``count.TABLE`` comes on top."""

_COUNT = "count."
_FIELD = re.compile(r"\{([^{}]*)\}")
_HOSTILE = frozenset('<>:"|?*\\/')
_LONGEST_NAME = (100, 150)  # characters, UTF-8 bytes
_LONGEST_FILE_NAME = (200, 200)  # leaves room below the usual 255 for extension, number and ".manifest.json"
_LONGEST_SLUG = 60
_LONGEST_OF_FOLDERS = 45  # with engine and digits at most the 63 of a name in a policy file


def check_name(name: str) -> str:
    """The snapshot name, composed (Unicode NFC); ConfigurationError if it is not safe in a file name."""
    return _checked(unicodedata.normalize("NFC", name), "snapshot name", _LONGEST_NAME)


def fields(template: str) -> set[str]:
    """The fields of ``template``; ConfigurationError for an unknown one, a lone brace, an unsafe letter."""
    found = set(_FIELD.findall(template))
    for field in sorted(found):
        _check_field(template, field)
    filled = _FIELD.sub("x", template)
    if "{" in filled or "}" in filled:
        raise ConfigurationError(f"file name {template!r} has a lone brace", hint="write fields as {name}")
    _checked(filled, "file name", _LONGEST_FILE_NAME)
    return found


def counts_wanted(template: str) -> tuple[str, ...]:
    """Tables whose row counts the name needs, in the order they are named."""
    fields(template)
    tables = [field.removeprefix(_COUNT) for field in _FIELD.findall(template) if field.startswith(_COUNT)]
    return tuple(dict.fromkeys(tables))


def render(
    template: str,
    *,
    environment: str,
    database: str,
    policy: str,
    name: str,
    taken_at: datetime,
    counts: Mapping[str, int],
    version: str,
) -> str:
    """The file name without its extension; ConfigurationError if a value is missing or the result unsafe.

    ``counts``: rows by table, as ``counts_wanted`` names them.
    """
    require_aware(taken_at)
    utc = taken_at.astimezone(UTC)
    values = {
        "environment": environment,
        "database": database,
        "policy": policy,
        "name": name,
        "timestamp": f"{utc:%Y%m%dT%H%M%SZ}",
        "date": f"{utc:%Y%m%d}",
        "version": version,
        **{f"{_COUNT}{table}": str(count) for table, count in counts.items()},
    }
    for field in sorted(fields(template)):
        _require_value(template, field, values.get(field, ""))
    text = _FIELD.sub(lambda match: values[match[1]], template)
    return _checked(unicodedata.normalize("NFC", text), "file name", _LONGEST_FILE_NAME)


def numbered(file_name: str, number: int) -> str:
    """For the second and later files of one name: ``name``, ``name_2``, ``name_3``, …"""
    return file_name if number == 1 else f"{file_name}_{number}"


def slug(text: str) -> str:
    """A database name from any text: ``My Café.sqlite`` → ``my-cafe-sqlite``; not one to one."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_LONGEST_SLUG].strip("-") or "database"


def name_of_application(folder: PurePath, engine: str) -> str:
    """Of a database in no policy file: ``atis-backend-sqlite-1f2e3d``; the digits are of the whole path."""
    readable = slug(f"{folder.parent.name}-{folder.name}")[:_LONGEST_OF_FOLDERS].rstrip("-")
    return f"{readable}-{engine}-{hashlib.sha256(bytes(folder)).hexdigest()[:6]}"


def _checked(text: str, what: str, longest: tuple[int, int]) -> str:
    fault = _fault(text, longest)
    if fault:
        raise ConfigurationError(
            f"{what} {text[:60]!r} {fault}",
            hint="use letters of any script, digits, spaces and . _ - + = @ , ( ) within",
        )
    return text


def _fault(text: str, longest: tuple[int, int]) -> str:
    """What makes ``text`` unsafe as a file name on any system, or ambiguous to the eye; else empty."""
    unsafe = next((char for char in text if _is_unsafe(char)), None)
    if not text:
        return "is empty"
    if unsafe is not None:
        return f"holds {unsafe!r}"
    if text[0] in "-." or ".." in text:
        return "starts with a dot or a dash, or holds two dots"
    if text != text.strip():
        return "starts or ends with a space"
    if len(text) > longest[0] or len(text.encode()) > longest[1]:
        return f"is longer than {longest[0]} characters or {longest[1]} bytes"
    return ""


def _is_unsafe(char: str) -> bool:
    """Hostile on some system; control, format, surrogate, unassigned; any space but the common one."""
    return char in _HOSTILE or (char != " " and unicodedata.category(char)[0] in "CZ")


def _check_field(template: str, field: str) -> None:
    if field in FIELDS or (field.startswith(_COUNT) and field != _COUNT):
        return
    close = difflib.get_close_matches(field, (*FIELDS, "count.TABLE"), n=1)
    known = ", ".join(f"{{{each}}}" for each in (*FIELDS, "count.TABLE"))
    raise ConfigurationError(
        f"file name {template!r} has an unknown field {{{field}}}",
        hint=f"did you mean {{{close[0]}}}?" if close else f"known fields: {known}",
    )


def _require_value(template: str, field: str, value: str) -> None:
    if value:
        return
    remedies = {
        "version": "give --version, or set AMANAT_APP_VERSION",
        "name": "give --name",
    }
    raise ConfigurationError(
        f"file name {template!r} needs {{{field}}}, which is not known",
        hint=remedies.get(field, "take the field out of file_name"),
    )
