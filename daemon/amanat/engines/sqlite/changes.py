"""What was written to a live SQLite database since a snapshot of it, as far as it shows in a few seconds."""

import math
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from amanat.domain.changes import Changed, Changes
from amanat.domain.comparison import Content, Difference, Finding, compare
from amanat.domain.description import Description
from amanat.domain.errors import TimeoutExceededError
from amanat.domain.model import Facts
from amanat.domain.scope import Table
from amanat.engines.sqlite import description, rows
from amanat.engines.sqlite.connection import attended
from amanat.engines.sqlite.schema import application_tables, row_counts
from amanat.engines.sqlite.source import opened, persistently
from amanat.host.control import Limited
from amanat.ports.run import Control

_WORDS = {Finding.MISSING: "dropped since", Finding.UNEXPECTED: "made since", Finding.DIFFERS: "altered since"}


def since(facts: Facts, live: Path, control: Control, seconds: float) -> Changes:
    """Of whom nobody gets a look at in time, every table is ``not_counted``."""
    patience = Limited(control, timedelta(seconds=seconds))

    def look() -> Changes:
        with opened(live, patience) as source:
            return _changes(facts, source.connection, patience)

    try:
        return persistently(look)
    except TimeoutExceededError:
        control.check()
        return Changes(not_counted=facts.tables)


def _changes(facts: Facts, live: sqlite3.Connection, patience: Control) -> Changes:
    then, now = facts.description, description.describe(live)
    migrations = facts.extra.get("migrations")
    known = migrations if isinstance(migrations, Sequence) else ()
    applied = tuple(description.applied_since(live, known))
    tables, not_counted = _tables(facts, live, patience)
    return Changes(
        tables=tables,
        sequences=tuple(_sequences(then.sequences, now.sequences)) if then else (),
        migrations=applied,
        schema=tuple(_schema(then, now)) if then else (),
        not_counted=not_counted,
    )


def _tables(
    facts: Facts, live: sqlite3.Connection, patience: Control
) -> tuple[tuple[Changed, ...], tuple[str, ...]]:
    """By the digests of rows, where there are any, also what virtual tables hold: it lies in shadow tables."""
    then = {each.name: each.rows for each in facts.rows} or dict(facts.counts)
    there = rows.stored(live) if facts.rows else tuple(table.name for table in application_tables(live))
    known_tables = {*then, *facts.tables}
    wanted = [name for name in there if name in then or name not in known_tables]
    small_first = sorted(wanted, key=lambda name: then.get(name, math.inf))
    now = _counted(live, small_first, patience)
    dropped = [Changed(name=name, then=then[name], now=None) for name in then if name not in there]
    counted = [Changed(name=name, then=then.get(name), now=count) for name, count in now.items()]
    changed = sorted((*dropped, *(each for each in counted if each.then != each.now)), key=lambda each: each.name)
    return tuple(changed), tuple(name for name in there if name not in now)


def _counted(live: sqlite3.Connection, names: Sequence[str], patience: Control) -> dict[str, int]:
    """As far as the time goes."""
    counts: dict[str, int] = {}
    for name in names:
        try:
            counts |= attended(live, patience, partial(row_counts, live, [Table(name=name)]))
        except TimeoutExceededError:
            return counts
        except sqlite3.OperationalError:  # a virtual table whose module is not here
            continue
    return counts


def _sequences(then: Mapping[str, int], now: Mapping[str, int]) -> Iterator[Changed]:
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            yield Changed(name=name, then=then.get(name), now=now.get(name))


def _schema(then: Description, now: Description) -> list[str]:
    found = compare(Content(description=then, rows=None), Content(description=now, rows=None))
    return [_told(difference) for difference in found.differences if difference.kind != "value of sequence"]


def _told(difference: Difference) -> str:
    return f"{difference.kind} {difference.name}: {_WORDS[difference.finding]}"
