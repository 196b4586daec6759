"""Whatever an archive holds comes out as it went in; whatever is done to it never passes unnoticed."""

import hashlib
import io
import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amanat.archive import Algorithm, ArchiveError, Codec, DataState, Entry, Header, Section, Version, rewrite
from amanat.archive import header as header_format
from amanat.archive import toc as toc_format
from amanat.archive.digest import CopyDigest
from amanat.archive.wire import Source
from tests.support.archive_streams import DATA, MARK, OBJECTS, front, integer, objects, small
from tests.support.archives import decoded

TEXT = (
    st.none()
    | st.text(max_size=20)
    | st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
)
SQL = st.none() | st.binary(max_size=40)
NUMBER = st.integers(1, 2**31 - 1)
OID = st.integers(0, 2**32 - 1)
ENTRIES = st.builds(
    Entry,
    dump_id=NUMBER,
    has_data=st.just(False),
    catalog=OID,
    oid=OID,
    name=TEXT,
    kind=TEXT,
    section=st.sampled_from(Section),
    definition=SQL,
    drop=SQL,
    copy=SQL,
    schema=TEXT,
    tablespace=TEXT,
    access_method=TEXT,
    relkind=st.sampled_from(["", "r", "p", "m"]),
    owner=TEXT,
    dependencies=st.lists(NUMBER, max_size=4).map(tuple),
    data_state=st.just(DataState.NONE),
    data_offset=st.integers(0, 2**64 - 1),
)
HEADERS = st.builds(
    Header,
    version=st.sampled_from(Version),
    algorithm=st.sampled_from([Algorithm.NONE, Algorithm.GZIP]),
    created=st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 7),
    database=TEXT,
    server=TEXT,
    client=TEXT,
)
ROWS = st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"\\n") + b"\n"), max_size=20)
CODECS = st.builds(
    Codec, algorithm=st.sampled_from([Algorithm.NONE, Algorithm.GZIP, Algorithm.ZSTD]), level=st.integers(1, 9)
)


def outcome(stream: bytes, codec: Codec) -> bytes:
    target = io.BytesIO()
    rewrite(io.BytesIO(stream), target, codec=codec, threads=1, check=lambda: None, on_progress=lambda _: None)
    return target.getvalue()


@given(HEADERS, st.lists(ENTRIES, max_size=5, unique_by=lambda entry: entry.dump_id))
def test_header_and_contents_read_back_as_they_were_written(header, entries):
    known = tuple(entries if header.version is Version.RELKIND else [replace(e, relkind="") for e in entries])
    written = header_format.encoded(header) + toc_format.encoded(known, header.version)
    source = Source(io.BytesIO(written), lambda: None)
    assert (header_format.read(source), toc_format.read(source, header.version)) == (header, known)
    assert source.at_end()


@given(
    ROWS,
    st.dictionaries(
        st.integers(1, 2**32 - 1), st.lists(st.binary(min_size=1, max_size=50), max_size=3), max_size=4
    ),
    st.integers(1, 40),
    CODECS,
)
def test_data_survive_however_they_are_cut_into_chunks(rows, blobs, cut, codec):
    data = b"".join(rows) + MARK
    cuts = [data[at : at + cut] for at in range(0, len(data), cut)]
    block = b"\x01" + integer(8) + b"".join(integer(len(part)) + part for part in cuts) + integer(0)
    stream = front(DATA, OBJECTS) + block + objects(blobs)
    assert decoded(outcome(stream, codec)) == decoded(stream)


@given(ROWS, st.lists(st.integers(0, 400), max_size=12))
def test_a_digest_does_not_depend_on_the_pieces(rows, cuts):
    data, digest = b"".join(rows) + MARK, CopyDigest(DATA)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(places):
        digest.update(data[start:end])
    plain = data.removesuffix(MARK)
    found = digest.result()
    assert (found.rows, found.bytes, found.sha256) == (len(rows), len(plain), hashlib.sha256(plain).hexdigest())


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@given(st.data(), st.sampled_from(Version))
def test_damage_is_an_error_or_is_carried_over_as_it_is(data, version):
    stream = bytearray(small(version))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(stream) - 1))
        end = at + data.draw(st.integers(0, 6))
        stream[at:end] = data.draw(st.binary(max_size=8))
    try:
        written = outcome(bytes(stream), Codec(algorithm=Algorithm.GZIP))
    except ArchiveError:
        return
    assert decoded(written) == decoded(bytes(stream))
