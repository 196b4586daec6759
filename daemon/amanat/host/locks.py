"""Kernel locks (flock): they go with the process that holds them, so none is ever stale."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from amanat.domain.errors import BusyError, RegisterError
from amanat.host import clock, flock
from amanat.ports.run import Control

_DELETING_SECONDS = 60.0
_POLL_SECONDS = 0.2


class Locks:
    """The locks of one state folder, shared by daemon and command line.

    ``daemon``: one daemon a folder. ``database``: one run at a time that writes snapshots of it, or deletes some.
    ``slot``: at most ``limit`` runs at once on the host. ``run``: held while a run lives, so that others can tell.
    ``drill``: one restore for proof at a time, which takes all the disk and processor there is.
    ``reading``, ``deleting``: many may read a snapshot; who deletes it is alone, and does not wait.
    ``documents``: who holds it reads the register and writes what people read, so that the newest text stays.
    ``migration``: the mark that a migration of a database runs. Nobody but another migration waits to hold it: who
    reads that database waits until it is gone, and gives way while it is there.

    Their order: migration, database, slot, drill. Who needs several of them in another order gets all at once or
    none. A ``holder`` is named to those who waited in vain.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._migrating: set[str] = set()

    @contextlib.contextmanager
    def daemon(self) -> Iterator[None]:
        """BusyError when another daemon runs on this state folder; it names that daemon's process."""
        path = self._path("daemon")
        descriptor = flock.taken(path)
        if descriptor is None:
            raise BusyError(
                f"another daemon (process {path.read_text().strip() or 'unknown'}) runs on {self._folder}",
                hint="stop it; a second daemon needs a state and a store of its own (AMANAT_STATE, AMANAT_STORE)",
            )
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        with flock.held([descriptor]):
            yield

    @contextlib.contextmanager
    def migration(self, name: str, control: Control, *, wait: float, holder: str = "") -> Iterator[None]:
        """BusyError after ``wait`` seconds names the other one."""
        path = self._path(f"migration-{name}")
        wanted = {f"a migration of {name}": [path]}
        (descriptor,) = flock.wait_for(wanted, control, wait=wait, holder=holder)
        self._migrating.add(name)
        try:
            with flock.held_with_file(path, descriptor):
                yield
        finally:
            self._migrating.discard(name)

    def is_migrating(self, name: str) -> bool:
        """Whether somebody else marked it: what a migration itself does goes on."""
        path = self._path(f"migration-{name}")
        if name in self._migrating or not path.exists():
            return False
        descriptor = flock.taken(path)
        if descriptor is None:
            return True
        with flock.held_with_file(path, descriptor):  # what a dead one left
            return False

    def after_migration(self, name: str, control: Control, *, wait: float) -> None:
        """BusyError if it still runs after ``wait`` seconds."""
        give_up = clock.monotonic() + wait
        while self.is_migrating(name):
            if clock.monotonic() >= give_up:
                raise BusyError(
                    f"a migration of {name} is under way: {flock.signature(self._path(f'migration-{name}'))}",
                    hint="wait for its end (amanat status), or try again later",
                )
            control.wait(_POLL_SECONDS)

    @contextlib.contextmanager
    def database(self, name: str, control: Control, *, wait: float, holder: str = "") -> Iterator[None]:
        """BusyError after ``wait`` seconds."""
        wanted = {f"database {name}": [self._path(f"database-{name}")]}
        with flock.held(flock.wait_for(wanted, control, wait=wait, holder=holder)):
            yield

    @contextlib.contextmanager
    def slot(self, limit: int, control: Control, *, wait: float, holder: str = "") -> Iterator[None]:
        """One of ``limit`` places; BusyError after ``wait`` seconds."""
        with flock.held(flock.wait_for(self._places(limit), control, wait=wait, holder=holder)):
            yield

    @contextlib.contextmanager
    def drill(self, control: Control, *, wait: float, holder: str = "") -> Iterator[None]:
        """For who has a place; BusyError after ``wait`` seconds."""
        with flock.held(flock.wait_for(self._drills(), control, wait=wait, holder=holder)):
            yield

    @contextlib.contextmanager
    def drill_and_slot(self, limit: int, control: Control, *, wait: float, holder: str = "") -> Iterator[None]:
        """Both at once; BusyError after ``wait`` seconds."""
        wanted = {**self._drills(), **self._places(limit)}
        with flock.held(flock.wait_for(wanted, control, wait=wait, holder=holder)):
            yield

    @contextlib.contextmanager
    def reading(self, snapshot: str, control: Control) -> Iterator[None]:
        """A deletion that is under way is waited for: then it is gone."""
        path = self._path(f"snapshot-{snapshot}")
        what = f"snapshot {snapshot}"
        with flock.held_with_file(path, flock.wait_for_share(path, control, wait=_DELETING_SECONDS, what=what)):
            yield

    @contextlib.contextmanager
    def deleting(self, snapshot: str) -> Iterator[None]:
        """BusyError if it is being read."""
        path = self._path(f"snapshot-{snapshot}")
        descriptor = flock.taken(path)
        if descriptor is None:
            raise BusyError(
                f"snapshot {snapshot} is being read by a drill or a verification", hint="prune again later"
            )
        with flock.held_with_file(path, descriptor):
            yield

    @contextlib.contextmanager
    def documents(self, control: Control, *, wait: float) -> Iterator[None]:
        """BusyError after ``wait`` seconds."""
        wanted = {"documents": [self._path("documents")]}
        with flock.held(flock.wait_for(wanted, control, wait=wait, holder="")):
            yield

    @contextlib.contextmanager
    def run(self, run_id: str) -> Iterator[None]:
        path = self._path(f"run-{run_id}")
        descriptor = flock.taken(path)
        if descriptor is None:
            raise BusyError(f"run {run_id} is alive already", hint="this is a bug: run ids are random")
        try:
            with flock.held([descriptor]):
                yield
        finally:
            path.unlink(missing_ok=True)

    def is_alive(self, run_id: str) -> bool:
        """Whether a process holds that run's lock now."""
        path = self._path(f"run-{run_id}")
        if not path.exists():
            return False
        descriptor = flock.taken(path)
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def forget(self, run_id: str) -> None:
        """Remove the lock file of a dead run."""
        self._path(f"run-{run_id}").unlink(missing_ok=True)

    def _drills(self) -> dict[str, list[Path]]:
        return {"drills": [self._path("drill")]}

    def _places(self, limit: int) -> dict[str, list[Path]]:
        return {"the limit of runs at once": [self._path(f"slot-{number}") for number in range(limit)]}

    def _path(self, name: str) -> Path:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise RegisterError(
                f"state folder {self._folder} cannot be made: {exc.strerror}", hint="correct AMANAT_STATE"
            ) from exc
        return self._folder / f"{name}.lock"
