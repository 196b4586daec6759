"""Draws what objects of a random database are made of: names of every kind, types, texts, choices."""

from collections.abc import Sequence

from hypothesis import strategies as st

from tests.support.random_values import TEXTS, Kind, array_of, built_in, quoted

_LONGEST_NAME = 63
_CHARACTERS = st.sampled_from("abcXYZ019_ $%&'\"\\.,;:-()[]{}|/*\n\t\r\vé表😀\x7f")
_NAMES = (
    st.lists(_CHARACTERS, min_size=1, max_size=10).map("".join)
    | st.sampled_from(
        [
            "select",
            "a b",
            'qu"ote',
            "it's",
            "line\nfeed",
            "表" * 21,
            "x" * 63,
            "-- x",
            "\\.",
            "FROM stdin;",
            " ",
            "%s",
        ]
    )
    | st.sampled_from("abcdefgh")
)


def quoted_name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class Drawing:
    """Keeps what was made so far: names, schemas, types, statements."""

    def __init__(self, draw: st.DrawFn, major: int) -> None:
        self._draw = draw
        self._major = major
        self._names: set[str] = set()
        self._schemas = ["public"]
        self._kinds: list[Kind] = []
        self.statements: list[str] = []

    def _number(self, most: int, least: int = 0) -> int:
        return self._draw(st.integers(least, most))

    def _chance(self, one_in: int) -> bool:
        return self._number(one_in - 1) == one_in - 1  # shrinks to no

    def _some(self, choices: Sequence, most: int, least: int = 0) -> list:
        return self._draw(st.lists(st.sampled_from(choices), min_size=least, max_size=most))

    def _one(self, choices: Sequence):
        return self._draw(st.sampled_from(choices))

    def _name(self) -> str:
        name = self._draw(_NAMES)
        while name.encode()[: _LONGEST_NAME - 3].decode(errors="ignore") in self._names:
            name = f"{name[:12]}{len(self._names)}"
        self._names.add(name.encode()[: _LONGEST_NAME - 3].decode(errors="ignore"))
        return quoted_name(name)

    def _qualified(self) -> str:
        return f"{self._one(self._schemas)}.{self._name()}"

    def _text(self) -> str:
        return quoted(self._draw(TEXTS))

    def _kind(self) -> Kind:
        kind = self._one([*built_in(self._major), *self._kinds * 3])
        return array_of(kind) if kind.scalar and self._chance(5) else kind

    def _say(self, statement: str) -> None:
        self.statements.append(statement)
