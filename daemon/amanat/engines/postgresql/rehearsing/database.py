"""The database that a drill makes on a server, fills and drops: whether it may, and how it is made."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from amanat.domain.errors import RefusedError, SourceError, SpaceError
from amanat.domain.model import Facts
from amanat.domain.units import format_size
from amanat.engines.postgresql import access
from amanat.engines.postgresql.connection import Session
from amanat.host import files

PREFIX = "amanat_drill_"
_GROWTH = 1.1  # an index built anew is not larger, but WAL and sorting need room for a while
_BESIDE = 2  # sessions beside those that restore: one that looks on, one of ours
_ROLE = """
SELECT rolsuper, rolsuper OR rolcreatedb, rolname, pg_is_in_recovery() FROM pg_roles WHERE rolname = current_user
"""
_FOLDER = "SELECT setting FROM pg_settings WHERE name = 'data_directory'"
_WRITING = "SET default_transaction_read_only = off"  # a role for backups may have it on
_LEFT = "SELECT datname FROM pg_database WHERE starts_with(datname::text, %s) ORDER BY 1"
_PROVIDERS = {"i": "icu", "b": "builtin", "c": "libc"}


@dataclass(frozen=True, kw_only=True)
class Role:
    """The one that a drill connects as. ``on_standby``: where nobody may create anything."""

    name: str
    is_superuser: bool
    may_create: bool
    on_standby: bool

    def require(self) -> None:
        if self.on_standby:
            raise RefusedError(
                "the server is a standby, where no database can be created for the drill",
                hint="say another `drill_server`",
            )
        if not self.may_create:
            raise RefusedError(
                f"role {self.name} may not create the database that a drill restores into",
                hint=f'as a superuser: ALTER ROLE "{self.name}" CREATEDB',
            )


def role(asked: Session) -> Role:
    is_superuser, may_create, name, on_standby = asked.ask(_ROLE)[0]
    return Role(name=name, is_superuser=is_superuser, may_create=may_create, on_standby=on_standby)


def needed_bytes(facts: Facts) -> int:
    return int(facts.source_bytes * _GROWTH)


def require_room(asked: Session, facts: Facts) -> None:
    """Where its folder is on this host, and known to the role; a server far away is not asked."""
    known = asked.is_on_this_host() and asked.ask(_FOLDER)  # another machine may have a folder of the same name
    needed = needed_bytes(facts)
    with contextlib.suppress(OSError):
        if known and (free := files.free_bytes(Path(known[0][0]))) < needed:
            raise SpaceError(
                f"the server has {format_size(free)} free, the drill needs about {format_size(needed)}",
                hint="make room on the server's disk, or say another `drill_server`",
            )


def jobs(asked: Session, wanted: int) -> int:
    """How many connections may restore at once; SourceError where not even one is left."""
    limit, left = access.left(asked, of_database=False)
    if left <= _BESIDE:
        raise SourceError(
            f"a drill needs {_BESIDE + 1} connections, and {limit} leaves {max(0, left)}",
            hint="try again when fewer are connected, or raise that limit",
            transient=True,
        )
    return min(wanted, left - _BESIDE)


def create(asked: Session, name: str, facts: Facts) -> None:
    """Ordered and encoded as the original was, and open to its owner alone."""
    new = sql.Identifier(name)
    asked.ask(_WRITING)
    asked.ask(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(new) + _locale(facts))
    asked.ask(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(new))


def drop(asked: Session, name: str) -> None:
    """Without FORCE it waits for a moment, and ends an autovacuum worker by itself (``CountOtherDBBackends`` of
    ``procarray.c``); with FORCE a plain role may not end one.
    """
    asked.ask(_WRITING)
    dropping = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
    try:
        asked.ask(dropping)
    except SourceError:
        asked.ask(dropping + sql.SQL(" WITH (FORCE)"))


def left(asked: Session, is_dead: Callable[[str], bool]) -> list[str]:
    """Those of runs that work no longer: ``is_dead`` is asked by the run's id."""
    return [name for (name,) in asked.ask(_LEFT, [PREFIX]) if is_dead(name.removeprefix(PREFIX))]


def sweep(asked: Session, is_dead: Callable[[str], bool]) -> list[str]:
    dropped = left(asked, is_dead)
    for name in dropped:
        drop(asked, name)
    return dropped


def _locale(facts: Facts) -> sql.Composed:
    """CREATE DATABASE of 15 and later knows providers; of 17 and later the builtin one."""
    server = facts.extra.get("server")
    if not isinstance(server, Mapping):
        return sql.Composed([])
    told = server["locale"]
    provider = _PROVIDERS[told.get("datlocprovider", "c")]
    options = {"ENCODING": server["encoding"], "LC_COLLATE": told["datcollate"], "LC_CTYPE": told["datctype"]}
    if provider != "libc":
        kind = "ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE"
        options |= {"LOCALE_PROVIDER": provider, kind: told.get("datlocale") or told["daticulocale"]}
    return sql.Composed(
        [sql.SQL(" {} = {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options.items()]
    )
