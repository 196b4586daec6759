"""Restores an archive into a database of its own on a server, and tells what stands there: the order of things."""

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from amanat.archive import Entry
from amanat.domain.comparison import Content, Difference, Finding, compare, content_of
from amanat.domain.errors import AmanatError, RefusedError
from amanat.domain.model import Facts
from amanat.domain.sql_check import SqlCheck
from amanat.engines.postgresql.clients import Client
from amanat.engines.postgresql.connection import Session, Target, session, target
from amanat.engines.postgresql.describing.reading import describe
from amanat.engines.postgresql.rehearsing import amcheck, checking, database, roles, row_order, rows
from amanat.engines.postgresql.restoring import sessions
from amanat.engines.postgresql.restoring.restore import entries, restore
from amanat.host import clock
from amanat.host.control import RunControl
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control

_MOST_JOBS = 4
_DROPPING = timedelta(minutes=1)
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Server:
    """Where the database is made. ``is_own``: the one that the original is on, which has its tablespaces.
    ``is_ours``: made for the drill, so that whatever is missing there may be made too.
    """

    parameters: Mapping[str, str] = field(repr=False)
    password: str | None = field(default=None, repr=False)
    is_own: bool = False
    is_ours: bool = False

    def target(self, place: Place, **more: str) -> Target:
        return target({**self.parameters, **more}, self.password, place.scratch)


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """What is to be restored. ``client``: whose pg_restore reads it."""

    artefact: Path
    facts: Facts
    checks: Sequence[SqlCheck]
    client: Client


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """The database is there. ``owners``: they can be restored, and grants; ``warnings``: why not."""

    target: Target
    jobs: int
    owners: bool
    is_superuser: bool
    warnings: tuple[str, ...]


def rehearse(server: Server, what: Rehearsed, place: Place, control: Control) -> Rehearsal:
    """Owners and grants are restored and compared where the role is a superuser; nobody else can give them."""
    contents = entries(what.artefact, control)
    with _database(server, what, contents, place, control) as ready:
        began = clock.monotonic()
        restored = restore(
            what.client,
            what.artefact,
            ready.target,
            facts=what.facts,
            jobs=ready.jobs,
            control=control,
            owners=ready.owners,
            tablespaces=server.is_own,
            subscriptions=False,  # a database that has one cannot be dropped
        )
        seconds = clock.monotonic() - began
        comparison = compare(
            content_of(what.facts), _found(ready.target, what, contents, control), roles=ready.owners
        )
        damaged = amcheck.differences(ready.target, control) if ready.is_superuser else ()
        wrong = checking.differences(ready.target, what.checks, control)
    return Rehearsal(
        comparison=comparison.but(partial(_is_told, restored.warnings)).with_more((*damaged, *wrong)),
        seconds=seconds,
        warnings=(*ready.warnings, *restored.warnings, *comparison.caveats),
    )


def sweep(server: Server, place: Place, control: Control) -> list[str]:
    """Drop what dead runs left, and the run of ``place``; what was dropped."""
    with session(server.target(place), control) as asked:
        return _sweep(asked, place)


def _sweep(asked: Session, place: Place) -> list[str]:
    return database.sweep(asked, lambda run: run == place.run or place.is_dead(run))


@contextlib.contextmanager
def _database(
    server: Server, what: Rehearsed, contents: Sequence[Entry], place: Place, control: Control
) -> Iterator[_Ready]:
    name = f"{database.PREFIX}{place.run}"
    with session(server.target(place), control) as asked:
        _sweep(asked, place)
        own = sessions.with_settings(sessions.undone(asked), server.target(place, dbname=name), asked.options)
        ready = _prepared(asked, server, what, contents, own)
    try:
        with session(server.target(place), control) as asked:
            database.create(asked, name, what.facts)
        yield ready
    finally:
        _drop(server, place, name)


def _prepared(asked: Session, server: Server, what: Rehearsed, contents: Sequence[Entry], own: Target) -> _Ready:
    role = database.role(asked)
    role.require()
    require_major(asked, major_of(what.facts))
    needed = roles.needed(contents, what.facts, what.artefact)
    if server.is_ours:
        roles.create(asked, needed)
    _require_roles(asked, needed)
    warnings = _without_owners(asked, needed) if role.is_superuser else ()
    database.require_room(asked, what.facts)
    jobs = database.jobs(asked, min(len(os.sched_getaffinity(0)), _MOST_JOBS))
    return _Ready(
        target=own,
        jobs=jobs,
        owners=role.is_superuser and not warnings,
        is_superuser=role.is_superuser,
        warnings=warnings,
    )


def require_major(asked: Session, wanted: int) -> None:
    if asked.server_major < wanted:
        raise RefusedError(
            f"the drill server is PostgreSQL {asked.server_version}, older than the database's {wanted}",
            hint=f"name one of PostgreSQL {wanted} or later as `drill_server`",
        )


def major_of(facts: Facts) -> int:
    """Also of a beta, such as ``19beta1``."""
    return int(re.split(r"\D", facts.engine_version, maxsplit=1)[0])


def _require_roles(asked: Session, needed: roles.Needed) -> None:
    if lacking := roles.missing(asked, needed.bound, needed.encoding):
        raise RefusedError(
            f"policies or user mappings are for roles that the drill server lacks: {_listed(lacking)}",
            hint="create them there, or say `drill_server: {place: throw_away}`",
        )


def _without_owners(asked: Session, needed: roles.Needed) -> tuple[str, ...]:
    lacking = roles.missing(asked, needed.left_out, needed.encoding)
    if not lacking:
        return ()
    return (f"owners and grants were not compared, for the drill server lacks roles: {_listed(lacking)}",)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _drop(server: Server, place: Place, name: str) -> None:
    """Also when the run is to stop. What cannot be dropped now is swept later; ours goes as a whole."""
    if server.is_ours:
        return
    reached = server.target(place)
    try:
        with session(reached, RunControl(timeout=_DROPPING)) as asked:
            database.drop(asked, name)
    except AmanatError as exc:
        later = "the next drill there or `amanat reconcile` drops it"
        place.warn(f"database {name} on the server of {reached.label} is left: {exc.message}; {later}")


def _is_told(warnings: Sequence[str], difference: Difference) -> bool:
    """A foreign key that leads out of a part of a database: the restore has told of it by name."""
    if difference.kind != "constraint" or difference.finding is not Finding.MISSING:
        return False
    name = difference.name.removeprefix(f"{difference.within}.")
    return any(f" {name} " in warning for warning in warnings)


def _found(own: Target, what: Rehearsed, contents: Sequence[Entry], control: Control) -> Content:
    with session(own, control) as asked:
        asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        description = describe(asked)
        asked.ask("ROLLBACK")
        found = rows.read(asked, contents, what.facts)
        reading = row_order.Reading(asked, what.client, what.artefact, contents, control)
        return Content(
            description=description,
            rows=row_order.settled(found, what.facts, reading),
            large_objects=rows.large_objects(asked),
        )
