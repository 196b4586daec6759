"""What an archive asks pg_restore to do, how much that is, and in which order it has to be told.

With ``--jobs`` it orders by itself, 12 to 18: of what is ready the largest goes first; an index or a constraint
counts as much as the largest rows it waits for, and of equals that with the lowest number goes first
(``pg_backup_archiver.c``: ``repoint_table_dependencies``, ``TocEntrySizeCompare…``). It takes the size of a
table's rows from the distance to the rows that are **next in its list** (``_PrepParallelRestore`` of
``pg_backup_custom.c``). So a list with the largest tables first spoils the sizes, and so do contents in another
order than the file's, as where several readers wrote: tried with 14 to 18. The list that works has the rows in the
order of the file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from amanat.archive import DataState, Entry, UnknownArchiveError, header, printable, toc
from amanat.archive.wire import Source
from amanat.domain.model import Facts, TableRows
from amanat.domain.scope import Table
from amanat.host.files import explained

_AS_ANOTHER = b"SET SESSION AUTHORIZATION"


@dataclass(frozen=True, kw_only=True)
class Item:
    """``table``: qualified, where it is the rows of one. ``bytes``: of these, or of large objects.

    They are as COPY sends them where the facts know, else as the archive keeps them, and only good to compare.
    """

    label: str
    has_data: bool
    bytes: int = 0
    table: str = ""


def read(archive: Path, check: Callable[[], None]) -> tuple[Entry, ...]:
    """The contents; none if only pg_restore itself knows this kind of archive. ArchiveError: damaged."""
    with explained(f"archive {archive.name}"), archive.open("rb") as file:
        source = Source(file, check)
        try:
            return toc.read(source, header.read(source).version)
        except UnknownArchiveError:
            return ()


def use_list(entries: Sequence[Entry]) -> str:
    """For ``--use-list``, which goes by the numbers. What holds no data keeps its place: a comment or a grant
    belongs to the section of what stands before it (``ProcessArchiveRestoreOptions``)."""
    blocks = iter(_blocks(entries))
    ordered = (next(blocks) if _is_block(entry) else entry for entry in entries)
    return "".join(f"{entry.dump_id};\n" for entry in ordered)


def granted_by_others(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Grants by grantees, who need other grants before, such as USAGE of the schema. The archive's order has them
    right, but jobs mind only dependencies, and there is none (``dumpACL`` of ``pg_dump.c``; seen with 14 and 18).
    """
    return tuple(entry for entry in entries if entry.kind == "ACL" and _AS_ANOTHER in (entry.definition or b""))


def event_triggers(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """With what is said of them. pg_restore makes them before it fills materialized views (``PRIO_EVENT_TRIGGER``
    of ``pg_dump_sort.c``), and one may forbid that, or a grant that comes late.
    """
    return tuple(entry for entry in entries if entry.kind == "EVENT TRIGGER" or _is_of_event_trigger(entry))


def owner_of_public(entries: Sequence[Entry]) -> str | None:
    """Where no entry brings it: pg_dump of 14 tells only what was granted (``selectDumpableNamespace``)."""
    if any((entry.kind, entry.name) == ("SCHEMA", "public") for entry in entries):
        return None
    owners = (entry.owner for entry in entries if (entry.kind, entry.name) == ("ACL", "SCHEMA public"))
    return next(owners, None)


def _is_of_event_trigger(entry: Entry) -> bool:
    """As ``_tocEntryRestorePass`` of ``pg_backup_archiver.c`` tells them."""
    return entry.kind in {"COMMENT", "SECURITY LABEL"} and (entry.name or "").startswith("EVENT TRIGGER ")


def items(entries: Sequence[Entry], facts: Facts, archive_bytes: int) -> dict[int, Item]:
    """By their numbers, in the order of the contents."""
    stored = _stored(entries, archive_bytes)
    names, rows = names_by_oid(facts), rows_by_table(facts)
    return {entry.dump_id: _item(entry, names, rows, stored.get(entry.dump_id, 0)) for entry in entries}


def rows_by_table(facts: Facts) -> dict[str, TableRows]:
    """By qualified name."""
    return {Table(schema=table.schema, name=table.name).qualified: table for table in facts.rows}


def _item(entry: Entry, names: Mapping[int, str], rows: Mapping[str, TableRows], stored: int) -> Item:
    if entry.kind != "TABLE DATA":
        return Item(label=f"{entry.kind} {printable(entry.name)}", has_data=entry.has_data, bytes=stored)
    own = Table(schema=printable(entry.schema), name=printable(entry.name)).qualified
    name = names.get(entry.oid, own)
    size = rows[name].bytes if name in rows else stored
    return Item(label=f"rows of {name}", has_data=True, bytes=size, table=name)


def names_by_oid(facts: Facts) -> dict[int, str]:
    """As the catalogue gave them: in an archive they are in the encoding of its database."""
    oids = facts.extra.get("table_oids", {})
    return {oid: str(name) for name, oid in oids.items()} if isinstance(oids, Mapping) else {}


def _is_block(entry: Entry) -> bool:
    return entry.data_state is DataState.AT_OFFSET


def _blocks(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(filter(_is_block, entries), key=lambda entry: entry.data_offset)


def _stored(entries: Sequence[Entry], archive_bytes: int) -> dict[int, int]:
    blocks = _blocks(entries)
    bounds = pairwise([*(entry.data_offset for entry in blocks), archive_bytes])
    return {entry.dump_id: end - start for entry, (start, end) in zip(blocks, bounds, strict=True)}
