"""What was written to the live database since a snapshot of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from amanat.domain.changes import Changed, Changes
from amanat.domain.comparison import Content, Difference, Finding, compare
from amanat.domain.description import INFORMATIONAL, Description
from amanat.domain.errors import YieldedError
from amanat.domain.model import Facts
from amanat.domain.scope import Table
from amanat.engines.postgresql import catalog
from amanat.engines.postgresql.beside import counting
from amanat.engines.postgresql.beside.counting import Counted
from amanat.engines.postgresql.connection import LOCK_WAIT_SECONDS, Session
from amanat.engines.postgresql.describing.reading import describe
from amanat.engines.postgresql.dumping import migrations
from amanat.engines.postgresql.rehearsing.choice import Choice
from amanat.engines.postgresql.restoring.order import rows_by_table

_T = TypeVar("_T")
_LOCK_TIMEOUT = "SELECT set_config('lock_timeout', %s, true)"
_SHOWN = 20
_SEQUENCE_VALUE = "value of sequence"  # of which ``Changes.sequences`` tells
_TOLD = {Finding.MISSING: "dropped since", Finding.UNEXPECTED: "made since", Finding.DIFFERS: "changed since"}


def since(asked: Session, facts: Facts, seconds: float) -> Changes:
    """What others lock is not looked at. ``seconds``: as of ``ports.Restorer``."""
    asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    asked.ask(_LOCK_TIMEOUT, [f"{min(seconds, LOCK_WAIT_SECONDS) * 1000:.0f}"])
    relations = [each for each in catalog.read(asked).relations if each.has_data and _is_of(each.table, facts)]
    sizes = {name: table.bytes for name, table in rows_by_table(facts).items()}
    counted = counting.count(asked, relations, sizes, seconds)
    applied = _unlocked(asked, lambda: migrations.since(asked, relations, facts.extra.get("migrations")))
    live = _unlocked(asked, lambda: describe(asked))
    return Changes(
        tables=tuple(_tables(facts, counted)),
        sequences=tuple(_sequences(facts, live)),
        migrations=applied or (),
        schema=tuple(_schema(facts, live)),
        not_counted=counted.unknown,
    )


def _is_of(table: Table, facts: Facts) -> bool:
    """A snapshot of a part says nothing of others."""
    return table.qualified in facts.tables or not facts.extra.get("partial")


def _unlocked(asked: Session, question: Callable[[], _T]) -> _T | None:
    asked.ask("SAVEPOINT looking")
    try:
        return question()
    except YieldedError:
        asked.ask("ROLLBACK TO SAVEPOINT looking")
        return None


def _tables(facts: Facts, counted: Counted) -> Iterator[Changed]:
    then = {name: table.rows for name, table in rows_by_table(facts).items() if name in facts.tables}
    for name in sorted({*then, *counted.rows} - set(counted.unknown)):
        made = name not in facts.tables
        if (name in then or made) and then.get(name) != counted.rows.get(name):
            yield Changed(name=name, then=then.get(name), now=counted.rows.get(name))


def _sequences(facts: Facts, live: Description | None) -> Iterator[Changed]:
    if facts.description is None or live is None:
        return
    then, now = facts.description.sequences, live.sequences
    names = set(then) if facts.extra.get("partial") else {*then, *now}
    for name in sorted(names):
        if then.get(name) != now.get(name):
            yield Changed(name=name, then=then.get(name), now=now.get(name))


def _schema(facts: Facts, live: Description | None) -> Iterator[str]:
    """The first of them."""
    if live is None:
        yield "not compared, for others have locked what is in it"
    found = [_told(each) for each in _worth_telling(_differences(facts, live))]
    yield from found[:_SHOWN]
    if len(found) > _SHOWN:
        yield f"and {len(found) - _SHOWN} more"


def _worth_telling(differences: Sequence[Difference]) -> list[Difference]:
    """Whoever makes or drops an object makes or drops rights to it."""
    there_or_not = [each for each in differences if each.finding is not Finding.DIFFERS]
    objects = {each.name for each in there_or_not if each.kind not in INFORMATIONAL}
    rights = {each.name for each in there_or_not if each.kind in INFORMATIONAL} & objects
    return [
        each
        for each in differences
        if each.kind != _SEQUENCE_VALUE and not (each.kind in INFORMATIONAL and each.name in rights)
    ]


def _differences(facts: Facts, live: Description | None) -> tuple[Difference, ...]:
    if facts.description is None or live is None:
        return ()
    part = Choice(tables=frozenset(facts.tables)) if facts.extra.get("partial") else Choice()
    then, now = (part.narrowed(Content(description=each, rows=())) for each in (facts.description, live))
    return compare(then, now, roles=True).differences


def _told(difference: Difference) -> str:
    return f"{difference.kind} {difference.name}: {_TOLD[difference.finding]}"
