"""Reading the chain: as it is stored, so that who checks it sees what lies on the disk."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from amanat.domain import chain
from amanat.domain.chain import Head, Row, Value
from amanat.domain.entry import Entry, EntryKind
from amanat.register import rows
from amanat.register.chaining import COUNTER, HEAD, head_of
from amanat.register.connection import RegisterDatabase

_PAGE = 1000
_ENTRY = "entry_"
_REPEATED = ", ".join(f"entries.{column} AS {_ENTRY}{column}" for column in ("sequence", *chain.REPEATED))
_SUBJECTS = f"""
    SELECT subject.*, {_REPEATED}
    FROM ({rows.SNAPSHOTS} id > :after ORDER BY id LIMIT {_PAGE}) AS subject
    LEFT JOIN entries ON entries.sequence = (SELECT max(sequence) FROM entries WHERE snapshot = subject.id)
    ORDER BY subject.id
"""  # noqa: S608 - columns of ours
_ORPHANS = """
    SELECT DISTINCT snapshot FROM entries
    WHERE snapshot IS NOT NULL AND NOT EXISTS (SELECT 1 FROM snapshots WHERE id = entries.snapshot)
    ORDER BY snapshot
"""


def head(register: RegisterDatabase) -> Head | None:
    return head_of(next(iter(register.query(HEAD)), None))


def last_number(register: RegisterDatabase) -> int:
    return next((int(row["seq"]) for row in register.query(COUNTER)), 0)


def hash_at(register: RegisterDatabase, sequence: int) -> str | None:
    found = register.query("SELECT hash FROM entries WHERE sequence = ?", (sequence,))
    return str(found[0]["hash"]) if found else None


def each(register: RegisterDatabase, *, snapshot: str | None) -> Iterator[Entry]:
    """In pages (see ``register.snapshots``)."""
    wanted, after = "snapshot = :snapshot" if snapshot else "true", 0
    while page := register.query(
        f"SELECT * FROM entries WHERE {wanted} AND sequence > :after ORDER BY sequence LIMIT {_PAGE}",  # noqa: S608
        {"snapshot": snapshot, "after": after},
    ):
        with rows.understood():
            found = [rows.entry_of(row) for row in page]
        yield from found
        after = page[-1]["sequence"]


def of_kinds(register: RegisterDatabase, databases: Sequence[str], kinds: Sequence[EntryKind]) -> list[Entry]:
    marks = [", ".join("?" for _ in values) for values in (kinds, databases)]
    found = register.query(
        f"SELECT * FROM entries WHERE kind IN ({marks[0]}) AND database IN ({marks[1]}) ORDER BY sequence DESC",  # noqa: S608
        (*kinds, *databases),
    )
    with rows.understood():
        return [rows.entry_of(row) for row in found]


def stored(
    register: RegisterDatabase, *, after: int, since: datetime | None, until: datetime | None
) -> Iterator[Row]:
    named: dict[str, object] = {
        "page": _PAGE,
        "after": after,
        "since": rows.optional_time_text(since),
        "until": rows.optional_time_text(until),
    }
    while page := register.query(
        "SELECT * FROM entries WHERE sequence > :after AND (:since IS NULL OR at >= :since)"
        " AND (:until IS NULL OR at < :until) ORDER BY sequence LIMIT :page",
        named,
    ):
        yield from map(dict, page)
        named["after"] = page[-1]["sequence"]


def subjects(register: RegisterDatabase) -> Iterator[tuple[Row, Row | None]]:
    after = ""
    while page := register.query(_SUBJECTS, {"after": after}):
        yield from (_split(dict(row)) for row in page)
        after = page[-1]["id"]


def _split(row: dict[str, Value]) -> tuple[Row, Row | None]:
    snapshot = {key: value for key, value in row.items() if not key.startswith(_ENTRY)}
    entry = {key.removeprefix(_ENTRY): value for key, value in row.items() if key.startswith(_ENTRY)}
    return snapshot, None if entry["sequence"] is None else entry


def orphans(register: RegisterDatabase) -> list[str]:
    return [row["snapshot"] for row in register.query(_ORPHANS)]
