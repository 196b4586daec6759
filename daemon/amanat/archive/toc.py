"""The table of contents: ReadToc and WriteToc of ``pg_backup_archiver.c``, with the data offsets that
``pg_backup_custom.c`` adds to each entry. Archive versions 1.14 to 1.16; 1.16 (PostgreSQL 17) added the relkind.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from amanat.archive import wire
from amanat.archive.header import Version
from amanat.archive.wire import Source, UnknownArchiveError

_ASCII = 128
_WITHOUT_OIDS = b"false"  # what became of WITH OIDS, gone since PostgreSQL 12


class Section(IntEnum):
    """``teSection`` of ``pg_backup.h``."""

    NONE = 1
    PRE_DATA = 2
    DATA = 3
    POST_DATA = 4


class DataState(IntEnum):
    """``K_OFFSET_…`` of ``pg_backup_archiver.h``: a pipe cannot say where the data lie, a file can."""

    SOMEWHERE = 1
    AT_OFFSET = 2
    NONE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An object in the archive. ``name`` is the entry's tag, ``kind`` its description, such as ``TABLE DATA``.

    ``catalog`` and ``oid``: the catalogue's OID, and the object's in it. Definitions are SQL, in the encoding that
    the entry ENCODING sets.
    """

    dump_id: int
    has_data: bool
    catalog: int
    oid: int
    name: str | None
    kind: str | None
    section: Section
    definition: bytes | None
    drop: bytes | None
    copy: bytes | None
    schema: str | None
    tablespace: str | None
    access_method: str | None
    relkind: str
    owner: str | None
    dependencies: tuple[int, ...]
    data_state: DataState
    data_offset: int

    @property
    def has_large_objects(self) -> bool:
        return self.kind == "BLOBS"


def read(source: Source, version: Version) -> tuple[Entry, ...]:
    count = source.integer()
    if count < 0:
        source.damaged("a negative number of entries")
    entries = tuple(_entry(source, version) for _ in range(count))
    if len({entry.dump_id for entry in entries}) < len(entries):
        source.damaged("two entries with the same number")
    if any(entry.has_data != (entry.data_state is not DataState.NONE) for entry in entries):
        source.damaged("an entry that has data and has none")
    return entries


def encoded(entries: Iterable[Entry], version: Version) -> bytes:
    parts = [_encoded(entry, version) for entry in entries]
    return wire.integer(len(parts)) + b"".join(parts)


def _entry(source: Source, version: Version) -> Entry:
    return Entry(
        dump_id=_dump_id(source),
        has_data=_flag(source),
        catalog=_number(source),
        oid=_number(source),
        name=source.text(),
        kind=source.text(),
        section=_section(source),
        definition=source.string(),
        drop=source.string(),
        copy=source.string(),
        schema=source.text(),
        tablespace=source.text(),
        access_method=source.text(),
        relkind=_relkind(source) if version >= Version.RELKIND else "",
        owner=_owner(source),
        dependencies=tuple(iter(source.decimal, None)),
        data_state=_data_state(source),
        data_offset=source.offset(),
    )


def _encoded(entry: Entry, version: Version) -> bytes:
    relkind = [wire.integer(ord(entry.relkind or "\0"))] if version >= Version.RELKIND else []
    return b"".join(
        (
            *map(wire.integer, (entry.dump_id, int(entry.has_data))),
            *map(wire.decimal, (entry.catalog, entry.oid)),
            *map(wire.text, (entry.name, entry.kind)),
            wire.integer(entry.section),
            *map(wire.string, (entry.definition, entry.drop, entry.copy)),
            *map(wire.text, (entry.schema, entry.tablespace, entry.access_method)),
            *relkind,
            wire.text(entry.owner),
            wire.string(_WITHOUT_OIDS),
            *map(wire.decimal, entry.dependencies),
            wire.string(None),
            bytes([entry.data_state]),
            wire.offset(entry.data_offset),
        )
    )


def _dump_id(source: Source) -> int:
    number = source.integer()
    if number <= 0:
        source.damaged("an entry without a number")
    return number


def _flag(source: Source) -> bool:
    value = source.integer()
    if value not in (0, 1):
        source.damaged("a flag that is neither 0 nor 1")
    return bool(value)


def _number(source: Source) -> int:
    number = source.decimal()
    if number is None:
        source.damaged("an entry without an OID")
    return number


def _section(source: Source) -> Section:
    value = source.integer()
    if value not in list(Section):
        raise UnknownArchiveError(f"section {value}")
    return Section(value)


def _relkind(source: Source) -> str:
    value = source.integer()
    if not 0 <= value < _ASCII:
        source.damaged("a relkind that is no letter")
    return chr(value) if value else ""


def _owner(source: Source) -> str | None:
    owner = source.text()
    if source.string() != _WITHOUT_OIDS:
        raise UnknownArchiveError("an entry with OIDS")
    return owner


def _data_state(source: Source) -> DataState:
    value = source.byte()
    if value not in list(DataState):
        raise UnknownArchiveError(f"data offset flag {value}")
    return DataState(value)
