"""The daemon: bind, reconcile, schedule, serve; reload on SIGHUP or file change; stop on SIGTERM."""

import contextlib
import hashlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path

from watchfiles import watch

from amanat import __version__
from amanat.app import App, load_configuration
from amanat.domain.doctor import Check, Name
from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.domain.units import format_duration
from amanat.faces import http
from amanat.faces.scheduler.chain_watch import ChainWatch
from amanat.faces.scheduler.scheduler import Scheduler
from amanat.host import clock
from amanat.host.notify import Notifier
from amanat.observability.metrics import DaemonState, RegisterCollector
from amanat.services import checks, losses

_BEAT_SECONDS = 5.0
_STALLED_SECONDS = 60.0
_STEP_MS = 200  # each is a wake-up; a change of the policy file is taken up after one or two
_BY = "scheduler"


class Message(StrEnum):
    """What wakes the main thread."""

    RELOAD = "reload"
    FILE_CHANGED = "file changed"
    STOP = "stop"


class Daemon:
    """One run of ``amanat daemon``. ``on_ready``: called once everything works (the demo shows itself then)."""

    def __init__(self, app: App, *, on_ready: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._emit = app.ports.emit
        self._on_ready = on_ready
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._notifier = Notifier.from_environment()
        self._state = DaemonState()
        self._started = (clock.now(), clock.monotonic())
        self._beaten: float | None = None
        watchdog = self._notifier.watchdog_interval
        self._scheduler = Scheduler(
            app,
            ChainWatch(app.ports, self._state),
            beat=self._beat,
            every_seconds=min(_BEAT_SECONDS, watchdog / 3) if watchdog else _BEAT_SECONDS,
        )

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Everything that can fail at start is fatal before READY."""
        configuration = load_configuration(self._app.settings, required=True)
        self._app.use(configuration)
        with self._app.locks.daemon(), self._http():
            self._emit(
                Event.DAEMON_STARTED,
                version=__version__,
                pid=os.getpid(),
                store=str(self._app.ports.store.root),
            )
            losses.require_store(self._app.ports)
            self._app.reconcile(by=_BY)
            self._digest = _digest(self._app.settings.policies)
            self._state.config_loaded = clock.now().timestamp()
            with self._signals(), self._watched_file():
                self._scheduler.apply(configuration)
                self._scheduler.start()
                self._notifier.ready(f"{len(configuration.jobs())} schedules")
                self._emit(Event.DAEMON_READY, http=self._app.settings.http, schedules=len(configuration.jobs()))
                self._on_ready()
                self._attend()
                self._stop()

    def checks(self) -> list[Check]:
        """What ``/readyz`` asks."""
        return [
            *checks.readiness(self._app.ports),
            self._scheduler_check(),
            self._configuration_check(),
        ]

    def _scheduler_check(self) -> Check:
        if self._beaten is None:
            return Check.fail(Name.SCHEDULER, "has not started", "wait for `daemon.ready`")
        found = f"came round {(age := clock.monotonic() - self._beaten):.0f} s ago"
        if age < _STALLED_SECONDS:
            return Check(name=Name.SCHEDULER, found=found)
        return Check.fail(Name.SCHEDULER, found, "the loop hangs: restart the daemon, keep its log")

    def _configuration_check(self) -> Check:
        if self._state.config_ok:
            return Check(name=Name.CONFIGURATION, found="as on the disk")
        found = "the file on the disk is refused"
        return Check.fail(Name.CONFIGURATION, found, "`amanat config check` says why")

    @contextlib.contextmanager
    def _http(self) -> Iterator[None]:
        address = self._app.settings.http_address
        if address is None:
            yield
            return
        collector = RegisterCollector(self._app.ports, lambda: self._app.configuration, self._state)
        with http.served(http.bind(address), self._app, collector, self.checks):
            yield

    def _attend(self) -> None:
        while (message := self._messages.get()) is not Message.STOP:
            self._reload(message)

    def _reload(self, message: Message) -> None:
        """Validated whole, then applied as a diff; a bad file leaves the last good one in force."""
        digest = _digest(self._app.settings.policies)
        if message is Message.FILE_CHANGED and digest == self._digest:
            return
        self._digest = digest
        self._notifier.reloading()
        try:
            configuration = load_configuration(self._app.settings, required=True)
        except AmanatError as exc:
            self._state.config_ok = False
            self._emit(Event.CONFIG_REJECTED, reason=exc.message, hint=exc.hint, cause=message)
            self._notifier.ready("policy file refused, the last good one is in force")
            return
        self._app.use(configuration)
        self._scheduler.apply(configuration)
        self._state.config_ok = True
        self._state.config_loaded = clock.now().timestamp()
        self._emit(Event.CONFIG_LOADED, cause=message, schedules=len(configuration.jobs()))
        self._notifier.ready(f"{len(configuration.jobs())} schedules")

    def _stop(self) -> None:
        """Let runs finish within the grace, then stop them cleanly as ``interrupted``."""
        grace = self._app.settings.shutdown_grace
        self._notifier.stopping()
        self._emit(Event.DAEMON_STOPPING, grace=format_duration(grace))
        timer = threading.Timer(grace.total_seconds(), self._app.stop.set)
        timer.daemon = True
        timer.start()
        self._scheduler.drain()
        timer.cancel()
        self._emit(Event.DAEMON_STOPPED)

    def _beat(self) -> None:
        """In the scheduler's loop: the watchdog is fed only while that loop comes round."""
        wall, monotonic = self._started
        now, self._beaten = clock.now(), clock.monotonic()
        self._state.heartbeat = now.timestamp()
        self._state.clock_skew = (now - wall).total_seconds() - (self._beaten - monotonic)
        try:
            self._notifier.watchdog()
        except AmanatError as exc:  # the loop must go on; if this lasts, systemd ends it
            self._emit(Event.RUN_WARNING, warning=str(exc))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        wanted = {
            signal.SIGHUP: Message.RELOAD,
            signal.SIGTERM: Message.STOP,
            signal.SIGINT: Message.STOP,
        }
        before = {
            number: signal.signal(number, lambda *_, message=message: self._messages.put(message))
            for number, message in wanted.items()
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _watched_file(self) -> Iterator[None]:
        """Watch the folder, not the file: editors and configuration managers replace the file."""
        done = threading.Event()
        folder = self._app.settings.policies.absolute().parent

        def look() -> None:
            for _ in watch(folder, step=_STEP_MS, stop_event=done, recursive=False, raise_interrupt=False):
                self._messages.put(Message.FILE_CHANGED)

        thread = threading.Thread(target=look, name="policy file", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=5)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
