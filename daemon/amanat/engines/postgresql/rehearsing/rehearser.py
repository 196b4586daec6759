"""Which server takes a drill: the database's own, another one, or one that is made for it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from amanat.domain.errors import RefusedError
from amanat.domain.model import EngineName, Facts
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.domain.sql_check import SqlCheck
from amanat.engines.postgresql.clients import Client, Places, newest_client
from amanat.engines.postgresql.connection import session
from amanat.engines.postgresql.rehearsing import cluster, database, preparing, rehearsal
from amanat.engines.postgresql.rehearsing.filling import Filling
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.engines.postgresql.restoring.restore import entries
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control


class PostgresqlRehearser:
    """Fulfils ``ports.Rehearser``.

    ``where`` None: on the database's own server if the role may, else on one that is made for the drill.
    ``another``: the server to restore on instead.
    """

    name = EngineName.POSTGRESQL

    def __init__(
        self,
        source: PostgresqlSource,
        password: str | None,
        *,
        where: DrillPlace | None = None,
        another: Server | None = None,
        extra_client_folders: tuple[Path, ...] = (),
    ) -> None:
        self._own = Server(parameters=source.parameters, password=password, is_own=True)
        self._server = another or self._own
        self._where = DrillPlace.OWN if another else where
        self._places = Places(override=source.client, extra=extra_client_folders)

    def rehearse(
        self, artefact: Path, facts: Facts, checks: Sequence[SqlCheck], place: Place, control: Control
    ) -> Rehearsal:
        client = newest_client(self._places, control)
        contents = entries(artefact, control)
        what = Filling(artefact=artefact, facts=facts, contents=contents, client=client, checks=checks)
        with self._chosen(facts, place, control) as server:
            return rehearsal.rehearse(server, what, place, control)

    def sweep(self, place: Place, control: Control) -> list[str]:
        cluster.sweep(place.folder)
        return [] if self._where is DrillPlace.THROW_AWAY else rehearsal.sweep(self._server, place, control)

    def examine(self, place: Place, control: Control) -> str:
        with session(self._own.target(place), control) as asked:
            major = asked.server_major
        if made_by := self._programs(major, place, control):
            return f"on a throw-away server, made by PostgreSQL {made_by.version} in {made_by.folder}"
        target = self._server.target(place)
        with session(target, control) as asked:
            role = database.role(asked)
            role.require()
            preparing.require_major(asked, major)
            left = database.left(asked, place.is_dead)
        found = f"on the server of {target.label}, where role {role.name} may create it"
        return f"{found}; `amanat reconcile` drops {', '.join(left)}, left by drills" if left else found

    @contextlib.contextmanager
    def _chosen(self, facts: Facts, place: Place, control: Control) -> Iterator[Server]:
        made_by = self._programs(preparing.major_of(facts), place, control)
        if made_by is None:
            yield self._server
            return
        with cluster.running(made_by, place.folder, database.needed_bytes(facts), control) as parameters:
            yield Server(parameters=parameters, is_ours=True)

    def _programs(self, major: int, place: Place, control: Control) -> Client | None:
        """Of a server that is to be made; None: one that is there takes it. RefusedError: none can be made."""
        if self._where is DrillPlace.THROW_AWAY:
            return cluster.programs(self._places, major, control)
        if self._where is None:
            with session(self._server.target(place), control) as asked:
                role = database.role(asked)
            try:
                role.require()
            except RefusedError as refused:
                return self._instead(refused, major, control)
        return None

    def _instead(self, refused: RefusedError, major: int, control: Control) -> Client:
        try:
            return cluster.programs(self._places, major, control)
        except RefusedError as exc:
            raise RefusedError(f"{refused.message}; {exc.message}", hint=f"{refused.hint}; or {exc.hint}") from exc
