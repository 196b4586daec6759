"""Both prints of a list of values come to one; nothing else is touched."""

import pytest

from amanat.engines.postgresql.describing.reprinting import settled

FIRST = "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])))"
AGAIN = "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])))"


@pytest.mark.parametrize(
    ("printed", "restored"),
    [
        (FIRST, AGAIN),
        (AGAIN, AGAIN),
        (f"{FIRST} OR {FIRST}", f"{AGAIN} OR {AGAIN}"),
        ("(ARRAY['it''s, done]) ('::x])::text[]", "ARRAY[('it''s, done]) ('::x)::text]"),
        (
            "(ARRAY[f(1, 2), (ARRAY[3])::int[]])::numeric[]",
            "ARRAY[(f(1, 2))::numeric, (ARRAY[(3)::int])::numeric]",
        ),
        ('(ARRAY[a, "b,]"])::"My ""Type""".x[]', 'ARRAY[(a)::"My ""Type""".x, ("b,]")::"My ""Type""".x]'),
        ("(ARRAY[1, 2])", "(ARRAY[1, 2])"),
        ("(ARRAY[1, 2])::text", "(ARRAY[1, 2])::text"),
        ("x = (ARRAY[1, 'never closed", "x = (ARRAY[1, 'never closed"),
        ("", ""),
    ],
)
def test_settled(printed, restored):
    assert settled(printed) == restored
    assert settled(restored) == restored
