"""What the codec writes restores with the stock pg_restore of every major, whichever way it is asked."""

import subprocess
import zlib

import pytest

from amanat.archive import Algorithm, Codec
from tests.support import archives
from tests.support.archives import AWKWARD, GZIP, PLAIN, ZSTD

ZLIB = Codec(algorithm=Algorithm.GZIP, level=6)
CODECS = {
    "gzip": GZIP,
    "isal3": Codec(algorithm=Algorithm.GZIP, level=3),
    "zlib": ZLIB,
    "zstd": ZSTD,
    "none": PLAIN,
}


def codec_for(postgres, name):
    return GZIP if name == "zstd" and postgres.major < 16 else CODECS[name]


@pytest.fixture
def awkward(postgres_matrix):
    return postgres_matrix.database(sql=AWKWARD)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("options", [(), ("-j2",)], ids=["plain", "parallel"])
def test_stock_tools_restore_the_same_database(postgres_matrix, awkward, tmp_path, name, options):
    target = tmp_path / "a.dump"
    archives.rewritten(archives.dump(postgres_matrix, awkward), target, codec_for(postgres_matrix, name))
    copy = postgres_matrix.database()
    archives.restore(postgres_matrix, target, copy, *options)
    assert archives.script(postgres_matrix, copy) == archives.script(postgres_matrix, awkward)


def test_digests_are_those_of_what_the_server_sends(postgres_matrix, awkward, tmp_path):
    archive = archives.rewritten(archives.dump(postgres_matrix, awkward), tmp_path / "a.dump")
    assert {data.entry.name for data in archive.tables} >= {
        "empty",
        "no_columns",
        "one_column",
        "parted_2023",
        "child",
    }
    for data in archive.tables:
        sent = archives.copied(postgres_matrix, awkward, data.entry.copy)
        assert (data.bytes, data.sha256) == sent, data.entry.name


def test_rows_are_counted(postgres_matrix, awkward, tmp_path):
    archive = archives.rewritten(archives.dump(postgres_matrix, awkward), tmp_path / "a.dump")
    rows = {data.entry.name: data.rows for data in archive.tables}
    expected = {
        "empty": 0,
        "no_columns": 2,
        "one_column": 10,
        "kinds": 2001,
        "wide": 3000,
        "parent": 1,
        "child": 1,
    }
    assert {name: rows[name] for name in expected} == expected
    assert rows["parted_2023"] + rows["parted_2024"] == 700
    assert archive.large_objects == 4


def test_the_file_is_what_was_reported(postgres_matrix, awkward, tmp_path):
    target = tmp_path / "a.dump"
    archive = archives.rewritten(archives.dump(postgres_matrix, awkward), target)
    assert archive.crc32 == zlib.crc32(target.read_bytes())
    assert archive.bytes == target.stat().st_size
    for entry in archive.contents:
        if entry.has_data:
            at = target.read_bytes()[entry.data_offset :]
            assert at[0] == (3 if entry.has_large_objects else 1)
            assert int.from_bytes(at[2:6], "little") == entry.dump_id


def test_contents_are_those_that_pg_restore_lists(postgres_matrix, awkward, tmp_path):
    target, stock = tmp_path / "a.dump", tmp_path / "stock.dump"
    stream = archives.dump(postgres_matrix, awkward)
    stock.write_bytes(stream)
    archive = archives.rewritten(stream, target)
    assert _entries(archives.listing(postgres_matrix, target)) == _entries(
        archives.listing(postgres_matrix, stock)
    )
    dumped_after = archives.listing(postgres_matrix, target)
    assert f"TOC Entries: {len(archive.contents)}" in dumped_after


def test_one_table_alone(postgres_matrix, awkward, tmp_path):
    target = tmp_path / "a.dump"
    archives.rewritten(archives.dump(postgres_matrix, awkward), target)
    copy = postgres_matrix.database()
    archives.restore(postgres_matrix, target, copy, "-t", "wide")
    assert (
        postgres_matrix.psql(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
            copy["dbname"],
        )
        == "wide"
    )
    assert postgres_matrix.psql("SELECT count(*) FROM wide", copy["dbname"]) == "3000"


def test_tables_in_an_order_of_ones_own(postgres_matrix, awkward, tmp_path):
    target, order = tmp_path / "a.dump", tmp_path / "order"
    archives.rewritten(archives.dump(postgres_matrix, awkward), target)
    lines = archives.listing(postgres_matrix, target).splitlines()
    wanted = [line for line in lines if " wide " in line or " kinds" in line or "FUNCTION" in line]
    data = [line for line in wanted if "TABLE DATA" in line]
    order.write_text(
        "\n".join(
            [line for line in wanted if line not in data and "INDEX" not in line and "SEQUENCE SET" not in line]
            + data[::-1]
        )
    )
    copy = postgres_matrix.database()
    archives.restore(postgres_matrix, target, copy, "-L", str(order))
    counts = "SELECT (SELECT count(*) FROM wide), (SELECT count(*) FROM kinds)"
    assert postgres_matrix.psql(counts, copy["dbname"]) == "3000|2001"


@pytest.mark.parametrize(
    "options",
    [
        ("--schema-only",),
        ("--data-only",),
        ("--section=pre-data",),
        ("--section=data",),
        ("--section=post-data",),
        ("--inserts", "-t", "wide"),
        ("-t", "empty"),
        ("--exclude-table-data=wide",),
    ],
    ids=" ".join,
)
def test_parts_of_a_database(postgres_matrix, awkward, tmp_path, options):
    stream = archives.dump(postgres_matrix, awkward, *options)
    archives.rewritten(stream, tmp_path / "a.dump")
    assert archives.decoded((tmp_path / "a.dump").read_bytes()) == archives.decoded(stream)


def test_every_large_object_comes_back(postgres_matrix, awkward, tmp_path):
    target = tmp_path / "a.dump"
    archives.rewritten(archives.dump(postgres_matrix, awkward), target, codec_for(postgres_matrix, "zstd"))
    copy = postgres_matrix.database()
    archives.restore(postgres_matrix, target, copy)
    objects = "SELECT oid, length(lo_get(oid)), md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY oid"
    found = postgres_matrix.psql(objects, copy["dbname"])
    assert found == postgres_matrix.psql(objects, awkward["dbname"])
    assert [line.split("|")[:2] for line in found.splitlines()] == [
        ["5000", "0"],
        ["5001", "5"],
        ["5002", "1"],
        ["4000000000", "400000"],
    ]


def test_a_database_in_another_encoding(postgres, tmp_path):
    postgres.psql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    postgres._databases.append("latin")
    where = postgres.server.conninfo("latin")
    postgres.psql(
        "SET client_encoding = 'UTF8'; CREATE TABLE \"müde\" (v text); INSERT INTO \"müde\" VALUES ('süß')",
        "latin",
    )
    archive = archives.rewritten(archives.dump(postgres, where), tmp_path / "a.dump")
    assert {data.entry.name.encode("utf-8", "surrogateescape") for data in archive.tables} == {
        "müde".encode("latin-1")
    }
    postgres.psql("CREATE DATABASE latin_copy ENCODING 'LATIN1' TEMPLATE template0")
    postgres._databases.append("latin_copy")
    copy = postgres.server.conninfo("latin_copy")
    archives.restore(postgres, tmp_path / "a.dump", copy)
    assert archives.script(postgres, copy) == archives.script(postgres, where)


@pytest.mark.slow
def test_a_row_of_a_hundred_megabytes(postgres, tmp_path):
    sql = "CREATE TABLE t (v text); INSERT INTO t SELECT string_agg(md5(n::text), '') FROM generate_series(1, 3200000) n; INSERT INTO t VALUES ('small')"
    where, copy = postgres.database(sql=sql), postgres.database()
    target = tmp_path / "a.dump"
    archive = archives.rewritten(archives.dump(postgres, where), target)
    (data,) = archive.tables
    assert (data.rows, data.bytes) == (2, 3200000 * 32 + 1 + 6)
    archives.restore(postgres, target, copy)
    digest = "SELECT md5(string_agg(md5(v), '' ORDER BY length(v))) FROM t"
    assert postgres.psql(digest, copy["dbname"]) == postgres.psql(digest, where["dbname"])


@pytest.mark.slow
def test_thousands_of_tables(postgres, tmp_path):
    many = "".join(
        f"CREATE TABLE t{n} (id int PRIMARY KEY); INSERT INTO t{n} VALUES ({n});\n" for n in range(2000)
    )
    where, copy = postgres.database(sql=many), postgres.database()
    target = tmp_path / "a.dump"
    archive = archives.rewritten(archives.dump(postgres, where), target)
    assert len(archive.tables) == 2000 and all(data.rows == 1 for data in archive.tables)
    archives.restore(postgres, target, copy, "-j2")
    assert archives.script(postgres, copy) == archives.script(postgres, where)


def test_zstd_is_refused_where_the_reader_is_too_old(postgres, tmp_path):
    from amanat.archive import ArchiveError

    stream = archives.dump(postgres, postgres.database())
    with pytest.raises(ArchiveError, match=r"1\.14 cannot be compressed with zstd"):
        archives.rewritten(stream, tmp_path / "a.dump", ZSTD)


def test_a_damaged_piece_is_found_by_pg_restore(postgres, tmp_path):
    where = postgres.database(sql="CREATE TABLE t AS SELECT md5(n::text) FROM generate_series(1, 100000) n")
    target = tmp_path / "a.dump"
    archive = archives.rewritten(archives.dump(postgres, where), target)
    whole = bytearray(target.read_bytes())
    (data,) = archive.tables
    offset = next(entry.data_offset for entry in archive.contents if entry.dump_id == data.entry.dump_id)
    whole[offset + 100_000] ^= 1
    target.write_bytes(whole)
    done = subprocess.run(
        [postgres.bin / "pg_restore", "-f", "/dev/null", target], capture_output=True, check=False
    )
    assert done.returncode


def _entries(listing: str) -> list[str]:
    return [line for line in listing.splitlines() if not line.startswith(";")]
