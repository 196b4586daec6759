"""Roles that an archive speaks of, by what its entries and the companion file with the server's roles say."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from amanat.archive import Entry
from amanat.domain.model import Facts
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.dumping.dump import GLOBALS_SUFFIX

_NAME = rb'(?:"(?:[^"]|"")+"|[a-z_\x80-\xff][a-z0-9_$\x80-\xff]*)'
_NAMES = rb"(%s(?:, %s)*)" % (_NAME, _NAME)
# As pg_dump writes them (``buildACLCommands``, ``buildDefaultACLCommands``, ``dumpPolicy``, ``dumpUserMappings``).
_GRANTS = re.compile(
    rb"(?: TO| FROM| FOR ROLE| AUTHORIZATION) %s(?: WITH GRANT OPTION)?(?:;| IN SCHEMA| GRANT| REVOKE)" % _NAMES
)
_POLICY = re.compile(rb" TO %s(?: USING \(| WITH CHECK \(|;)" % _NAMES)
_MAPPING = re.compile(rb"^CREATE USER MAPPING FOR %s SERVER" % _NAMES)
_LEFT_OUT = {"ACL": _GRANTS, "DEFAULT ACL": _GRANTS}
_BOUND = {"POLICY": _POLICY, "USER MAPPING": _MAPPING}
_EACH = re.compile(_NAME)
_CREATED = re.compile(rb"^CREATE ROLE (%s);$" % _NAME, re.MULTILINE)
_SUPERUSERS = re.compile(rb"^ALTER ROLE (%s) WITH SUPERUSER " % _NAME, re.MULTILINE)
_OWNED_BY_SUPERUSERS = {"EVENT TRIGGER", "FOREIGN DATA WRAPPER", "SUBSCRIPTION"}
_EVERYBODY = {b"public"}
_GIVER = re.compile(rb"^SET SESSION AUTHORIZATION (%s);$" % _NAME, re.MULTILINE)
_OF_NOTHING_WITHIN = {"DATABASE", "DATABASE PROPERTIES"}
_DATABASE_OWNER = b"pg_database_owner"  # whoever owns the database is that (manual, "Predefined Roles")
_NAMED = "SELECT convert_from(raw, %s) FROM unnest(%s::bytea[]) raw ORDER BY 1"
# Names come as the bytes that the archive has: of its own encoding, which the server knows.
_MISSING = """
SELECT name FROM (SELECT convert_from(raw, %s) FROM unnest(%s::bytea[]) raw) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) ORDER BY 1
"""


@dataclass(frozen=True, kw_only=True)
class Needed:
    """Names, in ``encoding``. ``bound``: policies and user mappings are for them, and cannot be made without;
    ``left_out``: owners, and those who were granted something: a restore can do without. ``others``: of the
    server, which nothing in the archive names. ``superusers``: those who were.
    """

    encoding: str
    bound: frozenset[bytes]
    left_out: frozenset[bytes]
    others: frozenset[bytes] = frozenset()
    superusers: frozenset[bytes] = frozenset()


def needed(entries: Sequence[Entry], facts: Facts, artefact: Path) -> Needed:
    everybody, superusers = _of_server(artefact)
    owners = {_raw(entry.owner) for entry in entries if entry.owner}
    mighty = {_raw(entry.owner) for entry in entries if entry.owner and entry.kind in _OWNED_BY_SUPERUSERS}
    return Needed(
        encoding=_encoding(facts),
        bound=frozenset(_named(entries, _BOUND)),
        left_out=frozenset(owners | _named(entries, _LEFT_OUT)),
        others=frozenset(everybody),
        superusers=frozenset(superusers if everybody else mighty),
    )


def missing(asked: Session, names: Collection[bytes], encoding: str) -> list[str]:
    return [name for (name,) in asked.ask(_MISSING, [encoding, list(names)])] if names else []


def owning(entries: Iterable[Entry]) -> frozenset[bytes]:
    """Those that have to be given something of what is restored."""
    within = (entry for entry in entries if entry.owner and entry.kind not in _OF_NOTHING_WITHIN)
    return frozenset(_raw(entry.owner) for entry in within) - {_DATABASE_OWNER}


def givers(entries: Iterable[Entry]) -> frozenset[bytes]:
    """Those that granted what they do not own."""
    rights = (entry.definition or b"" for entry in entries if entry.kind == "ACL")
    return frozenset(_unquoted(name) for text in rights for name in _GIVER.findall(text))


def named(asked: Session, names: Collection[bytes], encoding: str) -> list[str]:
    return [name for (name,) in asked.ask(_NAMED, [encoding, list(names)])]


def create(asked: Session, wanted: Needed) -> None:
    """Those that are not there; nobody can log in as one. Which of them are superusers decides what they may own,
    and as whom they grant.
    """
    superusers = missing(asked, wanted.superusers, wanted.encoding)
    everybody = wanted.bound | wanted.left_out | wanted.others | wanted.superusers
    for name in missing(asked, everybody, wanted.encoding):
        rights = sql.SQL("NOLOGIN SUPERUSER" if name in superusers else "NOLOGIN")
        asked.ask(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(name), rights))


def _encoding(facts: Facts) -> str:
    """convert_from does not convert SQL_ASCII, which has no characters but bytes."""
    server = facts.extra.get("server")
    told = str(server["encoding"]) if isinstance(server, Mapping) else "UTF8"
    return "UTF8" if told == "SQL_ASCII" else told


def _of_server(artefact: Path) -> tuple[set[bytes], set[bytes]]:
    """All roles, and those that are superusers, as pg_dumpall wrote them; none where there is no such file."""
    file = artefact.with_name(f"{artefact.name}{GLOBALS_SUFFIX}")
    if not file.is_file():
        return set(), set()
    text = file.read_bytes()
    return set(map(_unquoted, _CREATED.findall(text))), set(map(_unquoted, _SUPERUSERS.findall(text)))


def _named(entries: Iterable[Entry], patterns: Mapping[str, re.Pattern[bytes]]) -> set[bytes]:
    found = (
        name
        for entry in entries
        if (entry.kind or "") in patterns
        for listed in patterns[entry.kind or ""].findall(entry.definition or b"")
        for name in _EACH.findall(listed)
    )
    return {_unquoted(name) for name in found} - _EVERYBODY


def _unquoted(name: bytes) -> bytes:
    return name[1:-1].replace(b'""', b'"') if name.startswith(b'"') else name


def _raw(name: str | None) -> bytes:
    return (name or "").encode("utf-8", "surrogateescape")
