"""Archives made by hand, as pg_dump -Fc -Z0 would write them: a chunk for each row."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from amanat.archive import Algorithm, DataState, Entry, Header, Section, Version
from amanat.archive import header as header_format
from amanat.archive import toc as toc_format

HEADER = Header(
    version=Version.RELKIND,
    algorithm=Algorithm.NONE,
    created=(1, 2, 3, 4, 5, 124, 0),
    database="app",
    server="17.2",
    client="17.2",
)
TABLE = Entry(
    dump_id=7,
    has_data=False,
    catalog=1259,
    oid=16385,
    name="users",
    kind="TABLE",
    section=Section.PRE_DATA,
    definition=b"CREATE TABLE public.users (id integer);\n",
    drop=b"DROP TABLE public.users;\n",
    copy=None,
    schema="public",
    tablespace="",
    access_method="heap",
    relkind="r",
    owner="postgres",
    dependencies=(3, 5),
    data_state=DataState.NONE,
    data_offset=0,
)
DATA = replace(
    TABLE,
    dump_id=8,
    has_data=True,
    kind="TABLE DATA",
    section=Section.DATA,
    copy=b"COPY public.users (id) FROM stdin;\n",
    data_state=DataState.SOMEWHERE,
    dependencies=(7,),
)
OBJECTS = replace(DATA, dump_id=9, name="BLOBS", kind="BLOBS", copy=None, schema=None)
MARK = b"\\.\n\n\n"


def integer(value: int) -> bytes:
    return struct.pack("<BI", value < 0, abs(value))


def chunks(parts: Iterable[bytes]) -> bytes:
    return b"".join(integer(len(part)) + part for part in parts) + integer(0)


def table(rows: Sequence[bytes], number: int = DATA.dump_id) -> bytes:
    return b"\x01" + integer(number) + chunks([*rows, MARK])


def objects(data: Mapping[int, Sequence[bytes]], number: int = OBJECTS.dump_id) -> bytes:
    """By OID, which is written as a signed number."""
    each = (integer(oid if oid < 2**31 else oid - 2**32) + chunks(parts) for oid, parts in data.items())
    return b"\x03" + integer(number) + b"".join(each) + integer(0)


def front(*entries: Entry, header: Header = HEADER) -> bytes:
    known = [entry if header.version >= Version.RELKIND else replace(entry, relkind="") for entry in entries]
    return header_format.encoded(header) + toc_format.encoded(known, header.version)


def small(version: Version = Version.RELKIND) -> bytes:
    """A table of three rows, and three large objects."""
    head = front(TABLE, DATA, OBJECTS, header=replace(HEADER, version=version))
    blobs = objects({5001: [b"hello", b" world"], 4000000000: [b"\x00\xff"], 5002: []})
    return head + table([b"1\tone\n", b"2\t\\N\n", b"3\t\\\\.\n"]) + blobs
