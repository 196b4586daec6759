"""The composition root: the only module that joins adapters to services.

Faces call ``App``; what changes something renders the documents afterwards, whether it succeeded or not.
Adapters and services are imported when they are needed: a command that lists must not pay for PostgreSQL.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from amanat.domain.errors import ConfigurationError, NotFoundError
from amanat.domain.events import Event
from amanat.domain.model import EngineName, ProofLevel, Snapshot
from amanat.domain.policy import (
    MANUAL,
    Configuration,
    Database,
    LaravelSource,
    Policy,
    PostgresqlSource,
    Secret,
    Source,
    SqliteSource,
)
from amanat.host import clock, git
from amanat.host.control import RunControl
from amanat.host.locks import Locks
from amanat.host.scratch import Scratch
from amanat.observability.progress import ProgressEvents
from amanat.ports import Control, Emit, Engine, Ports, Progress, Prover
from amanat.register import connection as register_file
from amanat.register.register import Register
from amanat.settings.service import ServiceSettings
from amanat.store.local import LocalStore

if TYPE_CHECKING:
    from amanat.domain.reconcile import Repairs
    from amanat.services.prune import Pruning
    from amanat.services.request import Request

OnProgress = Callable[[Mapping[str, str], Progress], None]


@dataclass(frozen=True, kw_only=True)
class App:
    """``stop``: set it, and every run of this process ends as ``interrupted``."""

    settings: ServiceSettings
    ports: Ports
    locks: Locks
    stop: threading.Event
    _configuration: list[Configuration] = field(default_factory=list)

    @property
    def configuration(self) -> Configuration:
        """What is in force; read at first use."""
        if not self._configuration:
            self._configuration.append(load_configuration(self.settings))
        return self._configuration[0]

    def use(self, configuration: Configuration) -> None:
        self._configuration[:] = [configuration]

    def database(self, name: str) -> Database:
        """A configured database, or an application's folder as ``laravel:FOLDER``."""
        if name.startswith("laravel:"):
            return self._of_application(Path(name.removeprefix("laravel:")), connection=None)
        if name not in self.configuration.databases:
            known = ", ".join(self.configuration.databases) or "none are configured"
            raise NotFoundError(f"no database {name!r}", hint=f"known: {known} (in {self.settings.policies})")
        return self.configuration.databases[name]

    def application(self, folder: Path, connection: str | None) -> Database:
        """The database of a Laravel application, under its configured name where it has one."""
        return self._of_application(folder, connection=connection)

    def policy(self, name: str, database: str) -> Policy:
        if name == MANUAL.name:
            return MANUAL
        policy = self.configuration.policies.get(name)
        if policy is None:
            known = ", ".join((*self.configuration.policies, MANUAL.name))
            raise NotFoundError(f"no policy {name!r}", hint=f"known: {known}")
        if database not in policy.databases:
            raise NotFoundError(
                f"policy {name} is not for database {database}",
                hint=f"it is for {', '.join(policy.databases)}",
            )
        return policy

    def take(self, request: "Request") -> Snapshot:
        from amanat.services import snapshot

        with self._documented():
            return snapshot.take(self.ports, request)

    def run_due(self, policy: Policy, database: Database) -> Snapshot | None:
        from amanat.services import due

        with self._documented():
            return due.run_due(self.ports, policy, database)

    def verify(self, found: Snapshot, *, level: ProofLevel, by: str, wait: float) -> Snapshot:
        from amanat.services import verify

        with self._documented():
            return verify.verify(self.ports, found, level=level, by=by, wait=wait)

    def prune(self, *, database: str | None, by: str, confirmed: str, wait: float) -> "list[Pruning]":
        from amanat.services import prune

        with self._documented():
            return prune.prune(
                self.ports, self.configuration, database=database, by=by, confirmed=confirmed, wait=wait
            )

    def hold(self, found: Snapshot, *, reason: str, by: str) -> None:
        from amanat.services import hold

        with self._documented():
            hold.hold(self.ports, found, reason=reason, by=by)

    def release(self, found: Snapshot, *, reason: str, by: str) -> None:
        from amanat.services import hold

        with self._documented():
            hold.release(self.ports, found, reason=reason, by=by)

    def reconcile(self, *, by: str) -> "Repairs":
        from amanat.services import reconcile

        with self._documented():
            return reconcile.reconcile(self.ports, by=by)

    def record_losses(self, *, by: str) -> None:
        """The documents are written anew only if something was: this is asked every few minutes."""
        from amanat.services import losses

        if losses.record(self.ports, self.ports.register.each_snapshot(gone=False), by=by):
            with self._documented():
                pass

    @contextlib.contextmanager
    def _documented(self) -> Iterator[None]:
        """A policy file that is wrong must not stop a hold or a proof in the middle of an incident."""
        from amanat.services import document

        try:
            configuration = self.configuration
        except ConfigurationError as exc:
            self.ports.emit(Event.DOCUMENT_FAILED, reason=exc.message, hint=exc.hint)
            configuration = Configuration()
        try:
            yield
        finally:
            document.update(self.ports, configuration)

    def _of_application(self, folder: Path, *, connection: str | None) -> Database:
        from amanat.domain import naming
        from amanat.settings import laravel

        folder = folder.resolve()
        source, environment = laravel.resolve(folder, connection)
        for database in self.configuration.databases.values():
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
        )


def open_app(
    settings: ServiceSettings, *, emit: Emit, on_progress: OnProgress | None = None, create: bool = True
) -> App:
    """Open the register and put everything together; RegisterError when it cannot be opened.

    ``on_progress``: gets the progress of every run; without it, progress is told by events.
    ``create``: make the register if there is none; otherwise that is an error, for who only looks.
    """
    _require_own(settings.state, settings.store)
    if not create:
        register_file.require(settings.state)
    stop = threading.Event()
    locks = Locks(settings.state / "locks")

    def controls(*, timeout: timedelta | None, label: Mapping[str, str]) -> Control:
        tell = (lambda progress: on_progress(label, progress)) if on_progress else ProgressEvents(emit, label)
        return RunControl(timeout=timeout, stop=stop, on_progress=tell)

    ports = Ports(
        register=Register(settings.state),
        store=LocalStore(settings.store),
        locks=locks,
        emit=emit,
        now=clock.now,
        controls=controls,
        engine_of=engine_of,
        prover_of=lambda engine: prover_of(engine, app.configuration),
        scratch=Scratch(settings.state / "scratch"),
        write_document=_write_document,
        commit_of=git.commit_of,
        limit=settings.max_concurrency,
        policy_now=lambda name: app.configuration.policies.get(name),  # noqa: PLW0108 - asked at each call
    )
    app = App(settings=settings, ports=ports, locks=locks, stop=stop)
    return app


def _require_own(*folders: Path) -> None:
    """Root would leave files there that the service's own user cannot read."""
    for folder in folders:
        if os.geteuid() == 0 and folder.is_dir() and folder.stat().st_uid != 0:
            owner = folder.owner()
            raise ConfigurationError(
                f"{folder} belongs to {owner}, and this is root",
                hint=f"run it as {owner}: sudo -u {owner} amanat …",
            )


def load_configuration(settings: ServiceSettings, *, required: bool = False) -> Configuration:
    """The policy file; without one at the default place an empty configuration, unless it is ``required``."""
    from amanat.settings import policies
    from amanat.settings.service import is_there

    if required or "policies" in settings.model_fields_set or is_there(settings.policies):
        return policies.load(settings.policies)
    return Configuration()


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


def prover_of(engine: EngineName, configuration: Configuration) -> Prover:
    """It needs no source; but a client folder that some database names may hold the newest tools."""
    if engine is EngineName.SQLITE:
        from amanat.engines.sqlite import SqliteProver

        return SqliteProver()
    from amanat.engines.postgresql import PostgresqlProver

    sources = [database.source for database in configuration.databases.values()]
    folders = [source.client for source in sources if not isinstance(source, SqliteSource) and source.client]
    return PostgresqlProver(extra_client_folders=tuple(dict.fromkeys(folders)))


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


def _write_document(path: Path, text: str) -> None:
    from amanat.host import files

    with files.explained(f"document {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace_text(path, text, mode=0o644)
