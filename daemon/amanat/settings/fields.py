"""The kinds of value in a policy file: each is checked text with its own message and JSON schema.

The checks raise ValueError; the text is turned into domain values once the whole file has passed.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from amanat.domain import naming
from amanat.domain.errors import ConfigurationError
from amanat.domain.model import MANUAL_POLICY
from amanat.domain.policy import Schedule
from amanat.domain.schedule import next_instants
from amanat.domain.sql_check import parse_expectation, text_of
from amanat.domain.units import parse_duration, parse_size
from amanat.settings.libpq import KEYWORDS, SECRET_KEYWORDS, SECRET_REMEDY
from amanat.settings.words import did_you_mean

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
OFF = "off"
ALL = "all"
_CRON_START = datetime(2025, 1, 1, tzinfo=UTC)  # fixed: whether a file is valid must not hang on the day
_CRON_INSTANTS = 50


def _window(text: str) -> str:
    parse_window(text)
    return text


def parse_window(text: str) -> tuple[time, time]:
    """``08:00-18:00``; ValueError says what is understood."""
    if not re.fullmatch(_WINDOW_PATTERN[1:-1], text):
        raise ValueError(f"{text!r} is no time of day; write 08:00-18:00, or 22:00-06:00 over midnight")
    begin, end = (time.fromisoformat(part) for part in text.split("-"))
    if begin == end:
        raise ValueError(f"{text!r} is the whole day; remove drills instead")
    return begin, end


def _percent(text: str) -> str:
    parse_percent(text)
    return text


def parse_percent(text: str) -> int:
    """``5%`` or ``all``; ValueError says what is understood."""
    found = re.fullmatch(r"([1-9]\d?|100)%", text)
    if not found and text != ALL:
        raise ValueError(f"{text!r} is no share; write 5%, or all")
    return int(found[1]) if found else 100


def _expectation(value: object) -> str:
    if not isinstance(value, str | int | float):
        raise ValueError('must be a value, or one after an operator, such as ">= 1"')  # noqa: TRY004 - for pydantic
    text = text_of(value)
    parse_expectation(text)
    return text


def _positive(parse: Callable[[str], Any]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not parse(text):
            raise ValueError("must be more than zero")
        return text

    return check


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _patience(text: str) -> str:
    return text if text == OFF else _duration(text)


def _size(value: object) -> str:
    if isinstance(value, str):
        return _positive(parse_size)(value)
    raise ValueError("must be a size in text, such as 500MB or 10GiB")


def _version(number: int) -> int:
    if number != 1:
        raise ValueError("this release of Amanat reads version 1")
    return number


def _name(text: str) -> str:
    if not re.fullmatch(NAME_PATTERN[1:-1], text):
        raise ValueError("a name is 1 to 63 letters, digits, '.', '_' or '-', and begins with a letter or digit")
    return text


def _policy_name(text: str) -> str:
    if text == MANUAL_POLICY:
        raise ValueError("is the built-in policy of snapshots taken by hand; choose another name")
    return _name(text)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _keyword(keyword: str) -> str:
    if keyword in SECRET_KEYWORDS:
        raise ValueError(f"a secret never stands in the policy file; {SECRET_REMEDY}")
    if keyword not in KEYWORDS:
        raise ValueError(f"is no connection keyword{did_you_mean(keyword, KEYWORDS)}")
    return keyword


def _parameter(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be text or a whole number")  # noqa: TRY004  (pydantic wants ValueError)
    return str(value)


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        meant = did_you_mean(name, available_timezones())
        raise ValueError(f"{name!r} is no IANA time zone{meant}; write one such as Asia/Baku or UTC") from exc
    return name


def _cron(text: str) -> str:
    if len(text.split()) != 5 or len(text) > 200:  # noqa: PLR2004
        raise ValueError(f"{text[:60]!r} is not five fields: minute hour day-of-month month day-of-week")
    try:
        fires = next(CronSim(text, _CRON_START), None)
    except (CronSimError, ValueError) as exc:
        raise ValueError(f"{text!r} is no cron line: {exc}".replace("Bad ", "bad ")) from exc
    if fires is None:
        raise ValueError(f"{text!r} never comes due")
    return text


def shortest_interval(cron: str, timezone: str) -> timedelta:
    """The shortest time between a cron line's coming instants; ValueError if either is not valid."""
    schedule = Schedule(cron=_cron(cron), timezone=_zone(timezone))
    instants = islice(next_instants(schedule, _CRON_START), _CRON_INSTANTS)
    return min((later - earlier for earlier, later in pairwise(instants)), default=timedelta.max)


def _file_name(template: str) -> str:
    try:
        naming.fields(template)
    except ConfigurationError as exc:
        raise ValueError(f"{exc.message}; {exc.hint}") from exc
    return template


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    shown = {"examples": list(examples)} if examples else {}
    return WithJsonSchema({"type": "string", "pattern": pattern, **shown})


def _word(name: str, pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern[1:-1], text):
            raise ValueError(f"{name} is made of letters, digits, '.', '_' and '-'")
        return text

    return check


_WORD_PATTERN = r"^[A-Za-z0-9._-]{1,63}$"
_VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
_DURATION_PATTERN = r"^(\d{1,9}[smhdw])+$"
_WINDOW_PATTERN = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"

Text = Annotated[str, AfterValidator(_not_blank), WithJsonSchema({"type": "string", "pattern": r"\S"})]
Name = Annotated[str, AfterValidator(_name), _schema(NAME_PATTERN)]
PolicyName = Annotated[
    str,
    AfterValidator(_policy_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN, "not": {"const": MANUAL_POLICY}}),
]
Environment = Annotated[
    str,
    AfterValidator(_word("an environment", _WORD_PATTERN)),
    _schema(_WORD_PATTERN, "local", "staging", "production"),
]
Version = Annotated[int, AfterValidator(_version), WithJsonSchema({"const": 1})]
Credential = Annotated[str, AfterValidator(_word("a credential", _WORD_PATTERN)), _schema(_WORD_PATTERN)]
Variable = Annotated[str, AfterValidator(_word("a variable", _VARIABLE_PATTERN)), _schema(_VARIABLE_PATTERN)]
Duration = Annotated[str, AfterValidator(_duration), _schema(_DURATION_PATTERN, "5m", "12h", "30d")]
Patience = Annotated[
    str, AfterValidator(_patience), _schema(rf"{_DURATION_PATTERN[:-1]}$|^{OFF}$", "5s", "1m", OFF)
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive(parse_duration))]
Size = Annotated[
    str, BeforeValidator(_size), _schema(r"^\d{1,12}(\.\d{1,6})?\s*[kKmMgGtT]?[iI]?[bB]$", "500MB", "10GiB")
]
WindowText = Annotated[str, AfterValidator(_window), _schema(_WINDOW_PATTERN, "08:00-18:00")]
Percent = Annotated[str, AfterValidator(_percent), _schema(r"^([1-9]\d?|100)%$|^all$", "5%", ALL)]
Expectation = Annotated[
    str,
    BeforeValidator(_expectation),
    WithJsonSchema({"type": ["string", "number", "boolean"], "examples": [">= 1", "= open", 0]}),
]
Cron = Annotated[str, AfterValidator(_cron), _schema(r"^\s*\S+(\s+\S+){4}\s*$", "15 2 * * *")]
Zone = Annotated[str, AfterValidator(_zone), _schema(r"\S", "UTC", "Asia/Baku", "Europe/Paris")]
FileName = Annotated[str, AfterValidator(_file_name), _schema(r"^[^/\\]{1,200}$", "{database}_{timestamp}")]
Keyword = Annotated[str, AfterValidator(_keyword), WithJsonSchema({"type": "string", "enum": sorted(KEYWORDS)})]
Parameter = Annotated[str, BeforeValidator(_parameter), WithJsonSchema({"type": ["string", "integer"]})]
