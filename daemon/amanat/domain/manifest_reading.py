"""Values out of a manifest, which anybody may have written: of their type and within bounds, or a ValueError.

What is refused would do harm later: a number that SQLite cannot keep, text that UTF-8 cannot hold, a name that
leaves its folder, a time that no calendar shows in every zone.
"""

import json
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from amanat.domain.model import utc_text

_LARGEST = 2**63 - 1  # SQLite's integers
_LARGEST_STEP = 2**64  # of a sequence of bigint, from its last number to one that it cannot give out
_LONGEST_NAME = 255  # bytes, of a file on any usual file system
_DEEPEST = 8
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
_SURROGATE = re.compile(r"[\ud800-\udfff]")

Word = TypeVar("Word", bound=StrEnum)


class Fields:
    """A JSON object; ``where``: the path to it, with a dot at its end."""

    def __init__(self, value: object, where: str = "") -> None:
        if not isinstance(value, dict):
            raise ValueError(f"{where.rstrip('.') or 'it'} is {reprlib.repr(value)}, not an object")  # noqa: TRY004 - one kind for all that is wrong
        self._values: Mapping[str, Any] = value
        self._where = where

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str) -> str:
        return str(self._checked(key, "text", _is_text))

    def optional_text(self, key: str) -> str | None:
        return None if self._value(key) is None else self.text(key)

    def name(self, key: str) -> str:
        """One part of a path, fit to be shown."""
        return str(self._checked(key, "a plain name", _is_name))

    def hexadecimal(self, key: str, digits: int) -> str:
        pattern = re.compile(f"[0-9a-f]{{{digits}}}")
        fits = lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None  # noqa: E731
        return str(self._checked(key, f"{digits} hex digits", fits))

    def count(self, key: str) -> int:
        return int(self._checked(key, "a whole number from 0 to 2^63-1", _is_count))

    def word(self, key: str, words: type[Word]) -> Word:
        known = [word.value for word in words]
        return words(self._checked(key, f"one of {', '.join(known)}", lambda value: value in known))

    def time(self, key: str) -> datetime:
        what = "a time of the years 1970 to 9998 such as 2026-11-23T02:15:00Z"
        return datetime.fromisoformat(self._checked(key, what, _is_time))

    def optional_time(self, key: str) -> datetime | None:
        return None if self._value(key) is None else self.time(key)

    def texts(self, key: str) -> tuple[str, ...]:
        fits = lambda value: isinstance(value, list) and all(map(_is_text, value))  # noqa: E731
        return tuple(self._checked(key, "a list of texts", fits))

    def texts_by_name(self, key: str) -> dict[str, str]:
        return dict(self._checked(key, "an object of texts", lambda value: _is_mapping(value, _is_text)))

    def counts_by_name(self, key: str) -> dict[str, int]:
        return dict(self._checked(key, "an object of whole numbers", lambda value: _is_mapping(value, _is_count)))

    def integers_by_name(self, key: str) -> dict[str, int]:
        what = "an object of whole numbers from -2^64 to 2^64"
        return dict(self._checked(key, what, lambda value: _is_mapping(value, _is_integer)))

    def plain(self, key: str) -> dict[str, object]:
        """Any JSON object that can be written again, a few levels deep at most."""
        return dict(self._checked(key, "an object of plain values", _is_plain_object))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._checked_names())

    def inner(self, key: str) -> "Fields":
        return Fields(self._value(key), f"{self._where}{key}.")

    def list_of_inner(self, key: str) -> "Iterator[Fields]":
        items = self._checked(key, "a list", lambda value: isinstance(value, list))
        return (Fields(item, f"{self._where}{key}.{number}.") for number, item in enumerate(items))

    def _checked_names(self) -> Iterator[str]:
        for name in self._values:
            if not _is_text(name):
                raise ValueError(f"{self._where.rstrip('.')} has the key {name!r}, which is no text")
            yield name

    def _value(self, key: str) -> Any:
        if key not in self._values:
            raise ValueError(f"{self._where}{key} is missing")
        return self._values[key]

    def _checked(self, key: str, what: str, fits: Callable[[Any], bool]) -> Any:
        value = self._value(key)
        if not fits(value):
            raise ValueError(f"{self._where}{key} is {reprlib.repr(value)}, not {what}")
        return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not _SURROGATE.search(value)


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and value.isprintable()
        and value != ""
        and value[0] != "."
        and "/" not in value
        and len(value.encode()) <= _LONGEST_NAME
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST  # not isinstance: true is no number


def _is_integer(value: object) -> bool:
    return type(value) is int and abs(value) <= _LARGEST_STEP


def _is_time(value: object) -> bool:
    """Only as amanat itself writes it; the bounds leave room for any zone."""
    try:
        time = datetime.fromisoformat(value)  # type: ignore[arg-type]
        return _EARLIEST <= time < _LATEST and utc_text(time) == value
    except (TypeError, ValueError, OverflowError):
        return False


def _is_mapping(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value)) and all(map(fits, value.values()))


def _is_plain_object(value: object) -> bool:
    """``NaN`` is no JSON, and no two of them are equal."""
    if not isinstance(value, dict) or not _is_shallow(value, _DEEPEST):
        return False
    try:
        return _is_text(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except ValueError:
        return False


def _is_shallow(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in inner)
