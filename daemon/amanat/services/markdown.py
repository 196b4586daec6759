"""Text from users within Markdown (CommonMark 0.31, tables as GitHub has them): whatever it holds, it is text."""

import re
import unicodedata
from functools import lru_cache

_SPECIAL = re.compile(r"([\\`*\[\]<>|~&]|(?<![^\W_])_|_(?![^\W_]))")
_BLOCK_START = re.compile(r"^(\d*)([#+=:.)-])")
_FENCE = re.compile(r"`{3,}")

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@lru_cache(maxsize=1024)
def cell(text: str) -> str:
    """User text as literal text of a Markdown table cell."""
    if not (text.isascii() and text.isprintable()):
        text = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in text)
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def item(text: str) -> str:
    """The same as an item of a list, where a block such as a heading or another list could begin."""
    literal = _BLOCK_START.sub(r"\1\\\2", cell(text))
    return f"- {literal}\n"


def fenced(text: str) -> str:
    """A code block; its fence is longer than any that stands in the text."""
    fence = "`" * max((len(found) + 1 for found in _FENCE.findall(text)), default=3)
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join((f"{fence}text", *(_printable(line) for line in lines), fence, ""))


def _printable(text: str) -> str:
    return "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in text.expandtabs(4))
