"""What the doctor asks of a SQLite database before anything is copied, and of an artefact before it is needed."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from amanat.domain.doctor import Check, Name, asked
from amanat.domain.errors import AmanatError, ProofError
from amanat.domain.scope import select
from amanat.engines.sqlite import kernel, packing, seekable, way
from amanat.engines.sqlite.connection import Access
from amanat.engines.sqlite.glance import look_at
from amanat.engines.sqlite.schema import application_tables
from amanat.engines.sqlite.source import OpenSource
from amanat.ports.engine import Order


def examine(source: OpenSource, order: Order) -> Iterator[Check]:
    yield Check(name=Name.CLIENT, found=f"SQLite {sqlite3.sqlite_version} reads it")
    yield asked(Name.COMPRESSION, lambda: _compression(order))
    yield _access(source, order)
    yield _file_system(source)


def _compression(order: Order) -> str:
    return "zstd" if packing.is_wanted(order.compression) else "none"


def _access(source: OpenSource, order: Order) -> Check:
    def tables() -> str:
        kept = select(order.scope, application_tables(source.connection)).kept
        return f"all of {len(kept)} tables can be read"

    found = asked(Name.ACCESS, tables)
    if found.ok and source.access is Access.FROZEN:
        text = f"{found.found}, but without locks: a run fails where somebody writes meanwhile"
        return Check.warn(Name.ACCESS, text, "run Amanat as the owner of the database")
    return found


def _file_system(source: OpenSource) -> Check:
    number = kernel.file_system(source.open())
    if way.is_local(number):
        return Check(name=Name.FILE_SYSTEM, found="it lies on a local file system")
    text = (
        f"its file system (type {number:#x}) is not known to be local: locks and bytes may not be what others see"
    )
    return Check.warn(
        Name.FILE_SYSTEM, text, "run Amanat on the host that has the disk, or move the database to one"
    )


def open_artefact(artefact: Path) -> str:
    """As ``ports.Prover.examine``."""
    try:
        if artefact.name.endswith(packing.SUFFIX):
            with artefact.open("rb", buffering=0) as packed:
                seekable.frames(packed.fileno())
            return f"a seekable zstd file, for `zstd` and SQLite {sqlite3.sqlite_version}"
        look_at(artefact)
    except (seekable.SeekableError, OSError, AmanatError) as exc:
        raise ProofError(f"{artefact.name} cannot be opened: {exc}", hint="amanat verify tells more") from exc
    return f"SQLite {sqlite3.sqlite_version} opens it"
