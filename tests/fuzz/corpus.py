"""Archives to begin with: real ones of each format version, small enough to be damaged thousands of times."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from amanat.archive import Version
from tests.fuzz.archive_mutations import Seed, seed
from tests.support.archive_streams import small
from tests.support.postgres import binaries
from tests.support.postgres_server import Server, Workspace

MAJORS = (15, 16, 18)  # formats 1.14, 1.15 and 1.16
NEWEST = MAJORS[-1]

_SQL = r"""
CREATE SCHEMA "o""dd";
CREATE TYPE "o""dd".mood AS ENUM ('low', 'high');
CREATE TABLE "o""dd"."tab
le 表" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m "o""dd".mood, "co l" text);
INSERT INTO "o""dd"."tab
le 表" (m, "co l") SELECT 'low', 'value ' || n FROM generate_series(1, 30) n;
CREATE TABLE empty (id int);
CREATE TABLE no_columns ();
INSERT INTO no_columns DEFAULT VALUES;
CREATE TABLE specials (v text);
INSERT INTO specials VALUES (''), (NULL), ('\.'), (E'\\.\n\n\n'), (E'\t\\\b\f\v\r\n'), ('\N'), (repeat('long ', 500));
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
INSERT INTO parted SELECT generate_series(0, 9);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM parted;
COMMENT ON TABLE empty IS 'It''s empty';
SELECT lo_from_bytea(4000000000, '\x00ff0a5c');
SELECT lo_from_bytea(5000, '');
SELECT lo_from_bytea(5001, 'hello');
"""
_OPTIONS = ((), ("-t", "specials"), ("--section=data",), ("--inserts",))
_SHARED_OUT = (("--exclude-table-data=specials",), ("--section=data", "-t", "specials"))


def pg_restore() -> Path:
    return binaries(NEWEST) / "pg_restore"


def archives(folder: Path) -> list[Seed]:
    """Those in the folder, which is filled first when it is not there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for name, data in _made():
            (folder / name).write_bytes(data)
    return [seed(path.read_bytes()) for path in sorted(folder.iterdir())]


def pairs() -> list[tuple[Seed, Seed]]:
    """Two streams of one database that make one archive together, of each major."""
    workspace = Workspace()
    try:
        servers = [workspace.server(major) for major in MAJORS]
        return [tuple(seed(data) for _, data in _of(server, _SHARED_OUT)) for server in servers]
    finally:
        workspace.close()


def _made() -> Iterator[tuple[str, bytes]]:
    for version in Version:
        yield f"small-{version}.dump", small(version)
    workspace = Workspace()
    try:
        for major in MAJORS:
            yield from _of(workspace.server(major))
    finally:
        workspace.close()


def _of(server: Server, wanted: Sequence[Sequence[str]] = _OPTIONS) -> Iterator[tuple[str, bytes]]:
    server.psql("CREATE DATABASE corpus TEMPLATE template0")
    server.psql(_SQL, "corpus")
    for number, options in enumerate(wanted):
        command = [server.bin / "pg_dump", *server.where, "-Fc", "-Z0", *options, "corpus"]
        done = subprocess.run(command, check=True, capture_output=True)
        yield f"{server.major}-{number}.dump", done.stdout
