"""Rows that came out in another order are the same rows.

PostgreSQL keeps no order: a restore may put a long row into a gap that the original had not. Where a table's
count and bytes are as they were and its digest is not, its rows are compared with those of the archive as a
multiset; and the archive's must be those that the facts know.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from amanat.archive import Entry, printable
from amanat.domain.errors import IntegrityError
from amanat.domain.model import Facts, TableRows
from amanat.engines.postgresql.clients import ENVIRONMENT, Client
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.rehearsing import rows
from amanat.host import process
from amanat.ports.run import Control

_END_OF_ROWS = b"\\.\n"
_READ_BYTES = 256 * 1024
_SUMS = 2**256


@dataclass(frozen=True)
class Reading:
    """Where the rows of both sides can be read once more. ``entries``: the archive's contents."""

    asked: Session
    client: Client
    artefact: Path
    entries: Sequence[Entry]
    control: Control


def settled(found: Iterable[TableRows], facts: Facts, reading: Reading) -> tuple[TableRows, ...]:
    """``found``, with the expected digest wherever only the order is another."""
    expected = {(table.schema, table.name): table for table in facts.rows}
    return tuple(_settled(table, expected.get((table.schema, table.name)), reading) for table in found)


def _settled(found: TableRows, expected: TableRows | None, reading: Reading) -> TableRows:
    if expected is None or found.sha256 == expected.sha256 or _size(found) != _size(expected):
        return found
    entry = next((entry for entry in reading.entries if entry.copy and _is_of(entry, found)), None)
    if entry is None:
        return found
    live, kept = _Sum(), _Sum()
    rows.copy_of(reading.asked, entry, live.add)
    _of_archive(entry, reading, kept.add)
    return expected if live.total == kept.total and kept.in_order == expected.sha256 else found


def _size(table: TableRows) -> tuple[int, int]:
    return table.rows, table.bytes


def _is_of(entry: Entry, table: TableRows) -> bool:
    return (printable(entry.schema), printable(entry.name)) == (table.schema, table.name)


class _Sum:
    """``total``: of the hashes of rows, the same for the same rows in any order."""

    def __init__(self) -> None:
        self.total = 0
        self._sha256 = hashlib.sha256()

    @property
    def in_order(self) -> str:
        return self._sha256.hexdigest()

    def add(self, row: bytes) -> None:
        self._sha256.update(row)
        self.total = (self.total + int.from_bytes(hashlib.sha256(row).digest())) % _SUMS


def _of_archive(entry: Entry, reading: Reading, take: Callable[[bytes], None]) -> None:
    """As pg_restore writes them out, between COPY and the end mark."""
    with NamedTemporaryFile("w", prefix="amanat-", suffix=".list") as chosen:
        chosen.write(f"{entry.dump_id};\n")
        chosen.flush()
        options = ("--file=-", f"--use-list={chosen.name}")
        argv: tuple[str | Path, ...] = (reading.client.tool("pg_restore"), *options, reading.artefact)
        with process.streaming(argv, control=reading.control, env=ENVIRONMENT) as output:
            _rows_between(output, take)
            while output.read(_READ_BYTES):
                pass
            finished = output.finish()
    if finished.returncode:
        raise IntegrityError(
            f"{reading.artefact.name}: pg_restore {finished.how}: {finished.stderr[-300:]}",
            hint="restore another snapshot",
        )


def _rows_between(output: process.Stream, take: Callable[[bytes], None]) -> None:
    within = False
    for line in _lines(output):
        if within and line == _END_OF_ROWS:
            return
        if within:
            take(line)
        within = within or line.startswith(b"COPY ")


def _lines(output: process.Stream) -> Iterable[bytes]:
    rest = b""
    while data := output.read(_READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line + b"\n" for line in lines)
