"""Restores beside the live database, on its own server."""

from collections.abc import Mapping
from pathlib import Path

from amanat.archive import Entry
from amanat.domain.changes import Changes
from amanat.domain.errors import RefusedError, SourceError
from amanat.domain.model import EngineName, Facts
from amanat.domain.policy import PostgresqlSource
from amanat.engines.postgresql import server
from amanat.engines.postgresql.beside import changes, leftovers, restoring
from amanat.engines.postgresql.beside.restoring import Wish
from amanat.engines.postgresql.clients import Places, newest_client
from amanat.engines.postgresql.connection import database_name, session
from amanat.engines.postgresql.rehearsing import choice, database
from amanat.engines.postgresql.rehearsing.choice import Choice
from amanat.engines.postgresql.rehearsing.filling import Filling
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.engines.postgresql.restoring.restore import entries
from amanat.engines.postgresql.swapping import naming, staying, swap
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.restoring import Names, RestoreOrder, Swapped
from amanat.ports.run import Control


class PostgresqlRestorer:
    """Fulfils ``ports.restoring.Restorer`` for one PostgreSQL database."""

    name = EngineName.POSTGRESQL

    def __init__(
        self, source: PostgresqlSource, password: str | None, *, extra_client_folders: tuple[Path, ...] = ()
    ) -> None:
        self._server = Server(parameters=source.parameters, password=password, is_own=True)
        self._places = Places(override=source.client, extra=extra_client_folders)

    def names(self, place: Place, control: Control) -> Names:
        del control  # libpq knows the name before any server answers
        return naming.names(self._live(place), place.run)

    def identity(self, place: Place, control: Control) -> Mapping[str, str]:
        live = self._live(place)
        with self._server.maintenance(place, control) as asked:
            if not database.exists(asked, live):
                raise SourceError(f"there is no database {live}", hint="see the connection in the policy file")
            return {**server.identity(asked), "database": live}

    def require_swap(self, order: RestoreOrder | None, place: Place, control: Control) -> None:
        swap.require(self._server, order.facts if order else None, place, control)
        if order:
            filling, wish = self._wanted(order, place, control)
            restoring.require(self._server, filling, wish, place, control)

    def swap(self, incoming: str, outgoing: str, place: Place, control: Control) -> Swapped:
        return swap.swap(self._server, incoming, outgoing, place, control)

    def is_swapped(self, incoming: str, outgoing: str, place: Place, control: Control) -> bool:
        return swap.is_swapped(self._server, incoming, outgoing, place, control)

    def restore(self, order: RestoreOrder, place: Place, control: Control) -> Rehearsal:
        filling, wish = self._wanted(order, place, control)
        return restoring.restore(self._server, filling, wish, place, control)

    def _wanted(self, order: RestoreOrder, place: Place, control: Control) -> tuple[Filling, Wish]:
        _require_whole(order)
        contents = entries(order.artefact, control)
        filling = Filling(
            artefact=order.artefact,
            facts=order.facts,
            contents=contents,
            client=newest_client(self._places, control),
            checks=order.checks,
            choice=choice.without_subscriptions(_chosen(order, contents), contents),
        )
        return filling, Wish(name=order.name, live=self._live(place) if order.stands_in else None)

    def drop(self, name: str, place: Place, control: Control) -> None:
        if name == self._live(place):
            raise RefusedError(f"database {name} is the live one, and is not dropped", hint="drop it by hand")
        with self._server.maintenance(place, control) as asked:
            staying.require_droppable(asked, name)
            database.drop(asked, name)

    def size(self, name: str, place: Place, control: Control) -> int | None:
        with self._server.maintenance(place, control) as asked:
            return database.size(asked, name)

    def mark(self, name: str, place: Place, control: Control) -> str:
        with self._server.maintenance(place, control) as asked:
            return database.mark(asked, name)

    def free_bytes(self, place: Place, control: Control) -> int | None:
        with self._server.maintenance(place, control) as asked:
            return database.free_bytes(asked, database.like(asked, self._live(place)))

    def changes(self, facts: Facts, place: Place, control: Control, *, seconds: float) -> Changes:
        with session(self._server.target(place), control) as asked:
            return changes.since(asked, facts, seconds)

    def sweep(self, place: Place, control: Control) -> list[str]:
        with self._server.maintenance(place, control) as asked:
            return leftovers.sweep(asked, self._live(place), place)

    def _live(self, place: Place) -> str:
        return database_name(self._server.target(place))


def _require_whole(order: RestoreOrder) -> None:
    if order.stands_in and order.facts.extra.get("partial"):
        raise RefusedError(
            "the snapshot holds a part of the database, and cannot stand in for all of it",
            hint="restore it beside with `amanat restore SNAPSHOT --to NEW`, or choose another snapshot",
        )


def _chosen(order: RestoreOrder, contents: tuple[Entry, ...]) -> Choice:
    if not order.tables and not order.schema_only:
        return Choice()
    return choice.of_part(contents, order.facts, order.tables, schema_only=order.schema_only)
