"""Real archives for the tests of the codec: a database with all that is awkward, pg_dump's stream, a naive decoder."""

import hashlib
import io
import os
import subprocess
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import zstandard

from amanat.archive import Algorithm, Archive, Codec, Progress, rewrite
from amanat.archive import header as header_format
from amanat.archive import toc as toc_format
from amanat.archive.wire import Source
from amanat.engines.postgresql.restoring.passes import passes, schemas
from amanat.ports.engine import Artefact
from tests.support.postgres_plugin import Postgres

GZIP = Codec(algorithm=Algorithm.GZIP)
ZSTD = Codec(algorithm=Algorithm.ZSTD)
PLAIN = Codec(algorithm=Algorithm.NONE)
CONVERSION = {"PGOPTIONS": "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 -c search_path="}

AWKWARD = r"""
CREATE SCHEMA "odd ""schema"".
with a line";
CREATE TABLE "odd ""schema"".
with a line"."tab""le
of ünïcödé 表 'x' \t" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "co l""umn" text);
INSERT INTO "odd ""schema"".
with a line"."tab""le
of ünïcödé 表 'x' \t" ("co l""umn") SELECT 'value ' || n FROM generate_series(1, 100) n;

CREATE TABLE empty (id int);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE one_column (v text);
INSERT INTO one_column VALUES (''), (NULL), ('\.'), (E'\\.\n\n\n'), (E'\n'), (E'\t\\\b\f\v\r\n'), ('\N'), (E'\x01\x7f'),
  ('emoji 😀 and 表'), (repeat('long ', 500000));
CREATE TABLE kinds (
  id bigserial PRIMARY KEY, b bytea, a int[], t text[], j jsonb, n numeric, f float8, r real, d date, ts timestamptz,
  i interval, u uuid, ip inet, bits bit varying, x xml, rng int4range, flag boolean, doubled int GENERATED ALWAYS AS (flag::int * 2) STORED);
INSERT INTO kinds (b, a, t, j, n, f, r, d, ts, i, u, ip, bits, rng, flag)
  SELECT decode(md5(n::text), 'hex'), ARRAY[n, NULL, -n], ARRAY['a,b', NULL, 'q"\', E'nl\n', ''],
    jsonb_build_object('k', n, 'text', E'"\\\n\t' || n), n / 7.0, n / 7.0::float8, n / 7.0::real, '2024-02-29'::date + n,
    '2024-01-01'::timestamptz + n * interval '1 hour', n * interval '1 day 3 seconds', md5(n::text)::uuid, '10.0.0.1', '101',
    int4range(n, n + 5), n % 2 = 0 FROM generate_series(1, 2000) n;
INSERT INTO kinds DEFAULT VALUES;
CREATE TABLE wide (id int, payload text);
INSERT INTO wide SELECT n, repeat(md5(n::text), 40) FROM generate_series(1, 3000) n;
CREATE INDEX wide_id ON wide (id);
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parted_2023 PARTITION OF parted FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE parted_2024 PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO parted SELECT n, '2023-01-01'::date + n FROM generate_series(1, 700) n;
CREATE TABLE parent (id int);
CREATE TABLE child (extra text) INHERITS (parent);
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (2, 'two');
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM kinds;
CREATE VIEW plain_view AS SELECT * FROM wide;
CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS $$ SELECT n * 2 $$;
COMMENT ON TABLE wide IS 'It''s a comment';
SELECT lo_from_bytea(4000000000, decode(repeat('00ff0a5c', 100000), 'hex'));
SELECT lo_from_bytea(5000, '');
SELECT lo_from_bytea(5001, 'hello');
SELECT lo_from_bytea(5002, decode('00', 'hex'));
GRANT SELECT ON LARGE OBJECT 5001 TO PUBLIC;
COMMENT ON LARGE OBJECT 5001 IS 'a large object';
"""


def dump(postgres: Postgres, where: Mapping[str, str], *options: str) -> bytes:
    """The stream that the codec is made for."""
    command = [postgres.bin / "pg_dump", "-Fc", "-Z0", *options]
    return subprocess.run(command, env=environment(where), capture_output=True, check=True).stdout


def rewritten(
    stream: bytes, target: Path, codec: Codec = GZIP, *, on_progress: Callable[[Progress], None] = lambda _: None
) -> Archive:
    with target.open("w+b") as file:
        return rewrite(
            io.BytesIO(stream), file, codec=codec, threads=2, check=lambda: None, on_progress=on_progress
        )


def restore(postgres: Postgres, archive: Path, where: Mapping[str, str], *options: str) -> None:
    command = [postgres.bin / "pg_restore", "--exit-on-error", "-d", where["dbname"], *options, archive]
    subprocess.run(command, env=environment(where), capture_output=True, check=True)


def restore_by_recipe(postgres: Postgres, artefact: Artefact, where: Mapping[str, str]) -> None:
    """As the recipe says for a part: what leads out of it is reported, and left out."""
    for schema in schemas(artefact.facts):
        postgres.psql(f'CREATE SCHEMA "{schema}"', where["dbname"])
    for run in passes(artefact.facts):
        command = [postgres.bin / "pg_restore", "-d", where["dbname"], *run.options, artefact.path]
        subprocess.run(command, env=environment(where), capture_output=True, check=False)


def listing(postgres: Postgres, archive: Path) -> str:
    command = [postgres.bin / "pg_restore", "--list", archive]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode()


def script(postgres: Postgres, where: Mapping[str, str]) -> list[bytes]:
    """The whole database as SQL; lines with a random key of each run left out."""
    command = [postgres.bin / "pg_dump", *(["--large-objects"] if postgres.major >= 16 else ["--blobs"])]
    done = subprocess.run(command, env=environment(where), capture_output=True, check=True)
    return [line for line in done.stdout.splitlines() if not line.startswith((b"\\restrict", b"\\unrestrict"))]


def copied(postgres: Postgres, where: Mapping[str, str], copy_from: bytes) -> tuple[int, str]:
    """Bytes and SHA-256 of what the server itself sends for the columns of a ``COPY … FROM stdin``."""
    statement = copy_from.decode().strip().removesuffix("FROM stdin;") + "TO STDOUT"
    command = [postgres.bin / "psql", "-XAtq", "-c", statement]
    done = subprocess.run(command, env={**environment(where), **CONVERSION}, capture_output=True, check=True)
    return len(done.stdout), hashlib.sha256(done.stdout).hexdigest()


def environment(where: Mapping[str, str]) -> dict[str, str]:
    names = {"host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER"}
    return {**os.environ, **{names[key]: str(value) for key, value in where.items()}}


def decoded(archive: bytes) -> tuple[object, Sequence[object], list[object]]:
    """Header without compression, entries without offsets, and all data, by a decoder too simple to be wrong."""
    source = Source(io.BytesIO(archive), lambda: None)
    header = header_format.read(source)
    entries = toc_format.read(source, header.version)
    blocks = []
    while not source.at_end():
        kind, number = source.byte(), source.integer()
        blocks.append((kind, number, _block(source, kind, header.algorithm)))
    plain = [(entry.dump_id, entry.name, entry.kind, entry.copy, entry.definition) for entry in entries]
    return (header.version, header.created, header.database), plain, blocks


def _block(source: Source, kind: int, algorithm: Algorithm) -> object:
    if kind == 1:
        return _data(source, algorithm)
    found = []
    while oid := source.integer():
        found.append((oid, _data(source, algorithm)))
    return found


def _data(source: Source, algorithm: Algorithm) -> bytes:
    chunks = []
    while length := source.integer():
        chunks.append(source.take(length))
    if algorithm is Algorithm.GZIP:
        return zlib.decompress(b"".join(chunks))
    if algorithm is Algorithm.ZSTD:
        return b"".join(zstandard.ZstdDecompressor().decompress(chunk) for chunk in chunks)
    return b"".join(chunks)
