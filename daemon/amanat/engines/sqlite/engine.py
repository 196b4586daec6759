"""Takes a SQLite database: one instant of it, its scope, and the facts that held at that instant."""

import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from amanat.domain.description import Description
from amanat.domain.doctor import Check
from amanat.domain.errors import StoreError, TimeoutExceededError
from amanat.domain.gate import Holder, Live, locked_away
from amanat.domain.model import EngineName, Facts, ProofLevel
from amanat.domain.policy import SqliteSource
from amanat.domain.scope import Selection, Table, named, select
from amanat.engines.sqlite import description, examining, living, packing, subset
from amanat.engines.sqlite.connection import attended, inside, translating
from amanat.engines.sqlite.copying import Copied, copy, finish
from amanat.engines.sqlite.glance import Stamp, stamp_of
from amanat.engines.sqlite.proof import REFERENCES
from amanat.engines.sqlite.raw import pin
from amanat.engines.sqlite.references import foreign_key_violations
from amanat.engines.sqlite.schema import application_tables, row_counts
from amanat.engines.sqlite.source import OpenSource, opened, persistently
from amanat.host.control import Limited
from amanat.host.sealing import Sealing
from amanat.ports.engine import Artefact, Order
from amanat.ports.run import Control

_LOCK_WAIT = timedelta(seconds=2)  # who has a database to himself for longer holds up a migration too


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """What was settled while the source's transaction was open."""

    path: Path
    stamp: Stamp
    copied: Copied
    facts: Facts
    selection: Selection
    counted: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class _References:
    """Rows whose foreign keys lead nowhere, in the artefact; no facts where nobody will ask."""

    facts: Mapping[str, int | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class SqliteEngine:
    """Fulfils ``ports.Engine``. The source is left once its bytes are copied; the rest is done to the copy."""

    name = EngineName.SQLITE

    def __init__(self, source: SqliteSource) -> None:
        self._path = source.path

    def source_bytes(self, control: Control, scratch: Path) -> int:  # noqa: ARG002 - the port's signature
        def size() -> int:
            with opened(self._path, control) as source:
                return source.size

        return persistently(size)

    def staging_bytes(self, order: Order, source_bytes: int, artefact_bytes: int) -> int:  # noqa: ARG002 - the port's signature
        """The whole copy that a part is cut from, and the plain one that is compressed."""
        return source_bytes * ((not order.scope.is_whole) + packing.is_wanted(order.compression))

    def examine(self, order: Order, control: Control) -> list[Check]:
        def look() -> list[Check]:
            with opened(self._path, control) as source:
                return list(examining.examine(source, order))

        return persistently(look)

    def live(self, scratch: Path, control: Control) -> Live:  # noqa: ARG002 - the port's signature
        patience = Limited(control, _LOCK_WAIT)

        def look() -> Live:
            with opened(self._path, patience) as source:
                return living.look(source)

        try:
            return persistently(look)
        except TimeoutExceededError:
            control.check()
            return locked_away([Holder(key="all", description=f"a process that has {self._path} to itself")])

    def described(self, scratch: Path, control: Control) -> Description:  # noqa: ARG002 - the port's signature
        def look() -> Description:
            with opened(self._path, control) as source:
                return description.describe(source.connection)

        return persistently(look)

    def take(self, order: Order, control: Control) -> Artefact:
        packed = packing.is_wanted(order.compression)
        return persistently(lambda: self._take(order, control, packed=packed))

    def _take(self, order: Order, control: Control, *, packed: bool) -> Artefact:
        plain = order.folder / "artefact.sqlite"
        artefact = plain.with_name(plain.name + packing.SUFFIX) if packed else plain
        with Sealing(artefact) as sealing, translating(self._path):
            with opened(self._path, control) as source:
                taken = _taken(source, order, plain, control)
            completed, left_out = _completed(taken, plain, order, control)
            facts = description.told(plain, completed, order.proof, control)
            if not packed:
                sealing.advance(plain.stat().st_size)
            with ThreadPoolExecutor(1) as beside:
                counting = beside.submit(_references, taken, plain, order, control)
                if packed:
                    wait([counting])  # it uses up the plain copy
                    packing.pack(plain, artefact, order.compression.level, control, sealing)
                if order.prove_readable:
                    order.prove_readable(artefact, facts)  # not the references: these very bytes are being counted
                references = counting.result()
            seal = sealing.seal(control)
        return Artefact(
            path=artefact,
            sha256=seal.sha256,
            read_back=True,
            readable=order.prove_readable is not None,
            facts=replace(facts, extra={**facts.extra, **references.facts}),
            tools={"sqlite": sqlite3.sqlite_version},
            warnings=(*left_out, *references.warnings),
        )


def _taken(source: OpenSource, order: Order, plain: Path, control: Control) -> _Taken:
    instant = pin(source, control)
    tables = application_tables(source.connection)
    selection = select(order.scope, tables)
    counted = tuple(named(name, tables) for name in order.counts)
    facts = _facts(source, selection)
    copied = copy(source, instant, plain, control)
    return _Taken(
        path=source.path, stamp=source.stamp, copied=copied, facts=facts, selection=selection, counted=counted
    )


def _facts(source: OpenSource, selection: Selection) -> Facts:
    return Facts(
        engine_version=sqlite3.sqlite_version,
        source_bytes=source.size,
        tables=tuple(table.name for table in selection.kept),
        extra={
            "path": living.printed(source.path),
            "user_version": source.user_version,
            "page_size": source.page_size,
            "journal_mode": "wal" if source.wal else "delete",
        },
    )


def _completed(taken: _Taken, plain: Path, order: Order, control: Control) -> tuple[Facts, tuple[str, ...]]:
    """Makes the copy one file of what was ordered, and counts in it; warnings of what it leaves out."""
    finish(taken.copied, plain, control)
    counts: dict[str, int] = {}
    if taken.counted:
        counts = inside(plain, control, lambda copied: row_counts(copied, taken.counted))
    left_out: tuple[str, ...] = ()
    if not order.scope.is_whole:
        whole = plain.with_name("whole.sqlite")
        plain.rename(whole)
        left_out = subset.extract(whole, plain, order.scope, taken.selection, control)
    copied = {"copied_by": taken.copied.by.value, "copied_by_reason": taken.copied.reason}
    pages = {"page_count": plain.stat().st_size // taken.copied.page_size}
    facts = replace(taken.facts, counts=counts, extra={**taken.facts.extra, **copied, **pages})
    return facts, _told(left_out)


def _told(left_out: Sequence[str]) -> tuple[str, ...]:
    """No more than one warning."""
    if not left_out:
        return ()
    return (f"left out are views that need tables which the snapshot does not hold: {', '.join(left_out)}",)


def _references(taken: _Taken, plain: Path, order: Order, control: Control) -> _References:
    """A whole copy must have as many as its source; a part has more, where referred rows were left out."""
    if not order.proof.reaches(ProofLevel.READABLE):
        return _References()
    found = inside(plain, control, foreign_key_violations)
    facts = {REFERENCES: found}
    if found is None:
        reason = f"the foreign keys of {taken.path} cannot be checked: one refers to columns that are no key"
        return _References(facts=facts, warnings=(reason,))
    if not order.scope.is_whole or not found:
        return _References(facts=facts)
    _require_own(taken, found, control)
    reason = f"{found} references of {taken.path} lead to rows that do not exist; the copy has them as they are"
    return _References(facts=facts, warnings=(reason,))


def _require_own(taken: _Taken, found: int, control: Control) -> None:
    """The source has them too, unless somebody has written to it since: then it cannot be asked any more."""
    with opened(taken.path, control) as source:
        own = attended(source.connection, control, lambda: foreign_key_violations(source.connection))
        still = stamp_of(taken.path) == taken.stamp
    if still and own != found:
        raise StoreError(
            f"the copy of {taken.path} has {found} broken references, the database itself {own}",
            hint="the copy is damaged: see whether the store's disk or the memory fails",
        )
