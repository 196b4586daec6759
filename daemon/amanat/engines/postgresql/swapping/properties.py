"""What a server keeps of a database outside of it, and the SQL that gives the same to another one.

A dump has it under CREATE DATABASE and ``DATABASE PROPERTIES``, which a restore into a database that is there
leaves out.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from psycopg import sql

from amanat.domain.errors import SourceError
from amanat.engines.postgresql.connection import Session

_DATABASE = """
SELECT pg_get_userbyid(d.datdba)::text, d.datconnlimit, d.datallowconn, d.datistemplate, t.spcname::text,
       shobj_description(d.oid, 'pg_database')
FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = %s::name
"""
_GRANTS = """
SELECT coalesce(r.rolname::text, ''), a.is_grantable, a.privilege_type
FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE d.datname = %s::name
"""
_SETTINGS = """
SELECT coalesce(r.rolname::text, ''), c
FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c WHERE d.datname = %s::name
"""
_LABELS = """
SELECT l.provider, l.label FROM pg_shseclabel l JOIN pg_database d ON d.oid = l.objoid
WHERE l.classoid = 'pg_database'::regclass AND d.datname = %s::name
"""
# A value of these is a list of names, each quoted by itself (``variable_is_guc_list_quote`` of pg_dump's
# dumputils.c); one string for all of it would be one name.
_LISTS = {
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
}
_NOTE = "Amanat could not carry over these settings: "
_LISTED = re.compile(r'"((?:[^"]|"")*)"|([^",\s]+)')
Setting = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Properties:
    """``grants``: to whom (empty: PUBLIC), whether he may pass it on, and what. ``settings``: by role (empty: all
    of them) and name. ``is_open``: to connections. ``labels``: security labels, by provider.
    """

    owner: str
    connection_limit: int
    is_open: bool
    is_template: bool
    tablespace: str
    comment: str | None
    grants: frozenset[tuple[str, bool, str]]
    settings: Mapping[tuple[str, str], str]
    labels: Mapping[str, str]


def read(asked: Session, name: str) -> Properties:
    rows = asked.ask(_DATABASE, [name])
    if not rows:
        raise SourceError(f"the server has no database {name}", hint="see how the databases there are called")
    owner, limit, is_open, is_template, tablespace, comment = rows[0]
    settings = ((role, *setting.split("=", 1)) for role, setting in asked.ask(_SETTINGS, [name]))
    return Properties(
        owner=owner,
        connection_limit=limit,
        is_open=is_open,
        is_template=is_template,
        tablespace=tablespace,
        comment=comment,
        grants=frozenset(asked.ask(_GRANTS, [name])),
        settings={(role, key): value for role, key, value in settings},
        labels=dict(asked.ask(_LABELS, [name])),
    )


def carried(wanted: Properties, there: Properties, name: str) -> Iterator[sql.Composed]:
    """What makes ``there``, called ``name``, as ``wanted`` is. Its owner comes first, for he is who grants."""
    altered = sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(name))
    if there.owner != wanted.owner:
        yield altered + sql.SQL("OWNER TO {}").format(sql.Identifier(wanted.owner))
    if there.grants != wanted.grants:
        yield from _granted(wanted, there, sql.Identifier(name))
    if there.comment != wanted.comment:
        yield sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(wanted.comment))
    if there.connection_limit != wanted.connection_limit:
        yield altered + sql.SQL("CONNECTION LIMIT {}").format(sql.Literal(wanted.connection_limit))
    if there.is_template != wanted.is_template:
        yield altered + sql.SQL("IS_TEMPLATE {}").format(sql.Literal(wanted.is_template))
    if there.is_open != wanted.is_open:
        yield altered + sql.SQL("ALLOW_CONNECTIONS {}").format(sql.Literal(wanted.is_open))


def settings(wanted: Properties, there: Properties, name: str) -> Iterator[tuple[Setting, sql.Composed]]:
    """As ``carried``, for what sessions in it begin with; not every role may set all of it."""
    for setting in sorted(there.settings.keys() - wanted.settings.keys()):
        if not _is_noted(there, setting):
            role, key = setting
            yield setting, _altered(role, name) + sql.SQL("RESET {}").format(sql.Identifier(key))
    for setting, value in sorted(wanted.settings.items()):
        if there.settings.get(setting) != value:
            role, key = setting
            given = sql.SQL("SET {} TO {}").format(sql.Identifier(key), _value(key, value))
            yield setting, _altered(role, name) + given


def note(lacking: Iterable[Setting], name: str) -> sql.Composed:
    """For the database that goes out, ``name``: once it comes back, nobody has reset what the other one lacks.

    Its comment is free to say so: the other one has what that said.
    """
    told = sql.Literal(_NOTE + json.dumps(sorted(lacking)))
    return sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), told)


def labelled(wanted: Properties, there: Properties, name: str) -> Iterator[sql.Composed]:
    """As ``carried``, for security labels: it is for their provider to say who may set one."""
    for provider, label in sorted(wanted.labels.items()):
        if there.labels.get(provider) != label:
            yield sql.SQL("SECURITY LABEL FOR {} ON DATABASE {} IS {}").format(
                sql.Identifier(provider), sql.Identifier(name), sql.Literal(label)
            )


def _is_noted(there: Properties, setting: Setting) -> bool:
    told = there.comment or ""
    return told.startswith(_NOTE) and json.dumps(setting) in told


def _granted(wanted: Properties, there: Properties, name: sql.Identifier) -> Iterator[sql.Composed]:
    """From its owner to all, whoever granted it there. The new owner has by then what the old one had."""
    before = {grantee for grantee, *_ in there.grants} | {"", wanted.owner}
    for grantee in sorted(before):
        yield sql.SQL("REVOKE ALL ON DATABASE {} FROM {} CASCADE").format(name, _role(grantee))
    for (grantee, may_pass_on), grants in groupby(sorted(wanted.grants), key=lambda grant: grant[:2]):
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(
            sql.SQL(", ").join(sql.SQL(privilege) for *_, privilege in grants),
            name,
            _role(grantee),
            sql.SQL(" WITH GRANT OPTION" if may_pass_on else ""),
        )


def _role(name: str) -> sql.Composable:
    return sql.Identifier(name) if name else sql.SQL("PUBLIC")


def _altered(role: str, name: str) -> sql.Composed:
    if not role:
        return sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(name))
    return sql.SQL("ALTER ROLE {} IN DATABASE {} ").format(sql.Identifier(role), sql.Identifier(name))


def _value(key: str, value: str) -> sql.Composable:
    if key not in _LISTS:
        return sql.Literal(value)
    listed = [quoted.replace('""', '"') or plain for quoted, plain in _LISTED.findall(value)]
    return sql.SQL(", ").join(map(sql.Literal, listed or [""]))
