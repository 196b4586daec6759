"""A PostgreSQL server for one drill: made from nothing, open to its own user alone, gone afterwards.

It is reached by a socket in its data folder, which has mode 0700: who gets there is a superuser without password.
There is no TCP. It dies with us, for its postmaster is tied to the thread that started it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGQUIT, SIGTERM

from amanat.domain.errors import RefusedError, SpaceError, ToolError
from amanat.domain.units import format_size
from amanat.engines.postgresql.clients import ENVIRONMENT, Client, Places, servers
from amanat.host import clock, files, process
from amanat.ports.run import Control

SUPERUSER = "postgres"
_DATA = "cluster"
_START_SECONDS = 60
_POLL_SECONDS = 0.02
_READY_LINE = 7  # of postmaster.pid (``LOCK_FILE_LINE_PM_STATUS`` of ``pidfile.h``)
_MEBIBYTE = 1024 * 1024
_OWN_BYTES = 64 * _MEBIBYTE  # what initdb makes
_LEAST_WAL, _MOST_WAL = 64 * _MEBIBYTE, 1024 * _MEBIBYTE
_INITDB = (
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",  # databases are made with the locale of the original
    "--no-sync",
    "--no-instructions",
)
# Nothing of it has to survive a crash. With wal_level minimal, rows of a table that is new need no WAL. Code made
# at run time (jit) is what systemd's MemoryDenyWriteExecute forbids.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "32MB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "25",
    "max_locks_per_transaction": "1024",  # large objects are restored in one transaction
    "shared_buffers": "128MB",
    "logging_collector": "off",
}
_QUITTING = SIGQUIT  # "immediate shutdown" (manual, Shutting Down the Server)


def programs(places: Places, major: int, control: Control) -> Client:
    """Those that make a server of that major, or of the nearest later one; RefusedError: none can be made here."""
    if os.geteuid() == 0:
        raise RefusedError(
            "root may run no PostgreSQL server, so none can be made for the drill",
            hint="run Amanat as a user of its own, as deploy/systemd does",
        )
    if found := servers(places, major, control):
        return found[0]
    raise RefusedError(
        f"this host has no server programs of PostgreSQL {major} or later to make one for the drill",
        hint=f"install postgresql-{major}, or name a `drill_server` that is there",
    )


@contextlib.contextmanager
def running(made_by: Client, folder: Path, needed_bytes: int, control: Control) -> Iterator[Mapping[str, str]]:
    """libpq's parameters of its superuser. ``folder``: private; it holds the data meanwhile."""
    data = folder / _DATA
    _require_room(folder, needed_bytes)
    try:
        _initialise(made_by, data, control)
        command = _command(made_by, data, _wal_bytes(needed_bytes))
        with process.beside(command, last=_QUITTING, env=ENVIRONMENT) as server:
            _wait_until_ready(server, data, control)
            yield _parameters(server.pid)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def sweep(folder: Path) -> None:
    """What a dead run left: its server, should that still run, and its data."""
    data = folder / _DATA
    if (lines := _pid_file(data)) and lines[0].isdecimal():
        process.end_working_in(data, int(lines[0]), _QUITTING)
    shutil.rmtree(data, ignore_errors=True)


def _require_room(folder: Path, needed_bytes: int) -> None:
    needed, free = needed_bytes + _wal_bytes(needed_bytes) + _OWN_BYTES, files.free_bytes(folder)
    if free < needed:
        raise SpaceError(
            f"the store's file system has {format_size(free)} free, "
            f"a throw-away server needs about {format_size(needed)}",
            hint="make room on that file system, or name a `drill_server`",
        )


def _initialise(made_by: Client, data: Path, control: Control) -> None:
    options = (*_INITDB, *_without_checksums(made_by), f"--pgdata={data}")
    command: tuple[str | Path, ...] = (made_by.tool("initdb"), *options)
    finished = process.run(process.tied(command, SIGTERM), control=control, env=ENVIRONMENT)
    if finished.returncode:
        said = " ".join(finished.stderr.split())
        raise ToolError(
            f"no throw-away server could be made: initdb {finished.how}: {said}",
            hint=f"run {command[0]} by hand as this user to see more",
        )


def _without_checksums(made_by: Client) -> tuple[str, ...]:
    """They are the default since 18."""
    return ("--no-data-checksums",) if made_by.major >= 18 else ()  # noqa: PLR2004 - as the docstring says


def _wal_bytes(needed_bytes: int) -> int:
    """More makes checkpoints fewer, and takes more room."""
    return min(_MOST_WAL, max(_LEAST_WAL, needed_bytes // 4))


def _command(made_by: Client, data: Path, wal_bytes: int) -> tuple[str | Path, ...]:
    sized = {**_SETTINGS, "max_wal_size": f"{wal_bytes // _MEBIBYTE}MB"}
    settings = (f"--{name}={value}" for name, value in sized.items())
    return (made_by.tool("postgres"), "-D", data, *settings)


def _parameters(pid: int) -> dict[str, str]:
    """A socket's path may have 107 bytes (unix(7)), and the store may lie deep: a server works in its data folder,
    so that has a short name too. What is not set here, libpq takes from the environment.
    """
    host = f"/proc/{pid}/cwd"
    return {"host": host, "hostaddr": "", "port": "5432", "user": SUPERUSER, "dbname": "postgres"}


def _wait_until_ready(server: process.Beside, data: Path, control: Control) -> None:
    """As pg_ctl does."""
    give_up = clock.monotonic() + _START_SECONDS
    while not server.has_ended and clock.monotonic() < give_up:
        lines = _pid_file(data)
        if len(lines) > _READY_LINE and lines[_READY_LINE].strip() == "ready":
            return
        control.wait(_POLL_SECONDS)
    raise ToolError(
        f"the throw-away server did not start: {' '.join(server.stderr.split())}",
        hint="its own words say why; memory, semaphores or a sandbox may be too narrow",
    )


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []
