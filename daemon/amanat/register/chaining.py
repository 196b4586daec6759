"""The one place that appends entries: each becomes the next link of the chain (``domain.chain``)."""

import sqlite3
from datetime import datetime

from amanat.domain import chain
from amanat.domain.chain import Head, Value
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.model import Outcome
from amanat.register import rows

HEAD = "SELECT sequence, hash FROM entries ORDER BY sequence DESC LIMIT 1"
COUNTER = "SELECT seq FROM sqlite_sequence WHERE name = 'entries'"  # never goes back (SQLite, autoinc.html)


def append(connection: sqlite3.Connection, entry: Entry) -> None:
    """Within a transaction, after what it tells of was changed: it repeats the row of its snapshot."""
    counter = connection.execute(COUNTER).fetchone()
    sequence = (counter["seq"] if counter else 0) + 1
    last = head_of(connection.execute(HEAD).fetchone())
    row = {**rows.entry_row(entry), **_repeated(connection, entry.snapshot)}
    rows.insert(connection, "entries", chain.link(row, after=last, sequence=sequence))


def head_of(row: sqlite3.Row | None) -> Head | None:
    return Head(sequence=row["sequence"], hash=row["hash"]) if row else None


def _repeated(connection: sqlite3.Connection, snapshot: Value) -> dict[str, Value]:
    row = snapshot and connection.execute(f"{rows.SNAPSHOTS} id = ?", (snapshot,)).fetchone()
    return chain.about(dict(row)) if row else {}


def chain_what_is_there(connection: sqlite3.Connection, now: datetime) -> None:
    """Part of migration 3: the entries of before are chained in their order, and an entry says so.

    Only the newest about a snapshot repeats its row; what that row said at the others nobody knows.
    """
    numbers = [row["sequence"] for row in connection.execute("SELECT sequence FROM entries ORDER BY sequence")]
    last: Head | None = None
    for number in numbers:
        last = _relink(connection, number, last)
    if last:
        connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'entries'", (last.sequence,))
        append(connection, _note(now, count=last.sequence, gaps=numbers[-1] - last.sequence))


def _relink(connection: sqlite3.Connection, number: int, last: Head | None) -> Head:
    old = dict(connection.execute("SELECT * FROM entries WHERE sequence = ?", (number,)).fetchone())
    newest = connection.execute("SELECT max(sequence) FROM entries WHERE snapshot = ?", (old["snapshot"],))
    repeated = _repeated(connection, old["snapshot"]) if newest.fetchone()[0] == number else {}
    linked = chain.link({**old, **repeated}, after=last, sequence=last.sequence + 1 if last else 1)
    settings = ", ".join(f"{column} = :{column}" for column in linked)
    connection.execute(f"UPDATE entries SET {settings} WHERE sequence = :number", {**linked, "number": number})  # noqa: S608 - our names
    return Head(sequence=int(linked["sequence"] or 0), hash=str(linked["hash"]))


def _note(now: datetime, *, count: int, gaps: int) -> Entry:
    missing = f"; {gaps} numbers were missing among them" if gaps else ""
    detail = f"the {count} entries before this one were chained when amanat was updated{missing}"
    return Entry(at=now, by="amanat", kind=EntryKind.CHAIN, database="", outcome=Outcome.SUCCEEDED, detail=detail)
