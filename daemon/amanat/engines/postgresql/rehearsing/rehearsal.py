"""Restores an archive into a database of its own beside the live one, and tells what stands there."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path

from psycopg import sql

from amanat.domain.comparison import Content, Difference, Finding, compare, content_of
from amanat.domain.errors import AmanatError, RefusedError, SpaceError
from amanat.domain.model import EngineName, Facts
from amanat.domain.policy import PostgresqlSource
from amanat.domain.sql_check import SqlCheck
from amanat.domain.units import format_size
from amanat.engines.postgresql import access
from amanat.engines.postgresql.clients import Client, Places, newest_client
from amanat.engines.postgresql.connection import Session, Target, session, target
from amanat.engines.postgresql.describing.reading import describe
from amanat.engines.postgresql.rehearsing import amcheck, checking, row_order, rows
from amanat.engines.postgresql.restoring import order
from amanat.engines.postgresql.restoring.restore import restore
from amanat.host import clock, files
from amanat.host.control import RunControl
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control

PREFIX = "amanat_drill_"
_MOST_JOBS = 4
_GROWTH = 1.1  # an index built anew is not larger, but WAL and sorting need room for a while
_DROPPING = timedelta(minutes=1)
_ROLE = "SELECT rolsuper, rolcreatedb, rolname FROM pg_roles WHERE rolname = current_user"
_FOLDER = "SELECT setting FROM pg_settings WHERE name = 'data_directory'"
_LEFT = "SELECT datname FROM pg_database WHERE starts_with(datname::text, %s)"
_PROVIDERS = {"i": "icu", "b": "builtin", "c": "libc"}


class PostgresqlRehearser:
    """Fulfils ``ports.Rehearser`` on the server that the database itself is on."""

    name = EngineName.POSTGRESQL

    def __init__(
        self, source: PostgresqlSource, password: str | None, extra_client_folders: tuple[Path, ...] = ()
    ) -> None:
        self._parameters = source.parameters
        self._password = password
        self._places = Places(override=source.client, extra=extra_client_folders)

    def rehearse(
        self, artefact: Path, facts: Facts, checks: Sequence[SqlCheck], place: Place, control: Control
    ) -> Rehearsal:
        """Owners and grants are restored and compared where the role is a superuser; nobody else can give them."""
        name = f"{PREFIX}{place.run}"
        client = newest_client(self._places, control)
        with session(self._target(place), control) as asked:
            self._sweep(asked, place)
            is_superuser = _require_may_create(asked)
            _require_room(asked, facts)
            jobs, _ = access.readers(asked, min(len(os.sched_getaffinity(0)), _MOST_JOBS), beside=2)
            _create(asked, name, facts)
        try:
            began = clock.monotonic()
            own = self._target(place, dbname=name)
            restored = restore(
                client,
                artefact,
                own,
                facts=facts,
                jobs=jobs,
                control=control,
                owners=is_superuser,
                subscriptions=False,  # a database that has one cannot be dropped
            )
            seconds = clock.monotonic() - began
            found = _found(own, client, artefact, facts, control)
            comparison = compare(content_of(facts), found, roles=is_superuser)
            damaged = amcheck.differences(own, control) if is_superuser else ()
            wrong = checking.differences(own, checks, control)
        finally:
            self._drop(place, name)
        return Rehearsal(
            comparison=comparison.but(partial(_is_told, restored.warnings)).with_more((*damaged, *wrong)),
            seconds=seconds,
            warnings=(*restored.warnings, *comparison.caveats),
        )

    def sweep(self, place: Place, control: Control) -> None:
        with session(self._target(place), control) as asked:
            self._sweep(asked, place)

    def _sweep(self, asked: Session, place: Place) -> None:
        for (name,) in asked.ask(_LEFT, [PREFIX]):
            if name == f"{PREFIX}{place.run}" or place.is_dead(name.removeprefix(PREFIX)):
                _drop(asked, name)

    def _drop(self, place: Place, name: str) -> None:
        """Also when the run is to stop. What cannot be dropped now, the next one sweeps."""
        with (
            contextlib.suppress(AmanatError),
            session(self._target(place), RunControl(timeout=_DROPPING)) as asked,
        ):
            _drop(asked, name)

    def _target(self, place: Place, **more: str) -> Target:
        return target({**self._parameters, **more}, self._password, place.scratch)


def _is_told(warnings: Sequence[str], difference: Difference) -> bool:
    """A foreign key that leads out of a part of a database: the restore has told of it by name."""
    if difference.kind != "constraint" or difference.finding is not Finding.MISSING:
        return False
    name = difference.name.removeprefix(f"{difference.within}.")
    return any(f" {name} " in warning for warning in warnings)


def _drop(asked: Session, name: str) -> None:
    asked.ask(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _require_may_create(asked: Session) -> bool:
    """Whether it is a superuser."""
    is_superuser, may_create, role = asked.ask(_ROLE)[0]
    if not is_superuser and not may_create:
        raise RefusedError(
            f"role {role} may not create the database that a drill restores into",
            hint=f'as a superuser: ALTER ROLE "{role}" CREATEDB',
        )
    return bool(is_superuser)


def _require_room(asked: Session, facts: Facts) -> None:
    """Where its folder is on this host, and known to the role; a server far away is not asked."""
    known = asked.ask(_FOLDER)
    needed = int(facts.source_bytes * _GROWTH)
    with contextlib.suppress(OSError):
        if known and (free := files.free_bytes(Path(known[0][0]))) < needed:
            raise SpaceError(
                f"the server has {format_size(free)} free, the drill needs about {format_size(needed)}",
                hint="make room on the server's disk",
            )


def _create(asked: Session, name: str, facts: Facts) -> None:
    """Ordered and encoded as the original was, and open to its owner alone."""
    new = sql.Identifier(name)
    asked.ask(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(new) + _locale(facts))
    asked.ask(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(new))


def _locale(facts: Facts) -> sql.Composed:
    """CREATE DATABASE of 15 and later knows providers; of 17 and later the builtin one."""
    server = facts.extra.get("server")
    if not isinstance(server, Mapping):
        return sql.Composed([])
    told = server["locale"]
    provider = _PROVIDERS[told.get("datlocprovider", "c")]
    options = {"ENCODING": server["encoding"], "LC_COLLATE": told["datcollate"], "LC_CTYPE": told["datctype"]}
    if provider != "libc":
        kind = "ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE"
        options |= {"LOCALE_PROVIDER": provider, kind: told.get("datlocale") or told["daticulocale"]}
    return sql.Composed(
        [sql.SQL(" {} = {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options.items()]
    )


def _found(own: Target, client: Client, artefact: Path, facts: Facts, control: Control) -> Content:
    entries = order.read(artefact, control.check)
    with session(own, control) as asked:
        asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        description = describe(asked)
        asked.ask("ROLLBACK")
        found = rows.read(asked, entries, facts)
        return Content(
            description=description,
            rows=row_order.settled(found, facts, row_order.Reading(asked, client, artefact, entries, control)),
            large_objects=rows.large_objects(asked),
        )
