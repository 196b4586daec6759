"""Questions of the user's own to a restored database, and the answers that make it a good one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

_FORM = re.compile(r"(?P<operator>[<>!=]*)\s*(?P<value>[^\s<>!=](?:.*\S)?)")
_NUMERIC: Mapping[str, Callable[[Decimal, Decimal], bool]] = MappingProxyType(
    {
        "<": lambda found, value: found < value,
        "<=": lambda found, value: found <= value,
        ">": lambda found, value: found > value,
        ">=": lambda found, value: found >= value,
    }
)
_BOOLEANS = {"true": "1", "false": "0"}  # SQLite has no others
_OPERATORS = ("=", "!=", *_NUMERIC)


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """``operator`` is one of ``= != < <= > >=``; the last four know numbers alone."""

    operator: str
    value: str

    def __str__(self) -> str:
        return f"{self.operator} {self.value}"

    def is_met_by(self, found: object) -> bool:
        """Numbers are compared as numbers, all else as text; NULL is nothing but ``null``."""
        number, value = _number(found), _number(_BOOLEANS.get(self.value, self.value))
        if self.operator in _NUMERIC:
            return number is not None and value is not None and _NUMERIC[self.operator](number, value)
        same = number == value if number is not None and value is not None else text_of(found) == self.value
        return same is (self.operator == "=")


@dataclass(frozen=True, kw_only=True)
class SqlCheck:
    """``sql``: one statement that only reads and gives one value, within ``timeout``."""

    sql: str
    expect: Expectation
    timeout: timedelta = timedelta(minutes=1)


def parse_expectation(text: str) -> Expectation:
    """``>= 1``, ``= open``, or a value alone, which is to be equal; ValueError says what is understood."""
    form = _FORM.fullmatch(text.strip())
    operator = form["operator"] or "=" if form else ""
    if form is None or operator not in _OPERATORS:
        raise ValueError(f"{text!r} is no expectation; write a value, or one after {' '.join(_OPERATORS)}")
    if operator in _NUMERIC and _number(form["value"]) is None:
        raise ValueError(f"{text!r}: {operator} compares numbers; let the query give true or false")
    return Expectation(operator=operator, value=form["value"])


def text_of(value: object) -> str:
    """As YAML and psql's users write it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
