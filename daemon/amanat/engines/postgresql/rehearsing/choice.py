"""What of an archive is restored, and so what has to stand there afterwards."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from amanat.archive import Entry, Section, printable
from amanat.domain.comparison import Content, Difference, Finding
from amanat.domain.description import Description, LargeObjects
from amanat.domain.errors import RefusedError
from amanat.domain.model import Facts, Scope, TableRows
from amanat.domain.scope import Table, select
from amanat.engines.postgresql.dumping.dump import quoted
from amanat.engines.postgresql.restoring import order, part

_NO_ROWS = hashlib.sha256().hexdigest()
_ENFORCEMENT = "amanat"
"""The schema of enforcement.sql."""
_NO_LARGE_OBJECTS = LargeObjects(count=0)
_FILLS = {"MATERIALIZED VIEW DATA", "BLOB", "BLOB METADATA"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """``without``: numbers of entries that are not restored; ``left_out``: those of them that one might expect,
    with ``warnings`` that name them. ``tables``: only these are compared, by qualified name; None: all there is.
    """

    without: frozenset[int] = frozenset()
    left_out: tuple[Entry, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: frozenset[str] | None = None
    schema_only: bool = False

    def expected(self, content: Content) -> Content:
        narrowed = self.narrowed(content)
        if not self.schema_only or narrowed.rows is None:
            return narrowed
        return replace(narrowed, rows=tuple(map(_emptied, narrowed.rows)))

    def narrowed(self, content: Content) -> Content:
        if self.tables is None:
            return content
        rows = content.rows and tuple(each for each in content.rows if _qualified(each) in self.tables)
        description = content.description and _narrowed(content.description, self.tables)
        return Content(description=description, rows=rows, large_objects=_NO_LARGE_OBJECTS)

    def excuses(self, difference: Difference) -> bool:
        """It is missing because it was left out."""
        return difference.finding is Finding.MISSING and any(_is(difference, entry) for entry in self.left_out)


def without_event_triggers(choice: Choice, contents: Sequence[Entry]) -> Choice:
    """For a role that is no superuser: nobody else may make one (manual, CREATE EVENT TRIGGER)."""
    numbers = {entry.dump_id for entry in order.event_triggers(contents)} - choice.without
    if not numbers:
        return choice
    triggers = tuple(entry for entry in contents if entry.dump_id in numbers and entry.kind == "EVENT TRIGGER")
    names = ", ".join(printable(entry.name) for entry in triggers)
    warning = f"left out, for only a superuser can make event triggers: {names}"
    return replace(
        choice,
        without=choice.without | numbers,
        left_out=(*choice.left_out, *triggers),
        warnings=(*choice.warnings, warning),
    )


def without_enforcement(choice: Choice, contents: Sequence[Entry]) -> Choice:
    """For the same role, where owners are restored: its schema is a superuser's, and void without the triggers."""
    those = [entry for entry in contents if _is_of_enforcement(entry)]
    if not any((entry.kind, entry.name) == ("TABLE", "installation") for entry in those):
        return choice  # it is somebody else's
    return replace(
        choice,
        without=choice.without | {entry.dump_id for entry in those},
        left_out=(*choice.left_out, *(entry for entry in those if entry.kind == "SCHEMA")),
        warnings=(
            *choice.warnings,
            f"left out with its event triggers: schema {_ENFORCEMENT}, which enforces nothing without",
        ),
    )


def _is_of_enforcement(entry: Entry) -> bool:
    if entry.schema:
        return entry.schema == _ENFORCEMENT
    return (entry.kind, entry.name) == ("SCHEMA", _ENFORCEMENT) or entry.name == f"SCHEMA {_ENFORCEMENT}"


def without_subscriptions(choice: Choice, contents: Sequence[Entry]) -> Choice:
    """One that came back would fetch anew what the live one has fetched."""
    names = [printable(entry.name) for entry in contents if entry.kind == "SUBSCRIPTION"]
    if not names or choice.tables is not None:
        return choice
    warning = f"left out, for the live database has them: subscriptions {', '.join(names)}"
    return replace(choice, warnings=(*choice.warnings, warning))


def of_part(
    contents: Sequence[Entry], facts: Facts, patterns: tuple[str, ...], *, schema_only: bool = False
) -> Choice:
    """Tables by names or globs, with what they need; none of these: all. SourceError: one matches nothing."""
    if not contents:
        raise RefusedError(
            "the contents of this archive are known to its own pg_restore alone, so no part of it can be chosen",
            hint="restore all of it",
        )
    if not patterns:
        return Choice(without=_rows_in(contents), tables=frozenset(facts.tables), schema_only=True)
    tables = _tables(contents)
    selected = select(Scope(tables=patterns), tuple(tables.values())).kept
    numbers = {number for number, table in tables.items() if table in selected}
    chosen = part.of(contents, numbers)
    kept = chosen.kept - (_rows_in(contents) if schema_only else frozenset())
    leading_out = tuple(entry for entry in chosen.leading_out if _is_of_one(entry, selected))
    return Choice(
        without=frozenset(entry.dump_id for entry in contents) - kept,
        left_out=leading_out,
        warnings=tuple(map(_leads_out, leading_out)),
        tables=frozenset(_names(contents, facts, numbers)),
        schema_only=schema_only,
    )


def _tables(contents: Sequence[Entry]) -> dict[int, Table]:
    plain = {
        entry.dump_id: Table(schema=printable(entry.schema), name=printable(entry.name))
        for entry in contents
        if entry.kind in part.TABLES
    }
    above = part.ancestors(contents)
    return {
        number: replace(table, ancestors=tuple(plain[at].qualified for at in above.get(number, ()) if at in plain))
        for number, table in plain.items()
    }


def _names(contents: Sequence[Entry], facts: Facts, numbers: set[int]) -> list[str]:
    """As the facts have them."""
    names = order.names_by_oid(facts)
    return [names[entry.oid] for entry in contents if entry.dump_id in numbers and entry.oid in names]


def _rows_in(contents: Sequence[Entry]) -> frozenset[int]:
    return frozenset(entry.dump_id for entry in contents if entry.section is Section.DATA or entry.kind in _FILLS)


def _is_of_one(entry: Entry, tables: Sequence[Table]) -> bool:
    """And not of another table, which leads to one of these."""
    schema, tag = printable(entry.schema), printable(entry.name)
    return any(schema == table.schema and tag.startswith(f"{table.name} ") for table in tables)


def _leads_out(entry: Entry) -> str:
    return f"left out, for it leads out of the chosen tables: {entry.kind} {printable(entry.name)}"


def _narrowed(description: Description, tables: frozenset[str]) -> Description:
    objects = tuple(
        item
        for item in description.objects
        if item.within in tables or (item.kind in {"table", "foreign table"} and item.qualified in tables)
    )
    return Description(dialect=description.dialect, objects=objects)


def _qualified(table: TableRows) -> str:
    return Table(schema=table.schema, name=table.name).qualified


def _emptied(table: TableRows) -> TableRows:
    return replace(table, rows=0, bytes=0, sha256=_NO_ROWS)


def _is(difference: Difference, entry: Entry) -> bool:
    """The tag of what belongs to a table is the table's name, a space, and its own."""
    tag = printable(entry.name)
    told = f"{difference.kind} {difference.name}"  # also what is said of it, such as a comment
    if entry.kind == "SCHEMA":
        return not difference.within and (difference.name == tag or told.endswith(f" schema {tag}"))
    if entry.kind != "EVENT TRIGGER":
        return bool(difference.within) and tag.endswith(
            f" {difference.name.removeprefix(f'{difference.within}.')}"
        )
    return told.endswith((f"event trigger {tag}", f"event trigger {quoted(tag)}"))
