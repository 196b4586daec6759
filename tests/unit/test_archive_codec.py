"""The archive codec on good, broken and hostile streams."""

import hashlib
import io
import itertools
import resource
import struct
import threading
import tracemalloc
import zlib
from dataclasses import replace

import pytest

from amanat.archive import Algorithm, ArchiveError, Codec, UnknownArchiveError, Version, rewrite
from tests.support.archive_streams import (
    DATA,
    HEADER,
    MARK,
    OBJECTS,
    TABLE,
    chunks,
    front,
    integer,
    objects,
    small,
    table,
)
from tests.support.archives import GZIP, PLAIN, ZSTD, decoded, rewritten

MEGABYTE = 1_000_000


def codec(source, target=None, **options):
    given = {"codec": GZIP, "threads": 2, "check": lambda: None, "on_progress": lambda _: None}
    return rewrite(source, target or io.BytesIO(), **{**given, **options})


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("chosen", [GZIP, Codec(algorithm=Algorithm.GZIP, level=9), ZSTD, PLAIN])
def test_what_goes_in_comes_out(tmp_path, version, chosen):
    if chosen is ZSTD and version < Version.ALGORITHM:
        chosen = GZIP
    stream = small(version)
    archive = rewritten(stream, tmp_path / "a", chosen)
    assert decoded((tmp_path / "a").read_bytes()) == decoded(stream)
    assert archive.header.algorithm is chosen.algorithm and archive.header.version is version
    rows = b"1\tone\n2\t\\N\n3\t\\\\.\n"
    (users,) = archive.tables
    assert (users.entry.name, users.rows, users.bytes) == ("users", 3, len(rows))
    assert users.sha256 == hashlib.sha256(rows).hexdigest()
    assert (archive.large_objects, archive.data_bytes) == (3, len(rows) + len(MARK) + 11 + 2)


def test_truncation_at_every_offset_is_an_error():
    stream = small()
    for end in range(len(stream)):
        with pytest.raises(ArchiveError):
            codec(io.BytesIO(stream[:end]))


@pytest.mark.slow
def test_a_flipped_bit_is_an_error_or_is_carried_over_as_it_is():
    stream = small()
    before = _kilobytes_at_most()
    for at in range(len(stream) * 8):
        flipped = bytearray(stream)
        flipped[at // 8] ^= 1 << at % 8
        target = io.BytesIO()
        try:
            codec(io.BytesIO(flipped), target, threads=1)
        except ArchiveError:
            continue
        assert decoded(target.getvalue()) == decoded(bytes(flipped)), at
    assert _kilobytes_at_most() - before < 50_000


def _kilobytes_at_most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_bytes_behind_the_last_block_are_an_error():
    with pytest.raises(ArchiveError):
        codec(io.BytesIO(small() + b"\x00"))


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0, b"X", "not an archive"),
        (5, b"\x02", r"version 2\.16\.0"),
        (6, b"\x0d", r"version 1\.13\.0"),
        (6, b"\x11", r"version 1\.17\.0"),
        (7, b"\x01", r"version 1\.16\.1"),
        (8, b"\x08", "sizes and format"),
        (9, b"\x04", "sizes and format"),
        (10, b"\x03", "sizes and format"),
        (11, b"\x01", "compressed already, by gzip"),
        (11, b"\x09", "compression algorithm 9"),
    ],
)
def test_a_form_that_is_unknown_says_so(at, value, said):
    stream = bytearray(small())
    stream[at : at + 1] = value
    with pytest.raises(UnknownArchiveError, match=said):
        codec(io.BytesIO(stream))


@pytest.mark.parametrize("kind", [0, 2, 4, 255])
def test_an_unknown_kind_of_block_says_so(kind):
    with pytest.raises(UnknownArchiveError, match=f"block of type {kind}"):
        codec(io.BytesIO(front(DATA) + bytes([kind]) + table([])[1:]))


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (front(DATA), "1 entries lack data; first TABLE DATA users"),
        (front(DATA, OBJECTS) + objects({}), "lack data"),
        (front(TABLE) + table([]), "no entry waits for"),
        (front(TABLE) + table([], TABLE.dump_id), "no entry waits for"),
        (front(DATA) + table([]) + table([]), "no entry waits for"),
        (front(DATA) + objects({}, DATA.dump_id), "block of type 3 for TABLE DATA"),
        (front(OBJECTS) + table([], OBJECTS.dump_id), "block of type 1 for BLOBS"),
        (front(DATA, DATA) + table([]), "two entries with the same number"),
        (front(replace(DATA, has_data=False)), "has data and has none"),
        (front(DATA) + b"\x01" + integer(8) + chunks([b"1\n"]), "no end mark"),
        (front(DATA) + b"\x01" + integer(8) + chunks([]), "no end mark"),
        (front(DATA) + b"\x01" + integer(8) + chunks([b"1", MARK]), "no end mark"),
        (front(DATA) + b"\x01" + integer(8) + chunks([b"1\n", MARK, b"2\n"]), "no end mark"),
        (front(DATA) + b"\x01" + integer(8) + integer(-5), "negative length"),
        (front(DATA) + b"\x01" + integer(8) + struct.pack("<BI", 0, 2**31), "an integer that is none"),
        (front(DATA) + b"\x01" + integer(8) + struct.pack("<BI", 7, 1), "an integer that is none"),
    ],
)
def test_what_does_not_fit_together_is_an_error(stream, said):
    with pytest.raises(ArchiveError, match=said) as caught:
        codec(io.BytesIO(stream))
    assert caught.value.kind == "archive" and caught.value.hint


@pytest.mark.parametrize(
    "stream",
    [
        front(DATA) + b"\x01" + integer(8) + integer(2**31 - 1) + b"x" * 1000,
        front()[:-5] + integer(2**31 - 1),
        front()[:-5] + integer(1) + integer(1) + integer(0) + integer(2**31 - 1),
        front()[:-5] + integer(1) + integer(1) + integer(0) + integer(16 * 1024 * 1024) + b"1",
    ],
    ids=["chunk", "entries", "string", "long string"],
)
def test_absurd_lengths_cost_no_memory(stream):
    tracemalloc.start()
    with pytest.raises(ArchiveError):
        codec(io.BytesIO(stream))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * MEGABYTE


class Endless(io.RawIOBase):
    """A stream made while it is read."""

    def __init__(self, parts):
        self._parts = iter(parts)
        self._rest = b""
        self.read_bytes = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        while len(self._rest) < len(buffer) and (part := next(self._parts, b"")):
            self._rest += part
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        self.read_bytes += size
        return size


def many_rows():
    yield front(DATA) + b"\x01" + integer(8)
    row = b"42\t" + bytes(range(97, 123)) * 39 + b"\n"
    block = (integer(len(row)) + row) * 100
    yield from (block for _ in range(1000))
    yield integer(len(MARK)) + MARK + integer(0)


def one_row():
    yield front(DATA) + b"\x01" + integer(8) + integer(100 * MEGABYTE)
    yield from (b"x" * 100_000 for _ in range(999))
    yield b"x" * 99_999 + b"\n" + integer(len(MARK)) + MARK + integer(0)


def many_objects():
    yield front(OBJECTS) + b"\x03" + integer(9)
    yield from ((integer(7) + integer(0)) * 1000 for _ in range(100))
    yield integer(0)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [many_rows, one_row, many_objects])
def test_memory_is_flat(tmp_path, parts):
    tracemalloc.start()
    with (tmp_path / "a").open("w+b") as target:
        archive = codec(io.BufferedReader(Endless(parts())), target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25 * MEGABYTE
    assert archive.data_bytes >= 100 * MEGABYTE or archive.large_objects == 100_000


def test_reading_waits_for_writing(tmp_path):
    source, ahead = Endless(many_rows()), []

    class Slow(io.BytesIO):
        def write(self, data):
            ahead.append(source.read_bytes)
            return super().write(data)

    codec(source, Slow(), threads=1, codec=PLAIN)
    large = [after - before for before, after in itertools.pairwise(ahead)]
    assert max(large) < 8 * MEGABYTE and source.read_bytes > 100 * MEGABYTE


def test_check_is_asked_all_the_time_and_its_word_is_final():
    asked = []

    def check():
        asked.append(1)
        if len(asked) > 50:
            raise KeyboardInterrupt

    source = Endless(many_rows())
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        codec(source, check=check)
    assert source.read_bytes < 20 * MEGABYTE
    assert threading.active_count() == before


def test_a_full_disk_ends_it_and_leaves_no_thread():
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() > 2000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    before = threading.active_count()
    with pytest.raises(OSError, match="No space"):
        codec(Endless(many_rows()), Full())
    assert threading.active_count() == before


def test_a_file_that_lost_what_it_was_given_has_another_crc32():
    class Forgetful(io.BytesIO):
        def flush(self):
            self.getbuffer()[-7] ^= 1

    target = Forgetful()
    assert codec(io.BytesIO(small()), target).crc32 != zlib.crc32(target.getvalue())


def test_progress_names_the_table_and_never_goes_back():
    told = []
    codec(Endless(many_rows()), on_progress=told.append)
    assert {progress.entry.name for progress in told} == {"users"}
    done = [progress.bytes_done for progress in told]
    assert done == sorted(done) and len(done) > 50 and done[-1] > 100 * MEGABYTE
    assert (told[-1].blocks_done, told[-1].blocks_total) == (1, 1)


def test_names_in_another_encoding_survive(tmp_path):
    latin = replace(DATA, name=b"m\xfcde".decode("utf-8", "surrogateescape"))
    rewritten(front(latin) + table([b"1\n"]), tmp_path / "a")
    assert b"m\xfcde" in (tmp_path / "a").read_bytes()


def test_rows_as_inserts_are_carried_but_not_counted(tmp_path):
    inserts = (
        front(replace(DATA, copy=None)) + b"\x01" + integer(8) + chunks([b"INSERT INTO t VALUES (1);\n", b"\n"])
    )
    archive = rewritten(inserts, tmp_path / "a")
    assert archive.tables == ()
    assert decoded((tmp_path / "a").read_bytes()) == decoded(inserts)


def test_older_versions_cannot_have_zstd():
    stream = front(DATA, header=replace(HEADER, version=Version.TABLE_ACCESS_METHOD)) + table([])
    with pytest.raises(ArchiveError, match=r"1\.14 cannot be compressed with zstd") as caught:
        codec(io.BytesIO(stream), codec=ZSTD)
    assert "gzip" in caught.value.hint
