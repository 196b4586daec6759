"""Kernel locks (flock): they go with the process that holds them, so none is ever stale."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from amanat.domain.errors import BusyError, RegisterError
from amanat.host import clock
from amanat.ports.run import Control

_POLL_SECONDS = 0.1


class Locks:
    """The locks of one state folder, shared by daemon and command line.

    ``daemon``: one daemon a folder. ``database``: one run at a time on a database. ``slot``: at most
    ``limit`` runs at once on the host. ``run``: held while a run lives, so that others can tell.
    ``drill``: one restore for proof at a time, which takes all the disk and processor there is.
    ``documents``: who holds it reads the register and writes what people read, so that the newest text stays.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def daemon(self) -> Iterator[None]:
        """BusyError when another daemon runs on this state folder; it names that daemon's process."""
        path = self._path("daemon")
        descriptor = _try_lock(path)
        if descriptor is None:
            raise BusyError(
                f"another daemon (process {path.read_text().strip() or 'unknown'}) runs on {self._folder}",
                hint="stop it; a second daemon needs a state and a store of its own (AMANAT_STATE, AMANAT_STORE)",
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        with _held(descriptor):
            yield

    @contextlib.contextmanager
    def database(self, name: str, control: Control, *, wait: float) -> Iterator[None]:
        """BusyError after ``wait`` seconds."""
        with _held(_wait_for([self._path(f"database-{name}")], control, wait, f"database {name}")):
            yield

    @contextlib.contextmanager
    def slot(self, limit: int, control: Control, *, wait: float) -> Iterator[None]:
        """One of ``limit`` places; BusyError after ``wait`` seconds."""
        paths = [self._path(f"slot-{number}") for number in range(limit)]
        with _held(_wait_for(paths, control, wait, "the limit of runs at once")):
            yield

    @contextlib.contextmanager
    def drill(self, control: Control, *, wait: float) -> Iterator[None]:
        """BusyError after ``wait`` seconds."""
        with _held(_wait_for([self._path("drill")], control, wait, "drills")):
            yield

    @contextlib.contextmanager
    def documents(self, control: Control, *, wait: float) -> Iterator[None]:
        """BusyError after ``wait`` seconds."""
        with _held(_wait_for([self._path("documents")], control, wait, "documents")):
            yield

    @contextlib.contextmanager
    def run(self, run_id: str) -> Iterator[None]:
        path = self._path(f"run-{run_id}")
        descriptor = _try_lock(path)
        if descriptor is None:
            raise BusyError(f"run {run_id} is alive already", hint="this is a bug: run ids are random")
        try:
            with _held(descriptor):
                yield
        finally:
            path.unlink(missing_ok=True)

    def is_alive(self, run_id: str) -> bool:
        """Whether a process holds that run's lock now."""
        path = self._path(f"run-{run_id}")
        if not path.exists():
            return False
        descriptor = _try_lock(path)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def forget(self, run_id: str) -> None:
        """Remove the lock file of a dead run."""
        self._path(f"run-{run_id}").unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise RegisterError(
                f"state folder {self._folder} cannot be made: {exc.strerror}", hint="correct AMANAT_STATE"
            ) from exc
        return self._folder / f"{name}.lock"


def _try_lock(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise RegisterError(
            f"lock file {path} cannot be opened: {exc.strerror}",
            hint="the state folder must be writable for the user of amanat",
        ) from exc
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _wait_for(paths: list[Path], control: Control, wait: float, what: str) -> int:
    give_up = clock.monotonic() + wait
    while True:
        for path in paths:
            if (descriptor := _try_lock(path)) is not None:
                return descriptor
        if clock.monotonic() >= give_up:
            raise BusyError(
                f"{what}: another run holds the lock", hint="wait for it (amanat status), or try again later"
            )
        control.check()
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _held(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)
