"""Parses ``.env`` files as a Laravel application's own parser does.

Source: vlucas/phpdotenv 5.6 (Parser/Lines.php, Parser/EntryParser.php, Loader/Resolver.php), and Laravel's
``env()`` (Illuminate/Support/Env.php). On purpose different: only the file counts, not our own environment,
which is not the application's; and a value's unclosed quote is an error, where phpdotenv may drop the entry.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from amanat.domain.errors import ConfigurationError

_BLANKS = " \t\n\r\0\x0b"  # what PHP's trim() takes off
_NAME = re.compile(r"[a-zA-Z0-9_.]+")
_REFERENCE = re.compile(r"\$\{([a-zA-Z0-9_.]+)\}")
_CLOSING_QUOTE = re.compile(r'(?=[^\\]")')
_ESCAPES = {"f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\", "$": "$"}
_WORDS = {"true": "1", "(true)": "1", "false": "", "(false)": "", "empty": "", "(empty)": ""}
_NULL_WORDS = ("null", "(null)")


def parse(text: str, file: str) -> dict[str, str]:
    """Variables with ``${REFERENCES}`` resolved; errors name line and variable, never a value."""
    values: dict[str, str] = {}
    for line, entry in _entries(text, file):
        name, equals, raw = entry.partition("=")
        name = _name(name.strip(_BLANKS), f"{file}:{line}")
        if not equals:
            values.pop(name, None)  # a bare name clears the variable
            continue
        value = _value(raw.strip(_BLANKS), f"{file}:{line}: {name}")
        values[name] = _resolve(value, values)
    return values


def env(values: Mapping[str, str], name: str, default: str | None = None) -> str | None:
    """Laravel's ``env()`` as text: ``null`` is None even where there is a default, ``true`` is ``"1"``."""
    if name not in values:
        return default
    value = values[name]
    if value.lower() in _NULL_WORDS:
        return None
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    quoted = re.fullmatch(r"(['\"])(.*)\1", value)
    return quoted[2] if quoted else value


def _entries(text: str, file: str) -> Iterator[tuple[int, str]]:
    """(line, entry); an entry spans lines while its double quote is open."""
    buffer: list[str] = []
    start = 0
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        opens = '="' in line and not _closes(line, opened_here=True)
        if not buffer and not opens:
            if line.strip(_BLANKS) and not _is_comment(line):
                yield number, line
            continue
        start = start if buffer else number
        buffer.append(line)
        if _closes(line, opened_here=opens):
            if not _is_comment(buffer[0]):
                yield start, "\n".join(buffer)
            buffer = []
    if buffer and not _is_comment(buffer[0]):
        raise _error(f"{file}:{start}", "a double quote is never closed", 'close it with "')


def _is_comment(line: str) -> bool:
    return line.lstrip(_BLANKS).startswith("#")


def _closes(line: str, *, opened_here: bool) -> bool:
    if line == '"':
        return True
    quotes = len(_CLOSING_QUOTE.findall(line.replace("\\\\", "")))
    return quotes > 1 if opened_here else quotes >= 1


def _name(name: str, where: str) -> str:
    if len(name) > len("export A") and re.match(r"export\s", name):
        name = name.removeprefix("export").lstrip()
    if len(name) > 2 and name[0] == name[-1] and name[0] in "'\"":  # noqa: PLR2004
        name = name[1:-1]
    if not _NAME.fullmatch(name):
        raise _error(where, "no variable name before '='", "names are letters, digits, '_' and '.'")
    return name


class _State(Enum):
    START = auto()
    PLAIN = auto()
    SINGLE = auto()
    DOUBLE = auto()
    ESCAPE = auto()
    AFTER = auto()
    COMMENT = auto()


@dataclass(kw_only=True)
class _Value:
    """``dollars``: offsets of those ``$`` that may begin a reference."""

    text: str = ""
    dollars: list[int] = field(default_factory=list)

    def add(self, text: str, *, reference: bool = False) -> None:
        if reference:
            self.dollars.append(len(self.text))
        self.text += text


def _value(raw: str, where: str) -> _Value:
    value, state = _Value(), _State.START
    for character in raw:
        state = _STEPS[state](character, value, where)
    if state in (_State.SINGLE, _State.DOUBLE, _State.ESCAPE):
        raise _error(where, "a quote is never closed", "close it")
    return value


def _start(character: str, value: _Value, where: str) -> _State:
    quotes = {"'": _State.SINGLE, '"': _State.DOUBLE}
    return quotes[character] if character in quotes else _plain(character, value, where)


def _plain(character: str, value: _Value, _: str) -> _State:
    if character == "#":
        return _State.COMMENT
    if _is_space(character):
        return _State.AFTER
    value.add(character, reference=character == "$")
    return _State.PLAIN


def _single(character: str, value: _Value, _: str) -> _State:
    if character == "'":
        return _State.AFTER
    value.add(character)
    return _State.SINGLE


def _double(character: str, value: _Value, _: str) -> _State:
    if character == '"':
        return _State.AFTER
    if character == "\\":
        return _State.ESCAPE
    value.add(character, reference=character == "$")
    return _State.DOUBLE


def _escape(character: str, value: _Value, where: str) -> _State:
    if character not in _ESCAPES:
        raise _error(where, "an unknown escape in double quotes", "write \\\\ for a backslash")
    value.add(_ESCAPES[character])
    return _State.DOUBLE


def _after(character: str, _: _Value, where: str) -> _State:
    if character == "#":
        return _State.COMMENT
    if not _is_space(character):
        raise _error(where, "text after the value's end", "put a value with spaces in double quotes")
    return _State.AFTER


def _comment(_character: str, _value: _Value, _where: str) -> _State:
    return _State.COMMENT


_STEPS: dict[_State, Callable[[str, _Value, str], _State]] = {
    _State.START: _start,
    _State.PLAIN: _plain,
    _State.SINGLE: _single,
    _State.DOUBLE: _double,
    _State.ESCAPE: _escape,
    _State.AFTER: _after,
    _State.COMMENT: _comment,
}


def _is_space(character: str) -> bool:
    return character in " \t\n\r\v\f"


def _resolve(value: _Value, known: Mapping[str, str]) -> str:
    """From the last ``$`` to the first, so that offsets stay true; an unknown reference stays as it is."""
    text = value.text
    for offset in reversed(value.dollars):
        if match := _REFERENCE.match(text, offset):
            text = text[:offset] + known.get(match[1], match[0]) + text[match.end() :]
    return text


def _error(where: str, reason: str, hint: str) -> ConfigurationError:
    return ConfigurationError(f"{where}: {reason}", hint=hint)
