"""A PostgreSQL server set up as people run theirs: it syncs, and keeps what it needs for recovery."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import BenchmarkError, command
from tests.support.postgres_server import Server, Workspace

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "autovacuum": "off",  # it would come in the middle of one side
    "max_connections": "40",
    "logging_collector": "off",
}
"""The rest is as PostgreSQL ships it: fsync, full_page_writes and synchronous_commit are on."""

_LONGEST_FOLDER = 60  # a socket's path has at most 107 bytes (unix(7))


@contextlib.contextmanager
def server(major: int, folder: Path, **more: str) -> Iterator[Server]:
    """One of the test suite's binaries on data below ``folder``; gone at the end."""
    _require_usable(folder)
    workspace = Workspace(folder, SETTINGS | more)
    try:
        yield workspace.server(major)
    finally:
        workspace.close()


def version(started: Server) -> str:
    """Such as ``15.12``, without what a distribution adds."""
    return started.psql("SHOW server_version").split()[0]


def _require_usable(folder: Path) -> None:
    if len(os.fsencode(folder.absolute())) > _LONGEST_FOLDER:
        raise BenchmarkError(f"{folder} is too deep for a server's socket: name another --folder")
    if os.geteuid() != 0:
        return
    try:
        command("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "test", "-x", folder)
    except BenchmarkError as exc:
        raise BenchmarkError(f"PostgreSQL's user cannot enter {folder}: name another --folder") from exc
