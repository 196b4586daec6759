"""The hash chain of the register's entries: each holds its number, the hash of the one before, and its own.

A hash is SHA-256 over the entry as canonical JSON (RFC 8785): every column but ``hash``, and none that is NULL.
So a column that a later release adds, and that is NULL in older entries, leaves their hashes as they are.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

Value = str | int | None
Row = Mapping[str, Value]

GENESIS = "0" * 64
"""What the first entry holds for the hash of the one before."""

_EXACT = 2**53 - 1  # beyond it, I-JSON wants integers as text (RFC 7493, 2.2, which RFC 8785 builds on)
_HEAD = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})")
_COPIED = ("path", "size_bytes", "sha256", "manifest_sha256", "proof", "state")
REPEATED = (*_COPIED, "row_sha256")
"""The columns in which an entry repeats the row of its snapshot (``about``)."""
_UNNAMED = "a hold, or a column that entries do not repeat"


@dataclass(frozen=True, kw_only=True)
class Head:
    """The newest entry at some moment: who knows it, knows all that came before."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """ValueError unless it is ``SEQUENCE:HASH``."""
        match = _HEAD.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a head; write SEQUENCE:HASH, such as 57:{GENESIS}")
        return cls(sequence=int(match[1]), hash=match[2])


class BreakKind(StrEnum):
    EDITED = "edited"
    REMOVED = "removed"
    REORDERED = "reordered"
    CUT = "tail cut"
    AHEAD = "dated ahead"
    BEFORE = "dated before"


@dataclass(frozen=True, kw_only=True)
class Break:
    """The first entry at which a chain does not hold."""

    kind: BreakKind
    sequence: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Walk:
    """``head``: the last entry that held; None: there is none."""

    head: Head | None
    broken: Break | None = None


def canonical(values: Mapping[str, str | int]) -> bytes:
    """RFC 8785 for a flat object of texts and integers; UnicodeEncodeError for a lone surrogate.

    Python's JSON escapes as its section 3.2.2.2 wants, and keys go by UTF-16 code units (3.2.3).
    """
    exact = {key: value if _is_exact(value) else str(value) for key, value in values.items()}
    ordered = dict(sorted(exact.items(), key=lambda item: item[0].encode("utf-16-be")))
    return json.dumps(ordered, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _is_exact(value: str | int) -> bool:
    return isinstance(value, str) or -_EXACT <= value <= _EXACT


def digest(row: Row) -> str:
    """SHA-256 in hex of what ``row`` holds, but for its own hash."""
    held = {key: value for key, value in row.items() if value is not None and key != "hash"}
    return hashlib.sha256(canonical(held)).hexdigest()


def link(row: Row, *, after: Head | None, sequence: int) -> dict[str, Value]:
    """The row as an entry of the chain."""
    linked = {**row, "sequence": sequence, "previous": after.hash if after else GENESIS}
    return {**linked, "hash": digest(linked)}


def walk(rows: Iterable[Row], *, after: Head | None = None) -> Walk:
    """Follow the chain to its end, or to where it breaks. ``after``: where an earlier walk ended."""
    rest = iter(rows)
    head = after
    for row in rest:
        if broken := _break(row, head, rest):
            return Walk(head=head, broken=broken)
        head = Head(sequence=int(row["sequence"] or 0), hash=str(row["hash"]))
    return Walk(head=head)


def _break(row: Row, before: Head | None, rest: Iterator[Row]) -> Break | None:
    last, sequence = before.sequence if before else 0, int(row["sequence"] or 0)
    if digest(row) != row["hash"]:
        return _changed(row, sequence, most=last + 1 + sum(1 for _ in rest))
    if sequence != last + 1:
        missing = f"entry {last + 1} is" if sequence == last + 2 else f"entries {last + 1} to {sequence - 1} are"
        return Break(kind=BreakKind.REMOVED, sequence=last + 1, reason=f"{missing} not there")
    if row["previous"] != (before.hash if before else GENESIS):
        what = f"entry {sequence} was written after another entry {last} than the one that is there"
        return Break(kind=BreakKind.EDITED, sequence=max(last, 1), reason=what)
    return None


def _changed(row: Row, sequence: int, *, most: int) -> Break:
    """``most``: how many entries there are; a moved one is whole under the number that it had."""
    for number in range(1, most + 1):
        if digest({**row, "sequence": number}) == row["hash"]:
            what = f"what stands at {sequence} was written as entry {number}"
            return Break(kind=BreakKind.REORDERED, sequence=sequence, reason=what)
    what = f"entry {sequence} does not give the hash that it had when it was written"
    return Break(kind=BreakKind.EDITED, sequence=sequence, reason=what)


def about(snapshot: Row) -> dict[str, Value]:
    """What an entry holds of the row of its snapshot, so that a later edit of that row shows.

    ``row_sha256`` covers all of it with the holds in force (``held``), but for the state.
    """
    whole = digest({key: value for key, value in snapshot.items() if key != "state"})
    return {**{key: snapshot.get(key) for key in _COPIED}, "row_sha256": whole}


def altered(snapshot: Row, entry: Row) -> tuple[str, ...]:
    """The columns of a snapshot's row that are not as its newest entry says."""
    expected = {key: value for key, value in about(snapshot).items() if entry.get(key) != value}
    if len(expected) > 1:
        expected.pop("row_sha256", None)
    return tuple(_UNNAMED if key == "row_sha256" else key for key in expected)
