"""Whether a database can be made on a server and filled there, and as whom: asked before anything is made."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace

from amanat.domain.errors import RefusedError
from amanat.domain.model import Facts
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.rehearsing import choice, database, ownership, roles
from amanat.engines.postgresql.rehearsing.database import Like, Role
from amanat.engines.postgresql.rehearsing.filling import Filling, Ready
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.engines.postgresql.restoring import sessions
from amanat.ports.engine import Place

_MOST_JOBS = 4
_SHOWN = 5


def prepared(
    asked: Session, server: Server, wanted: Filling, name: str, place: Place, *, like: Like | None = None
) -> tuple[Filling, Ready]:
    """What can be restored of ``wanted``, and how. ``like``: it has to be all that this one is, owners too."""
    role = database.role(asked)
    role.require()
    require_major(asked, major_of(wanted.facts))
    what = _restorable(wanted, role, owners=like is not None)
    owners, warnings = _owners(asked, server, what, role, like)
    database.require_room(asked, what.facts, like)
    own = server.target(place, dbname=name)
    return what, Ready(
        target=sessions.with_settings(sessions.undone(asked), own, asked.options),
        jobs=database.jobs(asked, min(len(os.sched_getaffinity(0)), _MOST_JOBS)),
        owners=owners,
        is_superuser=role.is_superuser,
        tablespaces=server.is_own,
        warnings=warnings,
    )


def require_major(asked: Session, wanted: int) -> None:
    if asked.server_major < wanted:
        raise RefusedError(
            f"the server is PostgreSQL {asked.server_version}, older than the database's {wanted}",
            hint=f"restore on one of PostgreSQL {wanted} or later; for drills name it as `drill_server`",
        )


def major_of(facts: Facts) -> int:
    """Also of a beta, such as ``19beta1``."""
    return int(re.split(r"\D", facts.engine_version, maxsplit=1)[0])


def _restorable(wanted: Filling, role: Role, *, owners: bool) -> Filling:
    if role.is_superuser:
        return wanted
    chosen = choice.without_event_triggers(wanted.choice, wanted.contents)
    if owners:
        chosen = choice.without_enforcement(chosen, wanted.contents)
    return replace(wanted, choice=chosen)


def _owners(
    asked: Session, server: Server, what: Filling, role: Role, like: Like | None
) -> tuple[bool, tuple[str, ...]]:
    """Whether they are restored; warnings where not all is as a superuser would have it."""
    needed = roles.needed(what.chosen, what.facts, what.artefact)
    if server.is_ours:
        roles.create(asked, needed)
    _require_roles(asked, server, needed)
    if like:
        ownership.require(asked, role, what.chosen, needed, like)
        return True, ()
    warnings = _without_owners(asked, server, needed) if role.is_superuser else ()
    return role.is_superuser and not warnings, warnings


def _require_roles(asked: Session, server: Server, needed: roles.Needed) -> None:
    if lacking := roles.missing(asked, needed.bound, needed.encoding):
        raise RefusedError(
            f"policies or user mappings are for roles that {server.called} lacks: {_listed(lacking)}",
            hint="create them there; for drills, say `drill_server: {place: throw_away}`",
        )


def _without_owners(asked: Session, server: Server, needed: roles.Needed) -> tuple[str, ...]:
    lacking = roles.missing(asked, needed.left_out, needed.encoding)
    if not lacking:
        return ()
    return (f"owners and grants were not compared, for {server.called} lacks roles: {_listed(lacking)}",)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
