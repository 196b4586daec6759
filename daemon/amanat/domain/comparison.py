"""What was in a database when its snapshot was taken, against what stands in one restored from it: by object."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from amanat.domain.description import INFORMATIONAL, DatabaseObject, Description, LargeObjects
from amanat.domain.model import Facts, TableRows
from amanat.domain.scope import Table
from amanat.domain.sql_check import SqlCheck, text_of

_SHOWN_CHARACTERS = 200
_OF_THE_SERVER = {"extension", "version of collation"}
_QUESTION = "check"
_WHOLES = {"schema", "table", "foreign table", "view", "materialized view", "sequence", "collation"}


class Finding(StrEnum):
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    DIFFERS = "differs"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``within``: the table or schema it belongs to. ``expected`` and ``found``: short texts for people."""

    kind: str
    name: str
    finding: Finding
    within: str = ""
    expected: str = ""
    found: str = ""

    def describe(self) -> str:
        """Such as ``index public.users.users_email: missing``."""
        what = " ".join(filter(None, (self.kind, self.name)))
        differs = f"expected {self.expected}, found {self.found}"
        return f"{what}: {differs if self.finding is Finding.DIFFERS else self.finding}"


@dataclass(frozen=True, kw_only=True)
class Content:
    """``rows`` and ``large_objects`` None: nobody has read them."""

    description: Description | None
    rows: tuple[TableRows, ...] | None
    large_objects: LargeObjects | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """``not_compared``: what could not be, in words; a restore is proven only as far as this list is empty.

    ``caveats``: what was compared less closely than it might be.
    """

    differences: tuple[Difference, ...]
    not_compared: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    def with_more(self, differences: Iterable[Difference]) -> "Comparison":
        return replace(self, differences=(*self.differences, *differences))

    def but(self, excused: Callable[[Difference], bool]) -> "Comparison":
        return replace(self, differences=tuple(item for item in self.differences if not excused(item)))

    @property
    def is_drift(self) -> bool:
        """All that differs is of the server it was restored on, and not of the snapshot."""
        return all(item.kind in _OF_THE_SERVER for item in self.differences)

    @property
    def is_answer(self) -> bool:
        """All that was taken is there; it is a question of the user's own that had another answer."""
        return all(item.kind == _QUESTION for item in self.differences)


def answered(check: SqlCheck, rows: Sequence[Sequence[object]]) -> Difference | None:
    """What is wrong with an answer; None: it is as expected."""
    if len(rows) != 1 or len(rows[0]) != 1:
        return unanswered(check, f"{len(rows)} rows of {len(rows[0]) if rows else 0} columns")
    (found,) = rows[0]
    return None if check.expect.is_met_by(found) else unanswered(check, text_of(found))


def unanswered(check: SqlCheck, found: str) -> Difference:
    return Difference(
        kind=_QUESTION, name=check.sql, finding=Finding.DIFFERS, expected=str(check.expect), found=found
    )


def content_of(facts: Facts) -> Content:
    count, sha256 = facts.extra.get("large_objects"), facts.extra.get("large_objects_sha256")
    known = (
        LargeObjects(count=count, sha256=sha256) if isinstance(count, int) and isinstance(sha256, str) else None
    )
    return Content(
        description=facts.description,
        rows=facts.rows if facts.rows or not facts.tables else None,
        large_objects=known,
    )


def compare(expected: Content, found: Content, *, roles: bool = False) -> Comparison:
    """``roles``: whether owners and grants were restored, and so have to be as they were."""
    differences: list[Difference] = []
    gaps: list[str] = []
    for what, of_kind in (
        ("the schema", _schemas(expected, found, roles=roles)),
        ("rows of tables", _rows(expected.rows, found.rows)),
        ("large objects", _large_objects(expected.large_objects, found.large_objects)),
    ):
        if of_kind is None:
            gaps.append(f"{what}: not told of on one side")
        else:
            differences += of_kind
    return Comparison(
        differences=tuple(_without_parts(differences)),
        not_compared=tuple(gaps),
        caveats=tuple(_dialects(expected, found)),
    )


def _dialects(expected: Content, found: Content) -> list[str]:
    if not expected.description or not found.description or _same_dialect(expected.description, found.description):
        return []
    return [f"definitions: {expected.description.dialect} and {found.description.dialect} print them differently"]


def _same_dialect(expected: Description, found: Description) -> bool:
    return expected.dialect == found.dialect


def _schemas(expected: Content, found: Content, *, roles: bool) -> list[Difference] | None:
    ours, theirs = expected.description, found.description
    if ours is None or theirs is None:
        return None
    left_out = frozenset() if roles else INFORMATIONAL
    return [
        *_objects(ours, theirs, left_out),
        *_sequences(ours, theirs),
        *_collations(ours.collations, theirs.collations),
    ]


def _objects(expected: Description, found: Description, left_out: Collection[str]) -> Iterator[Difference]:
    ours, theirs = _by_place(expected, left_out), _by_place(found, left_out)
    by_definition = _same_dialect(expected, found)
    for place in sorted({*ours, *theirs}):
        if place not in theirs:
            yield _object(ours[place], Finding.MISSING)
        elif place not in ours:
            yield _object(theirs[place], Finding.UNEXPECTED)
        elif by_definition and ours[place].mark != theirs[place].mark:
            said = {"expected": _shown(ours[place]), "found": _shown(theirs[place])}
            yield _object(ours[place], Finding.DIFFERS, **said)


def _by_place(description: Description, left_out: Collection[str]) -> dict[tuple[str, str, str], DatabaseObject]:
    return {item.place: item for item in description.objects if item.kind not in left_out}


def _object(item: DatabaseObject, finding: Finding, **said: str) -> Difference:
    return Difference(kind=item.kind, name=item.qualified, within=item.within, finding=finding, **said)


def _shown(item: DatabaseObject) -> str:
    text = " ".join(item.definition.split())
    if item.is_marked:
        return f"a definition with {text}"
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…")


def _sequences(expected: Description, found: Description) -> Iterator[Difference]:
    """One that is ahead is well: an application may have drawn numbers while the dump was being made, and they
    are no part of any transaction (manual, "Sequence Manipulation Functions"). One behind would give out numbers
    that are in use.
    """
    for name, number in sorted(expected.sequences.items()):
        if name not in found.sequences:
            yield Difference(kind="value of sequence", name=name, within=name, finding=Finding.MISSING)
            continue
        restored = found.sequences[name]
        if restored > number if name in expected.descending else restored < number:
            said = {"expected": f"{number} as the next", "found": str(restored)}
            yield Difference(kind="value of sequence", name=name, within=name, finding=Finding.DIFFERS, **said)


def _collations(expected: Mapping[str, str], found: Mapping[str, str]) -> Iterator[Difference]:
    """A library that numbers none, such as musl's, is another one too; where none was known, none is expected."""
    for name in sorted(expected):
        if expected[name] != found.get(name):
            said = {"expected": expected[name], "found": found.get(name, "none")}
            yield Difference(kind="version of collation", name=name, within=name, finding=Finding.DIFFERS, **said)


def _rows(expected: Iterable[TableRows] | None, found: Iterable[TableRows] | None) -> list[Difference] | None:
    if expected is None or found is None:
        return None
    ours, theirs = _by_name(expected), _by_name(found)
    differences = [_of_rows(name, ours.get(name), theirs.get(name)) for name in sorted({*ours, *theirs})]
    return [difference for difference in differences if difference]


def _of_rows(name: str, expected: TableRows | None, found: TableRows | None) -> Difference | None:
    if expected is None:
        return Difference(kind="rows of", name=name, within=name, finding=Finding.UNEXPECTED)
    if found is None:
        return Difference(kind="rows of", name=name, within=name, finding=Finding.MISSING)
    if (expected.rows, expected.sha256) == (found.rows, found.sha256):
        return None
    said = {"expected": _said_of(expected), "found": _said_of(found)}
    return Difference(kind="rows of", name=name, within=name, finding=Finding.DIFFERS, **said)


def _by_name(tables: Iterable[TableRows]) -> dict[str, TableRows]:
    return {Table(schema=table.schema, name=table.name).qualified: table for table in tables}


def _said_of(table: TableRows) -> str:
    return f"{table.rows} rows with sha256:{table.sha256}"


def _large_objects(expected: LargeObjects | None, found: LargeObjects | None) -> list[Difference] | None:
    if expected is None or found is None:
        return None
    if expected == found:
        return []
    said = {"expected": _counted(expected), "found": _counted(found)}
    return [Difference(kind="large objects", name="", finding=Finding.DIFFERS, **said)]


def _counted(objects: LargeObjects) -> str:
    return f"{objects.count} with sha256:{objects.sha256}"


def _without_parts(differences: Sequence[Difference]) -> Iterator[Difference]:
    """Where a table is missing, so are its columns, indexes and rows: one line says it."""
    wholes = {
        item.name
        for item in differences
        if item.kind in _WHOLES and item.finding in (Finding.MISSING, Finding.UNEXPECTED)
    }
    return (item for item in differences if item.within not in wholes)
