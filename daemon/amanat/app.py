"""The composition root: the only module that joins adapters to services.

Faces call ``App``; what changes something renders the documents afterwards, whether it succeeded or not.
Adapters and services are imported when they are needed: a command that lists must not pay for PostgreSQL.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from amanat import deferred
from amanat.domain.errors import ConfigurationError, NotFoundError, RefusedError
from amanat.domain.events import Event
from amanat.domain.model import ProofLevel, Snapshot
from amanat.host import clock
from amanat.host.control import RunControl
from amanat.host.identity import require_own
from amanat.host.locks import Locks
from amanat.host.scratch import Scratch
from amanat.observability.progress import ProgressEvents
from amanat.ports import Ports
from amanat.ports.run import Control, Emit, Progress
from amanat.register import connection as register_file
from amanat.register.register import Register
from amanat.settings.service import ServiceSettings
from amanat.store.local import LocalStore

if TYPE_CHECKING:
    from amanat.domain.aside import Jump
    from amanat.domain.chain import Head
    from amanat.domain.gate import Verdict, Wanted
    from amanat.domain.policy import Configuration, Database, Job, Policy
    from amanat.domain.reconcile import Repairs
    from amanat.services.migrate import Migrated, Moments, Order
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
    _configuration: "list[Configuration]" = field(default_factory=list)

    @property
    def configuration(self) -> "Configuration":
        """What is in force; read at first use."""
        if not self._configuration:
            self._configuration.append(load_configuration(self.settings))
        return self._configuration[0]

    def use(self, configuration: "Configuration") -> None:
        self._configuration[:] = [configuration]

    def database(self, name: str) -> "Database":
        """A configured database, or an application's folder as ``laravel:FOLDER``."""
        if name.startswith("laravel:"):
            return self._of_application(Path(name.removeprefix("laravel:")), connection=None)
        if name not in self.configuration.databases:
            known = ", ".join(self.configuration.databases) or "none are configured"
            raise NotFoundError(f"no database {name!r}", hint=f"known: {known} (in {self.settings.policies})")
        return self.configuration.databases[name]

    def application(self, folder: Path, connection: str | None) -> "Database":
        """The database of a Laravel application, under its configured name where it has one."""
        return self._of_application(folder, connection=connection)

    def policy(self, name: str, database: str) -> "Policy":
        from amanat.domain.policy import MANUAL

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
        """What stood beside that database for long enough goes then: without a daemon nobody else looks."""
        from amanat.services import snapshot
        from amanat.services.beside import asides

        with self.documented(), asides.expiring(self.ports, request.database.name, by=request.by):
            return snapshot.take(self.ports, request)

    def run_due(self, job: "Job") -> Snapshot | None:
        from amanat.services import due

        with self.documented():
            return due.run_due(self.ports, job)

    def verify(self, found: Snapshot, *, level: ProofLevel, by: str, wait: float) -> Snapshot:
        from amanat.services import verify

        with self.documented():
            return verify.verify(self.ports, found, level=level, by=by, wait=wait)

    def drill(self, found: Snapshot, *, by: str, wait: float) -> Snapshot:
        from amanat.services import verify

        with self.documented():
            return verify.drill(self.ports, found, by=by, wait=wait)

    def gate(self, wanted: "Wanted", *, wait: float, take: "Request | None" = None) -> "Verdict":
        """``take``: what is taken where no snapshot serves; it has a wait of its own."""
        from amanat.services import gate

        if take is None:
            return gate.ask(self.ports, wanted, wait=wait)
        with self.documented():
            return gate.ask_or_take(self.ports, wanted, take)

    def migrate(self, order: "Order", moments: "Moments") -> "Migrated":
        from amanat.services import migrate

        with self.documented():
            return migrate.migrate(self.ports, order, moments)

    def prune(self, *, database: str | None, by: str, confirmed: str, wait: float) -> "list[Pruning]":
        from amanat.services import prune

        with self.documented():
            return prune.prune(
                self.ports, self.configuration, database=database, by=by, confirmed=confirmed, wait=wait
            )

    def expire(self, *, by: str, jumps: "Sequence[Jump]") -> None:
        """Drop what has stood beside databases for long enough. ``jumps``: what the clock did meanwhile."""
        from amanat.services.beside import asides

        before = self.ports.register.head()
        if asides.expire(self.ports, by=by, jumps=jumps):
            self._tell(before)

    def hold(self, found: Snapshot, *, reason: str, by: str) -> None:
        from amanat.services import hold

        with self.documented():
            hold.hold(self.ports, found, reason=reason, by=by)

    def release(self, found: Snapshot, *, reason: str, by: str) -> None:
        from amanat.services import hold

        with self.documented():
            hold.release(self.ports, found, reason=reason, by=by)

    def reconcile(self, *, by: str, servers: bool = False) -> "Repairs":
        """``servers``: drop there what drills left, and what has stood beside databases for long enough: that
        takes as long as they do to answer.
        """
        from amanat.services import reconcile
        from amanat.services.beside import asides, sweeping

        with self.documented():
            repairs = reconcile.reconcile(self.ports, by=by)
            if not servers:
                return repairs
            gone = asides.expire(self.ports, by=by, jumps=asides.unwitnessed(self.ports))
            expired = tuple(aside.name for aside in gone)
        return replace(repairs, expired=expired, dropped=tuple(sweeping.sweep_servers(self.ports)))

    def sweep_servers(self) -> None:
        from amanat.services.beside import sweeping

        sweeping.sweep_servers(self.ports)

    def rebuild(self, *, by: str, aside: Path | None) -> "Repairs":
        """Fill an empty register from the store. ``aside``: where the one of before lies."""
        from amanat.services import reconcile

        with self.documented():
            return reconcile.rebuild(self.ports, by=by, aside=aside)

    def record_losses(self, *, by: str) -> None:
        """The documents are written anew only if something was: this is asked every few minutes."""
        from amanat.services import losses

        before = self.ports.register.head()
        if losses.record(self.ports, self.ports.register.each_snapshot(gone=False), by=by):
            self._tell(before)

    @contextlib.contextmanager
    def documented(self) -> Iterator[None]:
        """What is done inside is told in the documents afterwards, and anchored, whether it succeeds or not."""
        before = self.ports.register.head()
        try:
            yield
        finally:
            self._tell(before)

    def _tell(self, before: "Head | None") -> None:
        """Write the documents, and anchor the head if it is no longer ``before``.

        A policy file that is wrong must not stop a hold or a proof in the middle of an incident.
        """
        from amanat.domain.policy import Configuration
        from amanat.services import anchor, document

        try:
            configuration = self.configuration
        except ConfigurationError as exc:
            self.ports.emit(Event.DOCUMENT_FAILED, reason=exc.message, hint=exc.hint)
            configuration = Configuration()
        document.update(self.ports, configuration)
        anchor.publish(self.ports, configuration, before=before)

    def _of_application(self, folder: Path, *, connection: str | None) -> "Database":
        from amanat import wiring

        return wiring.of_application(folder, connection, self.configuration.databases.values())


def open_app(
    settings: ServiceSettings, *, emit: Emit, on_progress: OnProgress | None = None, create: bool = True
) -> App:
    """Open the register and put everything together; RegisterError when it cannot be opened.

    ``on_progress``: gets the progress of every run; without it, progress is told by events.
    ``create``: make the register if there is none; otherwise that is an error, for who only looks.
    """
    require_own(settings.state, settings.store)
    if not create:
        register_file.require(settings.state)
    stop = threading.Event()
    locks = Locks(settings.state / "locks")

    def controls(*, timeout: timedelta | None, label: Mapping[str, str], stoppable: bool = True) -> Control:
        tell = (lambda progress: on_progress(label, progress)) if on_progress else ProgressEvents(emit, label)
        return RunControl(timeout=timeout, stop=stop if stoppable else None, on_progress=tell)

    ports = Ports(
        register=Register(settings.state),
        store=LocalStore(settings.store),
        locks=locks,
        emit=emit,
        now=clock.now,
        controls=controls,
        engine_of=deferred.engine_of,
        prover_of=lambda engine: deferred.prover_of(engine, app.configuration),
        rehearser_of=deferred.rehearser_of,
        restorer_of=deferred.restorer_of,
        enforcer_of=deferred.enforcer_of,
        scratch=Scratch(settings.state / "scratch"),
        host=deferred.host,
        write_document=deferred.write_document,
        run_command=deferred.run_command,
        run_attached=deferred.run_attached,
        commit_of=deferred.commit_of,
        limit=settings.max_concurrency,
        policy_now=lambda name: app.configuration.policies.get(name),  # noqa: PLW0108 - asked at each call
        database_now=lambda name: app.configuration.databases.get(name),  # noqa: PLW0108
        policies_now=lambda name: app.configuration.policies_of(name),  # noqa: PLW0108
    )
    app = App(settings=settings, ports=ports, locks=locks, stop=stop)
    return app


def load_configuration(settings: ServiceSettings, *, required: bool = False) -> "Configuration":
    """The policy file; without one at the default place an empty configuration, unless it is ``required``."""
    from amanat.domain.policy import Configuration
    from amanat.settings import policies
    from amanat.settings.service import is_there

    if required or "policies" in settings.model_fields_set or is_there(settings.policies):
        return policies.load(settings.policies)
    return Configuration()


@contextlib.contextmanager
def place_for_register(settings: ServiceSettings, *, move_aside: bool) -> Iterator[Path | None]:
    """Within, the state folder has no register and no daemon; where the one of before lies, if it was moved.

    RefusedError when there is one that may not be moved, or no manifest to make one from.
    """
    require_own(settings.state, settings.store)
    if not LocalStore(settings.store).survey().marked:
        raise RefusedError(
            f"there is no manifest in {settings.store.absolute()}", hint="mount the store, or name it with --store"
        )
    with Locks(settings.state / "locks").daemon():
        if not move_aside:
            register_file.refuse(settings.state)
        yield register_file.moved_aside(settings.state)
