"""Streams that become one archive bring each table's rows once: whoever asked for them twice gets no file of it."""

import io
from dataclasses import replace

import pytest

from amanat.archive import Algorithm, Codec, Other, UnknownArchiveError, merge
from tests.support.archive_streams import DATA, TABLE, front, table

LEAD = front(TABLE)
ROWS = front(DATA) + table([b"1\n"])
ELSEWHERE = replace(TABLE, dump_id=20, oid=16400, name="surveys")


def merged(lead, *others):
    def one_by_one(works):
        for work in works:
            work()

    return merge(
        io.BytesIO(lead),
        [Other(source=io.BytesIO(other), file=io.BytesIO()) for other in others],
        io.BytesIO(),
        codec=Codec(algorithm=Algorithm.GZIP),
        threads=1,
        check=lambda: None,
        on_progress=lambda _: None,
        together=one_by_one,
    )


def test_rows_that_one_stream_brings_are_told_of():
    (data,) = merged(LEAD, ROWS).tables
    assert (data.entry.name, data.rows) == ("users", 1)


@pytest.mark.parametrize(
    "streams",
    [(front(TABLE, ELSEWHERE, DATA) + table([b"1\n"]), ROWS), (front(TABLE, ELSEWHERE), ROWS, ROWS)],
    ids=["by the leading one too", "by two others"],
)
def test_rows_that_two_streams_bring_are_refused(streams):
    with pytest.raises(UnknownArchiveError, match="two streams bring the rows of users"):
        merged(*streams)
