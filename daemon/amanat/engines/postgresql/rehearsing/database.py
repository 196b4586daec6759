"""A database that is made on a server to be filled: whether that may be, and how it is made and dropped."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from amanat.domain.errors import NotFoundError, RefusedError, SourceError, SpaceError
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
_FOLDER = """
SELECT coalesce((SELECT nullif(pg_tablespace_location(oid), '') FROM pg_tablespace WHERE spcname = %s),
                (SELECT setting FROM pg_settings WHERE name = 'data_directory'))
"""
_DEFAULT_TABLESPACE = "pg_default"
_LIKE = """
SELECT pg_get_userbyid(datdba)::text, spcname::text
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE datname = %s
"""
_WRITING = "SET default_transaction_read_only = off"  # a role for backups may have it on
_LEFT = "SELECT datname FROM pg_database WHERE starts_with(datname::text, %s) ORDER BY 1"
_PROVIDERS = {"i": "icu", "b": "builtin", "c": "libc"}


@dataclass(frozen=True, kw_only=True)
class Role:
    """The one that we connect as. ``on_standby``: where nobody may create anything."""

    name: str
    is_superuser: bool
    may_create: bool
    on_standby: bool

    def require(self) -> None:
        if self.on_standby:
            raise RefusedError(
                "the server is a standby, where no database can be created",
                hint="connect to the primary, or say another `drill_server` for drills",
            )
        if not self.may_create:
            raise RefusedError(
                f"role {self.name} may not create the database to restore into",
                hint=f'as a superuser: ALTER ROLE "{self.name}" CREATEDB',
            )


@dataclass(frozen=True, kw_only=True)
class Like:
    """What a database has of the one that it is to stand in for."""

    owner: str
    tablespace: str

    def options(self) -> sql.Composed:
        """A tablespace that is named takes a right to it, even if it is the usual one (``createdb``)."""
        owner = sql.SQL(" OWNER {}").format(sql.Identifier(self.owner))
        if self.tablespace == _DEFAULT_TABLESPACE:
            return owner
        return owner + sql.SQL(" TABLESPACE {}").format(sql.Identifier(self.tablespace))


def like(asked: Session, name: str) -> Like:
    """NotFoundError: there is none of that name."""
    for owner, tablespace in asked.ask(_LIKE, [name]):
        return Like(owner=owner, tablespace=tablespace)
    raise NotFoundError(f"there is no database {name} on the server", hint="correct `dbname`, or create it")


def role(asked: Session) -> Role:
    is_superuser, may_create, name, on_standby = asked.ask(_ROLE)[0]
    return Role(name=name, is_superuser=is_superuser, may_create=may_create, on_standby=on_standby)


def needed_bytes(facts: Facts) -> int:
    return int(facts.source_bytes * _GROWTH)


def require_room(asked: Session, facts: Facts, like: Like | None = None) -> None:
    needed, free = needed_bytes(facts), free_bytes(asked, like)
    if free is not None and free < needed:
        raise SpaceError(
            f"the server has {format_size(free)} free, to restore it takes about {format_size(needed)}",
            hint="make room on the server's disk, or say another `drill_server` for drills",
        )


def free_bytes(asked: Session, like: Like | None = None) -> int | None:
    """Where its folder is on this host, and known to the role; a server far away is not asked."""
    if not asked.is_on_this_host():  # another machine may have a folder of the same name
        return None
    ((folder,),) = asked.ask(_FOLDER, [like.tablespace if like else _DEFAULT_TABLESPACE])
    with contextlib.suppress(OSError):
        return files.free_bytes(Path(folder)) if folder else None
    return None


def jobs(asked: Session, wanted: int) -> int:
    """How many connections may restore at once; SourceError where not even one is left."""
    limit, left = access.left(asked, of_database=False)
    if left <= _BESIDE:
        raise SourceError(
            f"a restore needs {_BESIDE + 1} connections, and {limit} leaves {max(0, left)}",
            hint="try again when fewer are connected, or raise that limit",
            transient=True,
        )
    return min(wanted, left - _BESIDE)


def create(asked: Session, name: str, facts: Facts, like: Like | None = None) -> None:
    """Ordered and encoded as the original was, and open to its owner alone."""
    new = sql.Identifier(name)
    options = like.options() if like else sql.Composed([])
    asked.ask(_WRITING)
    asked.ask(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(new) + options + _locale(facts))
    asked.ask(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(new))


def exists(asked: Session, name: str) -> bool:
    return bool(asked.ask("SELECT 1 FROM pg_database WHERE datname = %s", [name]))


def size(asked: Session, name: str) -> int | None:
    """Bytes; None: it is not there."""
    found = asked.ask("SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s", [name])
    return int(found[0][0]) if found else None


def mark(asked: Session, name: str) -> str:
    """Another one once it was open to anybody: who opens it and closes it again leaves a new row version (manual,
    "System Columns"). Vacuum notes its progress within the old one (``vac_update_datfrozenxid``).
    """
    found = asked.ask("SELECT oid, xmin, datallowconn FROM pg_database WHERE datname = %s", [name])
    return "; ".join(" ".join(map(str, row)) for row in found)


def rename(asked: Session, name: str, to: str) -> None:
    asked.ask(_WRITING)
    asked.ask(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to)))


def close(asked: Session, name: str) -> None:
    """Nobody gets in any more, not even a superuser (manual, ALTER DATABASE)."""
    asked.ask(_WRITING)
    asked.ask(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))


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
