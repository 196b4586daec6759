"""Settings of the sessions that restore: such as any role may set, and none that weakens what ends up there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from amanat.engines.postgresql.connection import Session, Target

_MEBIBYTE = 1024 * 1024
# Of maintenance_work_mem. More is not faster: GIN on 1.4 million jsonb values took 7.3 s of CPU with 64 MB and
# 9.1 s with 1 GB (15.19), since a larger tree of entries misses the processor's caches.
_MOST_MEGABYTES = 256
_SHARE_OF_MEMORY = 16
# A role may carry settings for its everyday use (ALTER ROLE … SET); pg_restore undoes others, but not these.
_UNDONE = {"default_transaction_read_only": "off", "idle_session_timeout": "0"}
_SAME_MACHINE = "SELECT inet_server_addr() IS NOT DISTINCT FROM inet_client_addr()"
_MAINTENANCE_MEMORY = "SELECT pg_size_bytes(current_setting('maintenance_work_mem'))"
_DURABLE = """
SELECT set_config('synchronous_commit', 'local', false), pg_logical_emit_message(true, 'amanat', 'restored')
"""


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a client comes to sessions with such settings."""

    conninfo: str = field(repr=False)
    environment: Mapping[str, str]


def chosen(asked: Session, jobs: int) -> dict[str, str]:
    """For ``jobs`` sessions on the server that is asked. Whoever leaves out the wait for the disk at each of
    thousands of commits has to make up for it at the end: ``make_durable``."""
    settings = {**_UNDONE, "synchronous_commit": "off"}
    memory = _maintenance_megabytes(asked, jobs)
    return {**settings, "maintenance_work_mem": f"{memory}MB"} if memory else settings


def make_durable(asked: Session) -> None:
    """A commit that waits for the disk has all earlier ones on it as well: the WAL is one."""
    asked.ask(_DURABLE)


def access(settings: Mapping[str, str], target: Target) -> Access:
    """The user's own options come last, so they win; those of a service file replace ours (libpq looks for
    ``options`` in the string, in the service, and in ``PGOPTIONS``, and takes the first)."""
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    if theirs := conninfo_to_dict(target.conninfo).get("options"):
        return Access(conninfo=make_conninfo(target.conninfo, options=f"{ours} {theirs}"), environment={})
    theirs = os.environ.get("PGOPTIONS", "")
    return Access(conninfo=target.conninfo, environment={"PGOPTIONS": f"{ours} {theirs}".strip()})


def _maintenance_megabytes(asked: Session, jobs: int) -> int:
    """0: leave it at what the server has; we know nothing of another machine's memory."""
    if not asked.ask(_SAME_MACHINE)[0][0]:
        return 0
    wanted = min(_MOST_MEGABYTES, _memory_megabytes() // _SHARE_OF_MEMORY // jobs)
    has = int(asked.ask(_MAINTENANCE_MEMORY)[0][0]) // _MEBIBYTE
    return wanted if wanted > has else 0


def _memory_megabytes() -> int:
    """Of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MEBIBYTE
