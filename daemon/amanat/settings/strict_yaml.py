"""Strict YAML: plain data in which every key knows its line; whatever could mislead is refused.

Scalars follow the YAML 1.2 core schema, so ``no``, ``on``, ``12:30`` and dates stay text. Refused: duplicate
keys, tags, merge keys (``<<``), several documents, recursive aliases, and aliases that multiply.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from yaml.reader import Reader

from amanat.domain.errors import ConfigurationError

KeyPath = tuple[str | int, ...]

MAX_BYTES = 1024 * 1024
MAX_VALUES = 10_000
MAX_DEPTH = 50
_MAX_NUMBER_LENGTH = 40  # longer digits stay text: int() and float() of them are slow or infinite

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_WORDS = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_NULLS = ("", "~", "null", "Null", "NULL")
_TAB_HINT = "YAML indents with spaces only: replace the tab by spaces"


class Position(NamedTuple):
    """Both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong at a key; the reason is a phrase that follows the key path."""

    path: KeyPath
    position: Position
    reason: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """``problems``: what is wrong with the file's structure though its data could be read."""

    file: str
    data: Mapping[str, Any]
    positions: Mapping[KeyPath, Position]
    problems: tuple[Problem, ...]

    def problem(self, path: KeyPath, reason: str) -> Problem:
        return Problem(path=path, position=self.locate(path), reason=reason)

    def locate(self, path: KeyPath) -> Position:
        """Where ``path`` stands, or the nearest key above it (for what is missing or came by an alias)."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1))


def read(path: Path) -> Document:
    """ConfigurationError when the file cannot be read or is no YAML mapping."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise ConfigurationError(
            f"{path}: there is no such file", hint="create it, or name another with --policies"
        ) from exc
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise ConfigurationError(
            f"{path}: cannot be read: {reason}", hint="see that it is a file and its permissions allow it"
        ) from exc
    return parse(raw, str(path))


def parse(raw: bytes, file: str) -> Document:
    """ConfigurationError, with line and column, for anything that is not one YAML mapping in UTF-8."""
    text = _decode(raw, file)
    builder = _Builder(file)
    try:
        data = builder.document(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as exc:
        raise _syntax_error(exc, text, file) from exc
    except yaml.YAMLError as exc:
        raise ConfigurationError(f"{file}: not YAML: {exc}", hint="is this the right file?") from exc
    if not isinstance(data, dict):
        raise _not_a_mapping(data, file)
    return Document(file=file, data=data, positions=builder.positions, problems=tuple(builder.problems))


def failure(file: str, problems: Iterable[Problem], hint: str) -> ConfigurationError:
    """One error that lists all."""
    return ConfigurationError("\n".join(lines(file, problems)), hint=hint)


def lines(file: str, problems: Iterable[Problem]) -> list[str]:
    """In the order of the file: ``FILE:LINE: key.path: reason``."""
    return [_line(file, problem) for problem in sorted(problems, key=lambda problem: problem.position)]


def _line(file: str, problem: Problem) -> str:
    path = ".".join(str(part) for part in problem.path)
    return f"{file}:{problem.position.line}: {path}: {problem.reason}"


def _decode(raw: bytes, file: str) -> str:
    if len(raw) > MAX_BYTES:
        raise ConfigurationError(f"{file}: larger than 1 MiB", hint="is this the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise ConfigurationError(
            f"{file}:{line}: not UTF-8: byte 0x{raw[exc.start]:02x} at offset {exc.start}",
            hint="save the file as UTF-8",
        ) from exc
    if found := Reader.NON_PRINTABLE.search(text):
        at = _position_of(text, found.start())
        raise ConfigurationError(
            f"{file}:{at.line}: column {at.column}: a control character (U+{ord(found[0]):04X})",
            hint="remove it; is this a text file?",
        )
    return text


def _position_of(text: str, offset: int) -> Position:
    return Position(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _syntax_error(exc: yaml.MarkedYAMLError, text: str, file: str) -> ConfigurationError:
    mark = exc.problem_mark or exc.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    where = f"{file}:{line + 1}: column {column + 1}"
    at_mark = text.splitlines()[line : line + 1]
    if "tab character" in (exc.problem or "") or (at_mark and at_mark[0][column : column + 1] == "\t"):
        return ConfigurationError(f"{where}: a tab is used for indentation", hint=_TAB_HINT)
    reason = ", ".join(part for part in (exc.problem, exc.context) if part)
    return ConfigurationError(
        f"{where}: not YAML: {reason}", hint="check indentation, quotes and brackets at and above this line"
    )


def _not_a_mapping(data: object, file: str) -> ConfigurationError:
    if data is None:
        found = "the file is empty"
    else:
        found = f"the file holds {'a list' if isinstance(data, list) else 'a single value'}, not a mapping"
    return ConfigurationError(
        f"{file}:1: {found}", hint="it must begin with version: 1, then databases: and policies:"
    )


@dataclass(frozen=True, kw_only=True)
class _Anchored:
    value: Any
    size: int


class _Builder:
    """Makes data from parser events. It counts as it goes, so that a bomb is defused before it unfolds."""

    def __init__(self, file: str) -> None:
        self.positions: dict[KeyPath, Position] = {}
        self.problems: list[Problem] = []
        self._file = file
        self._values = 0
        self._anchors: dict[str, _Anchored | None] = {}  # None: still being read
        self._events: Iterator[yaml.Event] = iter(())

    def document(self, events: Iterable[yaml.Event]) -> Any:
        self._events = (e for e in events if not isinstance(e, (yaml.StreamStartEvent, yaml.DocumentEndEvent)))
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        data = self._value(next(self._events), ())
        after = next(self._events)
        if isinstance(after, yaml.DocumentStartEvent):
            raise self._refusal(after, "a second document begins (---)", "keep one document in the file")
        return data

    def _value(self, event: yaml.Event, path: KeyPath) -> Any:
        self._count(event, 1)
        if len(path) > MAX_DEPTH:
            raise self._refusal(event, f"nested deeper than {MAX_DEPTH} levels", "is this the right file?")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._refuse_tag(event, path)
        return self._anchored(event, path)

    def _refuse_tag(self, event: yaml.Event, path: KeyPath) -> None:
        if tag := event.tag:  # type: ignore[attr-defined]
            tag = tag.replace("tag:yaml.org,2002:", "!!", 1)
            self._report(path, event, f"the tag {tag} is not supported; write a plain value")

    def _anchored(self, event: yaml.Event, path: KeyPath) -> Any:
        anchor, before = event.anchor, self._values  # type: ignore[attr-defined]
        if anchor:
            self._anchors[anchor] = None
        value = self._content(event, path)
        if anchor:
            self._anchors[anchor] = _Anchored(value=value, size=self._values - before)
        return value

    def _content(self, event: yaml.Event, path: KeyPath) -> Any:
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(path)
        return _scalar(event)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, path)
            if key in result:
                first = self.positions[(*path, key)].line
                self._report((*path, key), event, f"stands twice; it was first given on line {first}")
                self._value(next(self._events), (*path, f"{key} (again)"))
                continue
            self.positions[(*path, key)] = _position(event)
            result[key] = self._value(next(self._events), (*path, key))
        return result

    def _key(self, event: yaml.Event, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._refusal(event, "a key must be plain text", "put quotes round it if it is text")
        self._refuse_tag(event, path)
        if event.value == "<<" and not event.style:
            self._report((*path, "<<"), event, "merge keys are not supported; repeat the keys")
        return str(event.value)

    def _list(self, path: KeyPath) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            here = (*path, len(result))
            self.positions[here] = _position(event)
            result.append(self._value(event, here))
        return result

    def _alias(self, event: yaml.AliasEvent) -> Any:
        if event.anchor not in self._anchors:
            raise self._refusal(event, f"the alias *{event.anchor} has no anchor", "define &NAME above it")
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise self._refusal(event, f"the alias *{event.anchor} contains itself", "remove it")
        self._count(event, anchored.size)
        return anchored.value

    def _count(self, event: yaml.Event, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise self._refusal(
                event,
                f"more than {MAX_VALUES} values, counting those that aliases repeat",
                "use fewer aliases",
            )

    def _report(self, path: KeyPath, event: yaml.Event, reason: str) -> None:
        self.problems.append(Problem(path=path, position=_position(event), reason=reason))

    def _refusal(self, event: yaml.Event, reason: str, hint: str) -> ConfigurationError:
        at = _position(event)
        return ConfigurationError(f"{self._file}:{at.line}: column {at.column}: {reason}", hint=hint)


def _position(event: yaml.Event) -> Position:
    mark = event.start_mark
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)


def _scalar(event: yaml.Event) -> Any:
    """The value of a scalar by the core schema (YAML 1.2.2, section 10.3.2); quoted ones are text."""
    text, plain = event.value, not event.style  # type: ignore[attr-defined]
    if not plain or len(text) > _MAX_NUMBER_LENGTH:
        return text
    if text in _NULLS:
        return None
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(?=inf|nan)", "", text, flags=re.IGNORECASE))
    return text
