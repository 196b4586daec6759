"""Any database comes back from its snapshot by the stock pg_restore, and the rows are those that were told of.

A few for each major here; ``make roundtrip CASES=400`` tries so many for each, and makes what fails smaller.
"""

import contextlib
import hashlib
import os
import secrets
import time
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from amanat.domain.model import Scope
from amanat.domain.policy import CodecName, Compression
from amanat.engines.postgresql import PostgresqlProver
from amanat.engines.postgresql.dumping import parallel
from amanat.host.control import RunControl
from amanat.ports.engine import Order
from tests.support import archives
from tests.support.archive_judge import judged
from tests.support.postgres_subject import engine_for
from tests.support.random_databases import databases
from tests.support.restored import compared, told

CASES = int(os.environ.get("AMANAT_ROUNDTRIP_CASES", "0"))
SEED = int(os.environ.get("AMANAT_ROUNDTRIP_SEED", "0"))
TRIALS = {
    "max_examples": CASES or 6,
    "phases": [Phase.generate, *([Phase.shrink] if CASES else [])],  # shrinking takes minutes
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}
ONE_CASE = timedelta(seconds=120)
LEVELS = {CodecName.GZIP: 9, CodecName.ZSTD: 6, CodecName.NONE: 1, CodecName.AUTO: 3}


class RoundTrip:
    """Databases of one server, on their way out and back."""

    def __init__(self, postgres, admin, folder):
        self._postgres = postgres
        self._folder = folder
        self._admin = admin
        self.databases = self.tables = self.rows = 0

    def check(self, statements, restore, **order):
        with self._database() as source, self._database() as copy, self._scratch() as folder:
            with psycopg.connect(**source, autocommit=True) as connection:
                for statement in statements:
                    connection.execute(statement)
            taken = self._take(source, folder, order)
            self._compare_rows(source, taken)
            restore(self._postgres, taken.path, copy)
            assert _sorted(archives.script(self._postgres, copy)) == _sorted(
                archives.script(self._postgres, source)
            )
            assert told(compared(copy, taken, folder)) == []
        self.databases += 1

    def _take(self, source, folder, order):
        taken = engine_for(self._postgres, source).take(
            Order(folder=folder, scratch=folder, globals=False, **order), RunControl(timeout=ONE_CASE)
        )
        assert not taken.fallback and not taken.warnings
        prover = PostgresqlProver(extra_client_folders=(self._postgres.bin,))
        prover.prove_readable(taken.path, taken.facts, Scope(), RunControl(timeout=ONE_CASE))
        return taken

    def _compare_rows(self, source, taken):
        """What the facts say of each table, what its data in the archive are, and what the server sends."""
        told = {(rows.schema, rows.name): (rows.rows, rows.bytes, rows.sha256) for rows in taken.facts.rows}
        archive = judged(taken.path.read_bytes())
        tables = {entry.number: entry for entry in archive.entries if entry.copy}
        with psycopg.connect(**source, options=archives.CONVERSION["PGOPTIONS"]) as connection:
            for block in archive.blocks:
                if entry := tables.pop(block.number, None):
                    sent = _sent(connection, entry.copy)
                    assert block.data == sent + b"\\.\n\n\n"
                    name = (entry.schema.decode(), entry.name.decode())
                    assert told.pop(name) == (sent.count(b"\n"), len(sent), hashlib.sha256(sent).hexdigest())
                    self.tables, self.rows = self.tables + 1, self.rows + sent.count(b"\n")
        assert not told and not tables

    @contextlib.contextmanager
    def _database(self):
        name = f"trip_{secrets.token_hex(4)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self._postgres.server.conninfo(name)
        finally:
            self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextlib.contextmanager
    def _scratch(self):
        folder = self._folder / secrets.token_hex(4)
        folder.mkdir()
        try:
            yield folder
        finally:
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()


def _sent(connection, copy_from):
    with (
        connection.cursor() as cursor,
        cursor.copy(copy_from.decode().strip().removesuffix("FROM stdin;") + "TO STDOUT") as copy,
    ):
        return b"".join(copy)


def _sorted(script):
    """The rows of each table sorted: a server that is given them may fill gaps of earlier pages with later rows."""
    found, start = list(script), None
    for at, line in enumerate(script):
        if start is not None and line == b"\\.":
            found[start:at] = sorted(found[start:at])
            start = None
        elif start is None and line.endswith(b" FROM stdin;"):
            start = at + 1
    return found


def whole(postgres, archive, copy):
    archives.restore(postgres, archive, copy)


def two_at_once(postgres, archive, copy):
    archives.restore(postgres, archive, copy, "-j2")


def by_section(postgres, archive, copy):
    for section in ("pre-data", "data", "post-data"):
        archives.restore(postgres, archive, copy, f"--section={section}")


def tables_backwards(postgres, archive, copy):
    """By a list in which the data of the tables stand the other way round: found by their offsets."""
    lines = archives.listing(postgres, archive).split("\n")
    data = [line for line in lines if " TABLE DATA " in line]
    backwards = iter(data[::-1])
    order = archive.with_name("order")
    order.write_text("\n".join(next(backwards) if line in data else line for line in lines))
    archives.restore(postgres, archive, copy, "-L", order)


def table_by_table(postgres, archive, copy):
    """Each by its name, then what else the section holds."""
    rest = archive.with_name("rest")
    lines = archives.listing(postgres, archive).split("\n")
    rest.write_text("\n".join(line for line in lines if " TABLE DATA " not in line))
    archives.restore(postgres, archive, copy, "--section=pre-data")
    for entry in judged(archive.read_bytes()).entries:
        if entry.copy:
            name = ("-n", entry.schema.decode(), "-t", entry.name.decode())
            archives.restore(postgres, archive, copy, "--section=data", *name)
    archives.restore(postgres, archive, copy, "--section=data", "-L", rest)
    archives.restore(postgres, archive, copy, "--section=post-data")


WAYS = (whole, two_at_once, by_section, tables_backwards, table_by_table)


def compressions(major):
    codecs = [codec for codec in LEVELS if codec is not CodecName.ZSTD or major >= 16]
    return st.sampled_from(codecs).flatmap(
        lambda codec: st.builds(Compression, codec=st.just(codec), level=st.none() | st.integers(1, LEVELS[codec]))
    )


@pytest.mark.slow
@pytest.mark.timeout(0 if CASES else 300)
def test_a_random_database_comes_back(postgres_matrix, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(parallel, "_WORTH_A_CONNECTION", 1)  # random tables are small
    major, started = postgres_matrix.major, time.monotonic()

    @seed(SEED * 100 + major)
    @settings(**TRIALS)
    @given(databases(major), compressions(major), st.sampled_from([1, 1, 2, 3]), st.sampled_from(WAYS))
    def trips(statements, compression, connections, restore):
        trip.check(statements, restore, compression=compression, parallel=connections)

    with psycopg.connect(**postgres_matrix.server.conninfo("postgres"), autocommit=True) as admin:
        trip = RoundTrip(postgres_matrix, admin, tmp_path)
        trips()
    if CASES:
        with capsys.disabled():
            print(
                f"\nPostgreSQL {major}: {trip.databases} databases, {trip.tables} tables, {trip.rows} rows "
                f"in {time.monotonic() - started:.0f} s"
            )
