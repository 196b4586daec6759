"""An archive goes into a database, and what stands there then is compared with what was taken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from amanat.archive import Entry
from amanat.domain.comparison import Comparison, Content, Difference, Finding, compare, content_of
from amanat.domain.model import Facts
from amanat.domain.sql_check import SqlCheck
from amanat.engines.postgresql.clients import Client
from amanat.engines.postgresql.connection import Target, session
from amanat.engines.postgresql.describing.reading import describe
from amanat.engines.postgresql.rehearsing import amcheck, checking, row_order, rows
from amanat.engines.postgresql.rehearsing.choice import Choice
from amanat.engines.postgresql.restoring.restore import restore
from amanat.host import clock
from amanat.ports.engine import Rehearsal
from amanat.ports.run import Control


@dataclass(frozen=True, kw_only=True)
class Filling:
    """What is to be restored. ``contents``: the archive's. ``client``: whose pg_restore reads it."""

    artefact: Path
    facts: Facts
    contents: Sequence[Entry]
    client: Client
    checks: Sequence[SqlCheck] = ()
    choice: Choice = field(default_factory=Choice)

    @property
    def chosen(self) -> list[Entry]:
        return [entry for entry in self.contents if entry.dump_id not in self.choice.without]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The database is there. ``owners``: they can be restored, and grants; ``warnings``: why not."""

    target: Target
    jobs: int
    owners: bool
    is_superuser: bool
    tablespaces: bool
    warnings: tuple[str, ...] = ()


def filled(ready: Ready, what: Filling, control: Control) -> Rehearsal:
    """Owners and grants are compared where they are restored. The database stays as the restore left it."""
    began = clock.monotonic()
    restored = restore(
        what.client,
        what.artefact,
        ready.target,
        facts=what.facts,
        jobs=ready.jobs,
        control=control,
        owners=ready.owners,
        tablespaces=ready.tablespaces,
        subscriptions=False,  # a database that has one cannot be dropped
        without=what.choice.without,
    )
    seconds = clock.monotonic() - began
    comparison = _compared(ready, what, restored.warnings, control)
    wrong = checking.differences(ready.target, what.checks, control)
    return Rehearsal(
        comparison=comparison.with_more(wrong),
        seconds=seconds,
        warnings=(*ready.warnings, *what.choice.warnings, *restored.warnings, *comparison.caveats),
    )


def _compared(ready: Ready, what: Filling, warnings: Sequence[str], control: Control) -> Comparison:
    expected = what.choice.expected(content_of(what.facts))
    found = what.choice.narrowed(_found(ready.target, what, control))
    compared = compare(expected, found, roles=ready.owners)
    damaged = amcheck.differences(ready.target, control) if ready.is_superuser else ()
    return compared.but(lambda each: _is_told(warnings, each) or what.choice.excuses(each)).with_more(damaged)


def _is_told(warnings: Sequence[str], difference: Difference) -> bool:
    """A foreign key that leads out of a part of a database: the restore has told of it by name."""
    if difference.kind != "constraint" or difference.finding is not Finding.MISSING:
        return False
    name = difference.name.removeprefix(f"{difference.within}.")
    return any(f" {name} " in warning for warning in warnings)


def _found(own: Target, what: Filling, control: Control) -> Content:
    with session(own, control) as asked:
        asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        description = describe(asked)
        asked.ask("ROLLBACK")
        found = rows.read(asked, what.contents, what.facts)
        reading = row_order.Reading(asked, what.client, what.artefact, what.contents, control)
        return Content(
            description=description,
            rows=row_order.settled(found, what.facts, reading),
            large_objects=rows.large_objects(asked),
        )
