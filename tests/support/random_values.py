"""Values of PostgreSQL's types at random, as SQL expressions: those that are hard to write as COPY text most of all."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

ESCAPES = [
    "\\.",
    "\\.\n",
    "\n\\.\n",
    "\\N",
    "\\",
    "\\\\",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\b\f\v",
    "\\b",
    "",
    " ",
    "\x01\x7f",
]
OTHERS = [
    "'",
    '"',
    "''",
    "{}",
    "{,NULL}",
    "NULL",
    "$$",
    "表",
    "😀",
    "ẞ\u0301",
    "\u2028\ufeff",
    "COPY t FROM stdin;\n\\.\n\n\n",
]
_CHARACTERS = st.sampled_from("ab 01.,;\\N\t\n\r\b\f\v'\"{}()[]$%äé表😀\x7f\x1b")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A type, as a column's definition names it. ``sorted``: btree indexes can have it; ``scalar``: is no array."""

    sql: str
    values: st.SearchStrategy[str]
    sorted: bool = True
    scalar: bool = True


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _cast(sql: str, texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return texts.map(lambda text: f"{quoted(text)}::{sql}")


def _kind(sql: str, texts: st.SearchStrategy[str] | Sequence[str], *, sorted: bool = True) -> Kind:  # noqa: A002 - as in Kind
    known = texts if isinstance(texts, st.SearchStrategy) else st.sampled_from(texts)
    return Kind(sql=sql, values=_cast(sql, known), sorted=sorted)


def _integers(bits: int) -> st.SearchStrategy[str]:
    most = 2 ** (bits - 1)
    return (st.sampled_from([0, -1, most - 1, -most]) | st.integers(-most, most - 1)).map(str)


TEXTS = st.sampled_from(ESCAPES + OTHERS) | st.lists(_CHARACTERS, max_size=12).map("".join)
_SHORT = TEXTS.map(lambda text: text[:5])
_FLOATS = st.sampled_from(["NaN", "Infinity", "-Infinity", "-0", "4.9e-324", "1.7976931348623157e308", "0.1"])
_REALS = st.sampled_from(["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38", "0.1"])
_NUMERICS = st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "0", "1" + "0" * 300, "-0." + "0" * 90 + "1", "1.500"]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
).map(lambda value: json.dumps(value, ensure_ascii=False))
_MEGABYTES = st.integers(1_000_000, 3_000_000)

TEXT = Kind(
    sql="text",
    values=st.one_of(
        *[_cast("text", TEXTS)] * 12, _MEGABYTES.map(lambda size: f"repeat('long \\' || chr(9), {size // 7})")
    ),
)
BYTEA = Kind(
    sql="bytea",
    values=st.one_of(
        *[st.binary(max_size=12).map(lambda raw: f"'\\x{raw.hex()}'::bytea")] * 12,
        _MEGABYTES.map(lambda size: f"decode(repeat('00ff0a5c', {size // 4}), 'hex')"),
    ),
)
_PLAIN = (
    _kind("smallint", _integers(16)),
    _kind("integer", _integers(32)),
    _kind("bigint", _integers(64)),
    _kind("numeric", _NUMERICS | st.decimals(allow_nan=False, allow_infinity=False, places=9).map(str)),
    _kind("numeric(9,3)", st.sampled_from(["NaN", "0", "123456.789", "-0.001"])),
    _kind("real", _REALS | st.floats(width=32).map(str)),
    _kind("double precision", _FLOATS | st.floats().map(str)),
    TEXT,
    TEXT,
    TEXT,
    BYTEA,
    _kind("varchar(5)", _SHORT),
    _kind("char(5)", _SHORT),
    _kind('"char"', ["", "a", "\\", "\n", "\t"]),
    _kind("name", _SHORT),
    _kind("boolean", ["t", "f"]),
    _kind("uuid", st.uuids().map(str)),
    _kind("date", ["infinity", "-infinity", "4713-11-24 BC", "5874897-12-31", "2024-02-29", "0001-01-01 BC"]),
    _kind(
        "timestamp",
        [
            "infinity",
            "-infinity",
            "4713-11-24 00:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "2000-01-01 00:00:00.1",
        ],
    ),
    _kind("timestamptz(3)", ["infinity", "-infinity", "2024-10-27 02:30:00.123+01", "1900-01-01 00:00:00+00"]),
    _kind("time", ["00:00", "24:00:00", "23:59:59.999999"]),
    _kind("timetz", ["00:00+14", "23:59:59.999999-12:34:56"]),
    _kind(
        "interval",
        ["0", "-178000000 years", "1 mon -1 day +00:00:01", "-1 day -00:00:00.000001", "1 year 2 mons -3 days"],
    ),
    _kind("json", _JSON, sorted=False),
    _kind("jsonb", _JSON),
    _kind("inet", ["10.0.0.1/8", "::1", "fe80::1/64"]),
    _kind("cidr", ["10.0.0.0/8", "2001:db8::/32"]),
    _kind("macaddr8", ["08:00:2b:01:02:03:04:05"]),
    _kind("bit(3)", ["101", "000"]),
    _kind("bit varying", ["", "1", "1" * 70]),
    _kind("money", ["0", "-92233720368547758.08", "1.5"]),
    _kind("oid", ["0", "4294967295"]),
    _kind("pg_lsn", ["0/0", "FFFFFFFF/FFFFFFFF"]),
    _kind("point", ["(1,2)", "(NaN,-Infinity)"], sorted=False),
    _kind("polygon", ["((0,0),(1,1),(2,0))"], sorted=False),
    _kind("tsvector", ["", "a:1A 'b c':2,3", "'it''s\\\\'"]),
    _kind("tsquery", ["", "a & !b | 'c d':*"]),
    _kind("jsonpath", ["$", '$."a\\tb"[*] ? (@ > 1)'], sorted=False),
    _kind("int4range", ["empty", "(,)", "[1,5)", "[,-2147483648)"]),
    _kind("numrange", ["empty", "[NaN,NaN]", "(-Infinity,1.50]"]),
    _kind("tstzrange", ["empty", "[infinity,infinity]", '["2024-01-01 00:00:00+00",)']),
    _kind("int8multirange", ["{}", "{[1,3),[5,)}"]),
)
_SINCE_17 = (_kind("interval", ["infinity", "-infinity"]),)


def built_in(major: int) -> tuple[Kind, ...]:
    return _PLAIN if major < 17 else _PLAIN + _SINCE_17


def array_of(kind: Kind) -> Kind:
    """Of one dimension or two, with NULL elements, sometimes counted from elsewhere than 1."""
    sql = f"{kind.sql}[]"
    elements = st.one_of(kind.values, kind.values, st.just("NULL"))
    flat = st.lists(elements, max_size=3).map(lambda items: f"ARRAY[{', '.join(items)}]::{sql}")
    square = st.lists(st.tuples(elements, elements), min_size=1, max_size=2).map(
        lambda pairs: f"ARRAY[{', '.join(f'[{a}, {b}]' for a, b in pairs)}]::{sql}"
    )
    shifted = kind.values.map(lambda value: f"array_fill({value}, ARRAY[2], ARRAY[-3])::{sql}")
    return Kind(sql=sql, values=flat | square | shifted, sorted=kind.sorted, scalar=False)
