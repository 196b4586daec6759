"""What PostgreSQL prints another way once it has read it again: both prints come to one.

``status IN ('a', 'b')`` on a ``varchar`` is kept as a cast of the array, printed ``(ARRAY['a'::character varying,
'b'::character varying])::text[]``. Who reads that pushes the cast to the elements (``transformArrayExpr`` of
``parse_expr.c``), so after a restore it is ``ARRAY[('a'::character varying)::text, …]``. Laravel's enums are such.
"""

import re

_ARRAY = "(ARRAY["
_CAST = re.compile(r"\]\)::((?:\"(?:[^\"]|\"\")*+\"|\([\d, ]*\)|[\w$. ])+)\[\]")
_CLOSING = {"(": ")", "[": "]"}


def settled(definition: str) -> str:
    """As it will be printed after a restore."""
    start = definition.find(_ARRAY)
    while start >= 0:
        definition, start = _pushed(definition, start)
    return definition


def _pushed(text: str, start: int) -> tuple[str, int]:
    """``text`` with the cast of the array at ``start`` moved inwards, if it has one, and where the next begins."""
    first = start + len(_ARRAY)
    elements, end = _elements(text, first)
    cast = _CAST.match(text, end)
    if cast:
        inner = ", ".join(f"({element})::{cast[1]}" for element in elements)
        text = f"{text[:start]}ARRAY[{inner}]{text[cast.end() :]}"
    return text, text.find(_ARRAY, start + 1)


def _elements(text: str, at: int) -> tuple[list[str], int]:
    """The parts between commas up to the bracket that closes, and where that is."""
    found, begin, open_ = [], at, list[str]()
    while at < len(text):
        sign = text[at]
        if sign in "'\"":
            at = _behind_quoted(text, at)
            continue
        if sign in _CLOSING:
            open_.append(_CLOSING[sign])
        elif open_ and sign == open_[-1]:
            open_.pop()
        elif not open_ and sign in ",]":
            found.append(text[begin:at].strip())
            begin = at + 1
            if sign == "]":
                return found, at
        at += 1
    return [], at


def _behind_quoted(text: str, at: int) -> int:
    """A doubled quote within looks like the end and a new beginning, which comes to the same."""
    end = text.find(text[at], at + 1)
    return end + 1 if end >= 0 else len(text)
