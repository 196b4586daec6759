"""Settings of the sessions that restore: such as their role may set, and none that weakens what ends up there."""

import os
from collections.abc import Mapping
from dataclasses import replace

from psycopg.conninfo import make_conninfo

from amanat.engines.postgresql.connection import Session, Target

_MEBIBYTE = 1024 * 1024
# Of maintenance_work_mem. More is not faster: GIN on 1.4 million jsonb values took 7.3 s of CPU with 64 MB and
# 9.1 s with 1 GB (15.19), since a larger tree of entries misses the processor's caches.
_MOST_MEGABYTES = 256
_SHARE_OF_MEMORY = 16
# A role may carry settings for its everyday use (ALTER ROLE … SET); pg_restore undoes others, but not these.
_UNDONE = {"default_transaction_read_only": "off", "idle_session_timeout": "0"}
_FIRST_WITH_EVENT_TRIGGERS = 17
_MAY_SET_EVENT_TRIGGERS = "SELECT has_parameter_privilege(session_user, 'event_triggers', 'SET')"
_MAINTENANCE_MEMORY = "SELECT pg_size_bytes(current_setting('maintenance_work_mem'))"
_DURABLE = """
SELECT set_config('synchronous_commit', 'local', false), pg_logical_emit_message(true, 'amanat', 'restored')
"""


def chosen(asked: Session, jobs: int) -> dict[str, str]:
    """For ``jobs`` sessions on the server that is asked. Whoever leaves out the wait for the disk at each of
    thousands of commits has to make up for it at the end: ``make_durable``."""
    settings = {**undone(asked), "synchronous_commit": "off"}
    memory = _maintenance_megabytes(asked, jobs)
    return {**settings, "maintenance_work_mem": f"{memory}MB"} if memory else settings


def undone(asked: Session) -> Mapping[str, str]:
    """What the role's settings, or event triggers that came with the restore, would keep us from: one may forbid
    DDL, one on login lets nobody in (17 and later, manual, event_triggers)."""
    if asked.server_major < _FIRST_WITH_EVENT_TRIGGERS or not asked.ask(_MAY_SET_EVENT_TRIGGERS)[0][0]:
        return _UNDONE
    return {**_UNDONE, "event_triggers": "off"}


def make_durable(asked: Session) -> None:
    """A commit that waits for the disk has all earlier ones on it as well: the WAL is one."""
    asked.ask(_DURABLE)


def with_settings(settings: Mapping[str, str], target: Target, theirs: str) -> Target:
    """``theirs``: the options that the user's own sessions there have (``Session.options``), wherever libpq found
    them; they come last, so they win."""
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return replace(target, conninfo=make_conninfo(target.conninfo, options=f"{ours} {theirs}".strip()))


def _maintenance_megabytes(asked: Session, jobs: int) -> int:
    """0: leave it at what the server has; we know nothing of another machine's memory."""
    if not asked.is_on_this_host():
        return 0
    wanted = min(_MOST_MEGABYTES, _memory_megabytes() // _SHARE_OF_MEMORY // jobs)
    has = int(asked.ask(_MAINTENANCE_MEMORY)[0][0]) // _MEBIBYTE
    return wanted if wanted > has else 0


def _memory_megabytes() -> int:
    """Of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MEBIBYTE
