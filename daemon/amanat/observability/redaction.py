"""Keep secrets out of whatever is written: by key, by known value, and inside URLs."""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "[redacted]"
_KEY = re.compile(r"pass(word|wd|file|phrase)?$|secret|token|credential|api_?key|dsn$", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(?<=://)([^\s/:@]*):([^\s@]+)@")
_CONNINFO_PASSWORD = re.compile(r"\b(password|passwd|pwd)\s*=\s*('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
_SHORTEST = 4  # hiding shorter values would shred ordinary words

_known: set[str] = set()


def remember(secret: str) -> None:
    """Hide this value from now on, wherever it turns up."""
    if len(secret) >= _SHORTEST:
        _known.add(secret)


def redact(value: Any) -> Any:
    """The same value without secrets; containers are copied."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {key: HIDDEN if _KEY.search(str(key)) else redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item) for item in value]
    return value


def _text(text: str) -> str:
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    return _CONNINFO_PASSWORD.sub(rf"\1={HIDDEN}", text)
