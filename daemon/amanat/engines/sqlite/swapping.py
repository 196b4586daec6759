"""Exchanges a live database for another file, so that its name leads to a whole database at every moment.

SQLite finds journals by the database's name (https://sqlite.org/howtocorrupt.html, "Unlinking or renaming a
database file while in use"): whoever had the old file open would take the new one's journal for its own, roll it
back into the old file and delete it, merely by reading. So the swap waits until nobody else has the file open.
"""

import contextlib
import os
import shlex
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from amanat.domain.errors import AmanatError, BusyError, RefusedError, SourceError, TimeoutExceededError
from amanat.engines.sqlite import journaling, likeness, open_files
from amanat.engines.sqlite.connection import Access, connect, is_busy, translating
from amanat.engines.sqlite.glance import SIDE_FILES, beside, is_wal
from amanat.engines.sqlite.source import alone
from amanat.host import clock, files
from amanat.host.control import Limited
from amanat.ports.restoring import Swapped
from amanat.ports.run import Control

_PATIENCE = timedelta(seconds=30)
_LATECOMERS = timedelta(seconds=10)
_BACK = timedelta(seconds=5)
_PAUSE_SECONDS = 0.001  # where many open it for an instant each, the moments without any are short


@dataclass(frozen=True, kw_only=True)
class Exchange:
    live: Path
    incoming: Path
    outgoing: Path


def swap(names: Exchange, warn: Callable[[str], None], control: Control) -> Swapped:
    """As ``ports.Restorer.swap``."""
    _require_ready(names)
    with (
        alone(names.live, control),
        translating(names.live),
        files.explained(f"{names.live} cannot be exchanged"),
    ):
        wal = is_wal(names.live)
        _prepare(names.incoming, wal=wal)
        with contextlib.closing(connect(names.live, Access.WRITE)) as connection:
            descriptor = open_files.descriptor_of(names.live)
            try:
                names.outgoing.hardlink_to(names.live)
                files.sync(names.live.parent)
                began = _owned(connection, descriptor, names, control)
                unkept = _replace(names, descriptor)
            except BaseException:
                _take_back(names, connection, warn, wal=wal)
                raise
            seconds = clock.monotonic() - began
            files.sync(names.live.parent)
            late = _latecomers(descriptor, names.outgoing, control)
    done = (("ln", names.live, names.outgoing), ("mv", names.incoming, names.live))
    statements = tuple(shlex.join(map(str, command)) for command in done)
    return Swapped(seconds=seconds, statements=statements, warnings=(*unkept, *late))


def is_swapped(names: Exchange, warn: Callable[[str], None], control: Control) -> bool:
    """As ``ports.Restorer.is_swapped``."""
    if not names.live.exists():
        raise SourceError(f"{names.live} does not exist", hint="is its file system mounted?")
    if not names.incoming.exists() and names.outgoing.exists() and not names.outgoing.samefile(names.live):
        return True
    with alone(names.live, control), translating(names.live), files.explained("the swap cannot be taken back"):
        wal = names.incoming.exists() and is_wal(names.incoming)  # it was given the live one's mode before
        with contextlib.closing(connect(names.live, Access.WRITE)) as connection:
            _take_back(names, connection, warn, wal=wal)
    return False


def mode_of(live: Path, control: Control) -> bool:
    """Whether it is in WAL mode."""
    with alone(live, control):
        return is_wal(live)


def _require_ready(names: Exchange) -> None:
    if not names.incoming.exists():
        raise SourceError(f"{names.incoming} does not exist", hint="restore it anew: it may have been dropped")
    if names.outgoing.exists():
        raise RefusedError(f"there is {names.outgoing} already", hint="move it away, or see amanat reconcile")


def _prepare(incoming: Path, *, wal: bool) -> None:
    """It gets the journal mode of the live one: that is the application's choice."""
    with translating(incoming), contextlib.closing(connect(incoming, Access.WRITE)) as connection:
        descriptor = open_files.descriptor_of(incoming)
        if not _is_ours(descriptor):
            raise _busy(incoming, descriptor)
        journaling.switch(connection, wal=wal)
    files.sync(incoming)


def _owned(connection: sqlite3.Connection, descriptor: int, names: Exchange, control: Control) -> float:
    """Nobody else has it open from here on, or may use it who opens it now; since when."""
    patience = Limited(control, _PATIENCE)
    while True:
        began = clock.monotonic()
        if _is_ours(descriptor) and _locked(connection) and _is_ours(descriptor):
            _require_unmoved(descriptor, names)
            return began
        _let_go(connection)
        try:
            patience.wait(_PAUSE_SECONDS)
        except TimeoutExceededError as exc:
            raise _busy(names.live, descriptor) from exc


def _is_ours(descriptor: int) -> bool:
    only = open_files.is_only(descriptor)
    return not open_files.others(descriptor) if only is None else only


def _locked(connection: sqlite3.Connection) -> bool:
    """In normal locking mode: an exclusive one would leave a journal, and remove it by its name later on."""
    try:
        journaling.switch(connection, wal=False)
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as exc:
        if is_busy(exc):
            return False
        raise
    return not journaling.is_wal(connection)  # an application may switch it on whenever it connects


def _let_go(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _require_unmoved(descriptor: int, names: Exchange) -> None:
    if not os.path.samestat(os.fstat(descriptor), names.live.stat()):
        raise SourceError(
            f"{names.live} has just become another file",
            hint=f"see who puts one there, and try again; what it was before is {names.outgoing}",
            transient=True,
        )


def _replace(names: Exchange, descriptor: int) -> tuple[str, ...]:
    """The last step is the one that counts. What lies beside the old file now is empty or void.

    Before each it is still the old file that lies there: who renames another one into its place asks for no lock.
    """
    unkept = likeness.take_on(names.incoming, names.live)
    for ending in SIDE_FILES:
        _require_unmoved(descriptor, names)
        beside(names.live, ending).unlink(missing_ok=True)
    _require_unmoved(descriptor, names)
    names.incoming.rename(names.live)
    return unkept


def _take_back(names: Exchange, connection: sqlite3.Connection, warn: Callable[[str], None], *, wal: bool) -> None:
    """Unless it is done: then ``outgoing`` is all there is of the old one, and has no mode but its own."""
    if names.outgoing.exists():
        if not names.outgoing.samefile(names.live):
            return
        names.outgoing.unlink()
    _let_go(connection)
    if wal and not _is_wal_again(connection):
        warn(f"{names.live} is left with a rollback journal: set it back with PRAGMA journal_mode = WAL")


def _is_wal_again(connection: sqlite3.Connection) -> bool:
    until = clock.monotonic() + _BACK.total_seconds()
    while clock.monotonic() < until:  # each try waits for a tenth of a second
        try:
            journaling.switch(connection, wal=True)
            return journaling.is_wal(connection)
        except sqlite3.OperationalError as exc:
            if not is_busy(exc):
                return False
    return False


def _latecomers(descriptor: int, outgoing: Path, control: Control) -> tuple[str, ...]:
    """Who opened the old file in the instant before it was renamed is kept out of it until he gives up."""
    patience = Limited(control, _LATECOMERS)
    with contextlib.suppress(AmanatError):  # the swap is done, whatever we are told now
        while not _is_ours(descriptor):
            patience.wait(_PAUSE_SECONDS)
        if open_files.is_only(descriptor) is None:
            return (f"whether other processes still have {outgoing} open cannot be told here: restart them",)
        return ()
    who = _named(descriptor)
    return (f"{outgoing} is still open in {who}: restart it at once, it reads the old state",)


def _busy(path: Path, descriptor: int) -> BusyError:
    return BusyError(
        f"{path} is open in {_named(descriptor)}",
        hint="stop what uses it, workers and consoles too, or let hooks before_restore do so; then try again",
    )


def _named(descriptor: int) -> str:
    return (
        ", ".join(open_files.others(descriptor)) or "a process that cannot be seen from here (ask fuser as root)"
    )
