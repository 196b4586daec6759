"""The PostgreSQL engine: questions and pg_dump share one snapshot, so the facts are of the dump's instant."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from amanat.domain.description import Description
from amanat.domain.doctor import Check
from amanat.domain.errors import AmanatError, InterruptedRunError, TimeoutExceededError, YieldedError
from amanat.domain.gate import Live
from amanat.domain.model import EngineName, Facts
from amanat.domain.policy import PostgresqlSource
from amanat.domain.scope import Selection, select
from amanat.engines.postgresql import access, catalog, examining, living
from amanat.engines.postgresql.archive import archive_version
from amanat.engines.postgresql.clients import Client, Places, client_for_server, clients_from
from amanat.engines.postgresql.connection import Session, Target, session, target
from amanat.engines.postgresql.describing import reading
from amanat.engines.postgresql.dumping import codec, dump, one_pass, parallel
from amanat.engines.postgresql.dumping.blocking import yielding
from amanat.engines.postgresql.dumping.content import described, with_rows
from amanat.engines.postgresql.dumping.one_pass import Dumped
from amanat.ports.engine import Artefact, Order
from amanat.ports.run import Control


@dataclass(frozen=True, kw_only=True)
class _Taken:
    client: Client
    dumped: Dumped
    dbname: str
    facts: Facts
    warnings: tuple[str, ...]


class PostgresqlEngine:
    """Fulfils ``ports.Engine`` for one PostgreSQL database."""

    name = EngineName.POSTGRESQL

    def __init__(
        self,
        source: PostgresqlSource,
        password: str | None,
        extra_client_folders: tuple[Path, ...] = (),
    ) -> None:
        self._parameters = source.parameters
        self._password = password
        self._places = Places(override=source.client, extra=extra_client_folders)

    def source_bytes(self, control: Control, scratch: Path) -> int:
        with session(self._target(scratch), control) as asked:
            return catalog.database_bytes(asked)

    def staging_bytes(self, order: Order, source_bytes: int, artefact_bytes: int) -> int:  # noqa: ARG002 - the port's signature
        """What several readers bring lies beside the archive first."""
        return artefact_bytes if order.parallel > 1 else 0

    def examine(self, order: Order, control: Control) -> list[Check]:
        with session(self._target(order.scratch), control) as asked:
            return list(examining.examine(asked, order, self._places, control))

    def live(self, scratch: Path, control: Control) -> Live:
        with session(self._target(scratch), control) as asked:
            return living.look(asked, self._parameters)

    def described(self, scratch: Path, control: Control) -> Description:
        with session(self._target(scratch), control) as asked:
            asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return reading.describe(asked)

    def take(self, order: Order, control: Control) -> Artefact:
        reached = self._target(order.scratch)
        file = order.folder / "database.dump"
        with session(reached, control) as asked, yielding(reached, order.yield_after, control) as reins:
            taken = self._dump(asked, reached, order, file, reins)
        companions, warnings = _globals(taken, reached, order, control)
        return Artefact(
            path=file,
            sha256=taken.dumped.sha256,
            read_back=True,
            facts=replace(taken.facts, extra={**taken.facts.extra, "globals": bool(companions)}),
            companions=companions,
            tools={"pg_dump": taken.client.version},
            archive_version=archive_version(file),
            warnings=(*taken.warnings, *reins.warnings, *warnings),
            fallback=taken.dumped.archive is None,
        )

    def _target(self, scratch: Path) -> Target:
        return target(self._parameters, self._password, scratch)

    def _dump(self, asked: Session, reached: Target, order: Order, file: Path, control: Control) -> _Taken:
        client = client_for_server(self._places, asked.server_major, control)
        readers = clients_from(self._places, client, control)
        chosen = codec.choose(order.compression, client, readers, order.scratch, control)
        with catalog.shared_snapshot(asked) as snapshot:
            known = catalog.read(asked)
            selection = select(order.scope, known.tables)
            access.require_readable(known, order.scope, selection)
            facts = described(asked, order.scope, known, selection, _facts(asked, order, known, selection, client))
            options = dump.selecting(order.scope, selection, known.tables)
            command = dump.Command(client=client, target=reached, snapshot=snapshot, selection=options)
            shared, fewer = _shared(command, asked, order, known.of(selection.with_data))
            dumped = one_pass.take(command, shared, file, chosen, control)
        return _Taken(
            client=client,
            dumped=dumped,
            dbname=asked.database_name,
            facts=with_rows(facts, dumped.archive, known),
            warnings=(*_warnings(known, selection), *fewer, *_fallback(dumped)),
        )


def _shared(
    command: dump.Command, asked: Session, order: Order, with_data: Collection[catalog.Relation]
) -> tuple[list[dump.Command], tuple[str, ...]]:
    """To as many as there are connections for; a warning where these are too few."""
    if order.parallel == 1:
        return [command], ()
    sizes = catalog.table_bytes(asked, [relation for relation in with_data if relation.has_data])
    split = partial(parallel.split, command, sizes=sizes, other_bytes=catalog.large_object_bytes(asked))
    wanted = split(order.parallel)
    count, fewer = access.readers(asked, len(wanted), beside=2 if order.yield_after else 1)
    return split(count) if fewer else wanted, fewer


def _facts(asked: Session, order: Order, known: catalog.Catalog, selection: Selection, client: Client) -> Facts:
    with_data = known.of(selection.with_data)
    return Facts(
        engine_version=asked.server_version,
        source_bytes=catalog.database_bytes(asked),
        tables=tuple(table.qualified for table in selection.kept),
        counts=catalog.counts(asked, order.counts, known.tables),
        extra={
            "table_oids": {entry.table.qualified: entry.oid for entry in known.of(selection.kept)},
            "data_oids": [entry.oid for entry in with_data if entry.has_data],
            "extension_data_oids": list(known.extension_data),
            "schemas": _schemas_to_make(order, selection),
            "partial": not order.scope.is_whole,
            "pg_dump": client.version,
        },
    )


def _schemas_to_make(order: Order, selection: Selection) -> list[str]:
    """A dump of chosen tables does not hold their schemas (see dump.py)."""
    schemas = {table.schema for table in selection.kept} if order.scope.tables else set()
    return sorted(schemas - {"public"})


def _warnings(known: catalog.Catalog, selection: Selection) -> tuple[str, ...]:
    foreign = [entry.table.qualified for entry in known.of(selection.with_data) if entry.kind == "f"]
    if not foreign:
        return ()
    return (f"foreign tables are kept without rows, which lie on another server: {', '.join(foreign)}",)


def _fallback(dumped: Dumped) -> tuple[str, ...]:
    if dumped.archive:
        return ()
    return (f"pg_dump compressed by itself, slowly, and no rows were counted: {dumped.reason}",)


def _globals(
    taken: _Taken, reached: Target, order: Order, control: Control
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The companion file, or why there is none: a role that may not read them still has its snapshot."""
    if not order.globals:
        return {}, ()
    file = order.folder / f"database.dump{dump.GLOBALS_SUFFIX}"
    try:
        dump.dump_globals(taken.client, file, reached, taken.dbname, control)
    except (InterruptedRunError, TimeoutExceededError, YieldedError):
        raise
    except AmanatError as exc:
        file.unlink(missing_ok=True)
        return {}, (f"roles and tablespaces are not in this snapshot: {exc}",)
    return {dump.GLOBALS_SUFFIX: file}, ()
