"""The one pass of a PostgreSQL snapshot: what it counts, how it compresses, and how it ends when pg_dump does not."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta

import pytest

from amanat import archive
from amanat.archive import Algorithm, header
from amanat.archive.wire import Source
from amanat.domain.errors import (
    AmanatError,
    ConfigurationError,
    IntegrityError,
    InterruptedRunError,
    TimeoutExceededError,
    ToolError,
)
from amanat.domain.model import Scope
from amanat.domain.policy import CodecName, Compression
from amanat.engines.postgresql import PostgresqlProver
from amanat.host.control import RunControl
from tests.contract.engine_contract import Recording, make_order
from tests.support.postgres import MAJORS
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import clients_with, engine_for, restored_rows

ROWS = 20_000
TABLES = f"""
CREATE TABLE users AS SELECT n AS id, md5(n::text) || E'\\t\\n\\\\' AS name FROM generate_series(1, {ROWS}) n;
CREATE TABLE "a ""b"".c" (id serial PRIMARY KEY, "ş" text);
INSERT INTO "a ""b"".c" ("ş") VALUES (NULL), ('\\.'), (E'\\\\N');
SELECT lo_from_bytea(0, 'large'), lo_from_bytea(0, '');
"""
COUNTED = {"users": ROWS, 'a "b".c': 3}
OTHER_BLOCK = """
import io, sys
from amanat.archive import header, toc
from amanat.archive.wire import Source
data = bytearray(sys.stdin.buffer.read())
source = Source(io.BytesIO(data), lambda: None)
toc.read(source, header.read(source).version)
data[source.position] = 7
sys.stdout.buffer.write(data)
"""
TO_FILE_AS_EVER = 'case "$*" in *--file=*) exec "$real" "$@" ;; esac\n'


@pytest.fixture
def control():
    return RunControl(timeout=timedelta(seconds=60))


@pytest.fixture(params=(MAJORS[0], MAJORS[-1]), ids=lambda major: f"pg{major}")
def oldest_and_newest(postgres_workspace, request):
    postgres = Postgres(postgres_workspace.server(request.param))
    yield postgres
    postgres.close()


def algorithm_of(path):
    """As the archive's own header names it."""
    with path.open("rb") as file:
        return header.read(Source(file, lambda: None)).algorithm


def take(postgres, database, base, control, *, client=None, **fields):
    engine = engine_for(postgres, database, **({"client": client} if client else {}))
    return engine.take(make_order(base, **fields), control)


def test_rows_bytes_and_hash_are_those_of_copy(oldest_and_newest, tmp_path, control):
    postgres = oldest_and_newest
    database = postgres.database(sql=TABLES)
    facts = take(postgres, database, tmp_path, control).facts
    assert {table.name: table.rows for table in facts.rows} == COUNTED
    assert facts.extra["large_objects"] == 2
    for table in facts.rows:
        quoted = table.name.replace('"', '""')
        command = [postgres.bin / "psql", *postgres.server.where, "-Xqd", database["dbname"]]
        copied = subprocess.run(
            [*command, "-c", f'COPY public."{quoted}" TO STDOUT'], check=True, capture_output=True
        ).stdout
        assert (table.bytes, table.sha256) == (len(copied), hashlib.sha256(copied).hexdigest())


def test_progress_names_the_tables_and_grows(postgres, tmp_path):
    control = Recording()
    take(postgres, postgres.database(sql=TABLES), tmp_path, control)
    assert {"users", 'a "b".c'} <= {progress.table for progress in control.told}
    done = [progress.bytes_done for progress in control.told]
    assert done == sorted(done)
    assert done[-1] > ROWS * 32


@pytest.mark.parametrize(
    ("compression", "algorithm"),
    [
        (Compression(), None),
        (Compression(codec=CodecName.GZIP, level=9), Algorithm.GZIP),
        (Compression(codec=CodecName.NONE), Algorithm.NONE),
    ],
)
def test_the_codec_is_the_policys_or_what_the_readers_know(
    oldest_and_newest, tmp_path, control, compression, algorithm
):
    postgres = oldest_and_newest
    if algorithm is None:
        algorithm = Algorithm.ZSTD if postgres.major >= 16 else Algorithm.GZIP
    artefact = take(postgres, postgres.database(sql=TABLES), tmp_path, control, compression=compression)
    assert algorithm_of(artefact.path) == algorithm
    assert restored_rows(postgres, artefact) == COUNTED


def test_zstd_is_refused_where_no_reader_knows_it(postgres, tmp_path, control):
    zstd = Compression(codec=CodecName.ZSTD)
    with pytest.raises(ConfigurationError, match=r"archives of pg_dump 15.* have none") as failure:
        take(postgres, postgres.database(sql=TABLES), tmp_path, control, compression=zstd)
    assert "auto" in failure.value.hint


def test_a_reader_built_without_zstd_gets_gzip(postgres_workspace, tmp_path, control):
    postgres = Postgres(postgres_workspace.server(MAJORS[-1]))
    warns = (
        'case "$*" in *--list*) echo "pg_restore: warning: archive is compressed, but this installation'
        ' does not support compression" >&2 ;; esac\nexec "$real" "$@"'
    )
    client = clients_with(tmp_path / "client", postgres.bin, pg_restore=warns)
    database = postgres.database(sql=TABLES)
    (tmp_path / "auto").mkdir()
    artefact = take(postgres, database, tmp_path / "auto", control, client=client)
    assert algorithm_of(artefact.path) == Algorithm.GZIP
    (tmp_path / "zstd").mkdir()
    with pytest.raises(ConfigurationError, match="pg_restore was built without it"):
        zstd = Compression(codec=CodecName.ZSTD)
        take(postgres, database, tmp_path / "zstd", control, client=client, compression=zstd)
    postgres.close()


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        (r"1s/^PGDMP\x01./PGDMP\x01\x11/", "archive version 1.17.0"),
        (r"1s/^\(PGDMP...\).../\1\x04\x08\x05/", "sizes and format"),
    ],
    ids=["a version to come", "another format"],
)
def test_what_the_codec_does_not_know_pg_dump_writes_by_itself(
    oldest_and_newest, tmp_path, control, patch, reason
):
    """The pipe carries an archive of the future; the file that is left is good, and says how it came about."""
    postgres = oldest_and_newest
    changed = TO_FILE_AS_EVER + f'"$real" "$@" | LC_ALL=C sed -b \'{patch}\''
    client = clients_with(tmp_path / "client", postgres.bin, pg_dump=changed)
    (tmp_path / "run").mkdir()
    artefact = take(postgres, postgres.database(sql=TABLES), tmp_path / "run", control, client=client)
    assert artefact.fallback
    assert any(reason in warning for warning in artefact.warnings)
    assert artefact.facts.rows == ()
    assert artefact.sha256 == hashlib.sha256(artefact.path.read_bytes()).hexdigest()
    assert restored_rows(postgres, artefact) == COUNTED
    prover = PostgresqlProver(extra_client_folders=(postgres.bin,))
    prover.prove_readable(artefact.path, artefact.facts, Scope(), control)


def test_an_archive_that_is_not_what_was_compressed_is_found(postgres, tmp_path, control, monkeypatch):
    real = archive.rewrite

    def spoilt(source, target, **options):
        written = real(source, target, **options)
        target.seek(-7, os.SEEK_END)
        byte = target.read(1)[0]
        target.seek(-7, os.SEEK_END)
        target.write(bytes([byte ^ 1]))
        return written

    monkeypatch.setattr(archive, "rewrite", spoilt)
    with pytest.raises(IntegrityError, match="does not read back as it was written"):
        take(postgres, postgres.database(sql=TABLES), tmp_path, control)


def test_an_unknown_block_in_mid_stream_falls_back_too(postgres, tmp_path, control):
    """Half of the file was written by then; none of it stays."""
    patch = tmp_path / "patch.py"
    patch.write_text(OTHER_BLOCK)
    changed = f'{TO_FILE_AS_EVER}"$real" "$@" | {sys.executable} {patch}'
    client = clients_with(tmp_path / "client", postgres.bin, pg_dump=changed)
    (tmp_path / "run").mkdir()
    artefact = take(postgres, postgres.database(sql=TABLES), tmp_path / "run", control, client=client)
    assert any("data block of type 7" in warning for warning in artefact.warnings)
    assert restored_rows(postgres, artefact) == COUNTED


@pytest.mark.parametrize(
    ("script", "kind", "message"),
    [
        ('"$real" "$@" | head -c 300000', AmanatError, "the archive ends early"),
        ('"$real" "$@"; echo "pg_dump: error: no luck" >&2; exit 1', ToolError, "exited with 1: .*no luck"),
        ('"$real" "$@" | head -c 300000; kill -KILL $$', ToolError, "was killed by SIGKILL"),
        ("exit 0", AmanatError, "the archive ends early"),
        ("echo nonsense; exit 1", ToolError, "exited with 1"),
    ],
    ids=["cut off, exit code 0", "whole, exit code 1", "killed", "nothing at all", "no archive, exit code 1"],
)
def test_a_dump_that_is_not_whole_fails_whatever_else_it_says(postgres, tmp_path, control, script, kind, message):
    client = clients_with(tmp_path / "client", postgres.bin, pg_dump=script)
    (tmp_path / "run").mkdir()
    with pytest.raises(kind, match=message) as failure:
        take(postgres, postgres.database(sql=TABLES), tmp_path / "run", control, client=client)
    assert failure.value.hint


HANGING = """echo $$ > {pid}
"$real" "$@" | head -c 300000
exec sleep 60"""


def test_a_dump_that_stops_writing_ends_with_the_timeout(postgres, tmp_path):
    pid, client = hanging_client(postgres, tmp_path)
    began = time.monotonic()
    with pytest.raises(TimeoutExceededError):
        take(
            postgres,
            postgres.database(sql=TABLES),
            tmp_path / "run",
            RunControl(timeout=timedelta(seconds=3)),
            client=client,
        )
    assert time.monotonic() - began < 10
    assert is_gone(int(pid.read_text()))


def test_a_stop_ends_a_dump_that_stops_writing(postgres, tmp_path):
    pid, client = hanging_client(postgres, tmp_path)
    stop = threading.Event()

    def stop_soon():
        while not pid.exists():
            time.sleep(0.05)
        stop.set()

    thread = threading.Thread(target=stop_soon)
    thread.start()
    with pytest.raises(InterruptedRunError):
        take(postgres, postgres.database(sql=TABLES), tmp_path / "run", RunControl(stop=stop), client=client)
    thread.join()
    assert is_gone(int(pid.read_text()))


def hanging_client(postgres, base):
    (base / "run").mkdir()
    pid = base / "pid"
    return pid, clients_with(base / "client", postgres.bin, pg_dump=HANGING.format(pid=pid))


def is_gone(pid):
    for _ in range(100):
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            time.sleep(0.05)
            continue
        return True
    os.kill(pid, signal.SIGKILL)
    return False
