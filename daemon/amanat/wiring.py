"""Which engine serves a configured database, and with which password."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from amanat.domain import naming
from amanat.domain.errors import ConfigurationError, RefusedError
from amanat.domain.model import EngineName
from amanat.domain.policy import (
    Configuration,
    Database,
    LaravelSource,
    Policy,
    PostgresqlSource,
    Secret,
    Source,
    SqliteSource,
)
from amanat.ports.enforcing import Enforcer
from amanat.ports.engine import Engine, Prover, Rehearser
from amanat.ports.restoring import Restorer


def engine_of(database: Database) -> Engine:
    """An engine bound to where the database is now: an application's ``.env`` is read at each call."""
    source = _resolved(database.source)
    if isinstance(source, SqliteSource):
        from amanat.engines.sqlite import SqliteEngine

        return SqliteEngine(source)
    if isinstance(source, PostgresqlSource):
        from amanat.engines.postgresql import PostgresqlEngine

        return PostgresqlEngine(source, _password(source.password))
    raise ConfigurationError(f"database {database.name} has no engine", hint="say sqlite or postgresql")


def rehearser_of(database: Database, policy: Policy) -> Rehearser:
    """Likewise; restoring where the policy says."""
    source = _resolved(database.source)
    if isinstance(source, SqliteSource):
        from amanat.engines.sqlite import SqliteRehearser

        return SqliteRehearser()
    if isinstance(source, PostgresqlSource):
        from amanat.engines.postgresql import DrillServer, PostgresqlRehearser

        password, wanted = _password(source.password), policy.drill_server
        if not isinstance(wanted, PostgresqlSource):
            return PostgresqlRehearser(source, password, where=wanted)
        another = DrillServer(parameters=wanted.parameters, password=_password(wanted.password))
        return PostgresqlRehearser(source, password, another=another)
    raise ConfigurationError(f"database {database.name} has no engine", hint="say sqlite or postgresql")


def restorer_of(database: Database) -> Restorer:
    """On the database's own server, or in its own folder."""
    source = _resolved(database.source)
    if isinstance(source, SqliteSource):
        from amanat.engines.sqlite import SqliteRestorer

        return SqliteRestorer(source)
    if isinstance(source, PostgresqlSource):
        from amanat.engines.postgresql import PostgresqlRestorer

        return PostgresqlRestorer(source, _password(source.password))
    raise ConfigurationError(f"database {database.name} has no engine", hint="say sqlite or postgresql")


def enforcer_of(database: Database) -> Enforcer:
    """RefusedError for a database whose engine has no event triggers."""
    source = _resolved(database.source)
    if isinstance(source, PostgresqlSource):
        from amanat.engines.postgresql import PostgresqlEnforcer

        return PostgresqlEnforcer(source, _password(source.password))
    raise RefusedError(
        f"nothing can be enforced in {database.name}: SQLite has no event triggers",
        hint="the gate and `amanat migrate` are the way there",
    )


def prover_of(engine: EngineName, configuration: Configuration) -> Prover:
    """It needs no source; but a client folder that some database names may hold the newest tools."""
    if engine is EngineName.SQLITE:
        from amanat.engines.sqlite import SqliteProver

        return SqliteProver()
    from amanat.engines.postgresql import PostgresqlProver

    sources = [database.source for database in configuration.databases.values()]
    folders = [source.client for source in sources if not isinstance(source, SqliteSource) and source.client]
    return PostgresqlProver(extra_client_folders=tuple(dict.fromkeys(folders)))


def of_application(folder: Path, connection: str | None, configured: Iterable[Database]) -> Database:
    """The database that its ``.env`` names now, under its configured name where it has one."""
    from amanat.settings import laravel

    folder = folder.resolve()
    source, environment = laravel.resolve(folder, connection)
    for database in configured:
        known = database.source
        if (
            isinstance(known, LaravelSource)
            and known.folder.resolve() == folder
            and laravel.resolve(folder, known.connection)[0] == source
        ):
            return database
    engine = EngineName.SQLITE if isinstance(source, SqliteSource) else EngineName.POSTGRESQL
    return Database(
        name=naming.name_of_application(folder, engine),
        environment=environment,
        engine=engine,
        source=LaravelSource(folder=folder, connection=connection),
        asked_as=shlex.quote(f"laravel:{folder}"),
    )


def _resolved(source: Source) -> Source:
    if not isinstance(source, LaravelSource):
        return source
    from amanat.settings import laravel

    resolved, _ = laravel.resolve(source.folder, source.connection, client=source.client)
    return resolved


def _password(secret: Secret | str | None) -> str | None:
    from amanat.observability import redaction
    from amanat.settings import secrets

    password = secrets.read(secret) if isinstance(secret, Secret) else secret
    if password:
        redaction.remember(password)
    return password
