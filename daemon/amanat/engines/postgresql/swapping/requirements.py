"""What keeps a database from being swapped, told before one is restored for it: all of it, with what mends it."""

from collections.abc import Iterator, Sequence

from amanat.domain.errors import RefusedError
from amanat.domain.model import Facts
from amanat.engines.postgresql import access
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.dumping.dump import quoted
from amanat.engines.postgresql.rehearsing.preparing import major_of
from amanat.engines.postgresql.swapping import others

_CONNECTIONS = 3  # that a restore takes at least; a swap takes two
_FIRST_WITH_SET_OPTION = 16  # of memberships (manual, GRANT)
_ROLE = """
SELECT me.rolname::text, me.rolsuper, me.rolcreatedb, owner.rolname::text, owner.rolsuper,
       pg_has_role(d.datdba, 'USAGE') AND pg_has_role(d.datdba, %s), pg_has_role('pg_signal_backend', 'USAGE')
FROM pg_database d JOIN pg_roles owner ON owner.oid = d.datdba JOIN pg_roles me ON me.rolname = current_user
WHERE d.datname = %s::name
"""
_LACKING = """
SELECT name FROM unnest(%s::text[]) wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_available_extensions a WHERE a.name = wanted.name) ORDER BY 1
"""
_SHOWN = 5
Obstacle = tuple[str, str]
"""What it is, and what mends it."""


def require(asked: Session, live: str, facts: Facts | None) -> None:
    """RefusedError names all that is in the way. ``asked``: in another database than ``live``. ``facts``: of
    what is to be restored first; None: it stands there already.
    """
    found = [
        *_server(asked),
        *(_restore(asked, facts) if facts else ()),
        *_role(asked, live),
        *_others(asked, live),
        *_connections(asked),
    ]
    if found:
        raise RefusedError(
            f"database {live} cannot be swapped: {'; '.join(reason for reason, _ in found)}",
            hint="; ".join(dict.fromkeys(remedy for _, remedy in found)),
        )


def _server(asked: Session) -> Iterator[Obstacle]:
    if asked.ask("SELECT pg_is_in_recovery()")[0][0]:
        yield "the server is a standby, where nothing can be changed", "name the primary as `connection`"


def _restore(asked: Session, facts: Facts) -> Iterator[Obstacle]:
    if asked.server_major < (wanted := major_of(facts)):
        yield (
            f"the server is PostgreSQL {asked.server_version}, older than the snapshot's {wanted}",
            f"choose a snapshot of PostgreSQL {asked.server_major} or earlier",
        )
    if lacking := [name for (name,) in asked.ask(_LACKING, [_extensions(facts)])]:
        yield (
            f"the snapshot has extensions that the server does not offer: {', '.join(lacking)}",
            "install their packages on the database server",
        )


def _extensions(facts: Facts) -> list[str]:
    objects = facts.description.objects if facts.description else ()
    return [item.name for item in objects if item.kind == "extension"]


def _role(asked: Session, live: str) -> Iterator[Obstacle]:
    membership = "SET" if asked.server_major >= _FIRST_WITH_SET_OPTION else "MEMBER"
    rows = asked.ask(_ROLE, [membership, live])
    if not rows:
        yield "the server has no such database", "see how the databases there are called"
        return
    role, is_superuser, may_create, owner, is_superusers, owns, _ = rows[0]
    if is_superuser:
        return
    if not may_create:
        yield f"role {role} may not rename databases", f"as a superuser: ALTER ROLE {quoted(role)} CREATEDB;"
    if not owns:
        given = f"ALTER DATABASE {quoted(live)} OWNER TO {quoted(role)};"
        shared = f"GRANT {quoted(owner)} TO {quoted(role)};"
        yield f"it belongs to {owner}, not to role {role}", f"as a superuser: {given if is_superusers else shared}"


def _others(asked: Session, live: str) -> Iterator[Obstacle]:
    there = others.unendable(asked, [live])
    if superusers := [each.description for each in there if each.is_superuser]:
        yield (
            f"only a superuser may end {_listed(superusers)}",
            "close these sessions, or let Amanat connect as a superuser",
        )
    if rest := [each.description for each in there if not each.is_superuser]:
        (role,) = asked.ask("SELECT current_user::text")[0]
        yield (
            f"role {role} may not end {_listed(rest)}",
            f"as a superuser: GRANT pg_signal_backend TO {quoted(role)};",
        )
    if waiting := others.prepared(asked, [live]):
        yield (
            f"there is {_listed(waiting)}",
            "in that database: COMMIT PREPARED or ROLLBACK PREPARED, as its owner knows",
        )


def _connections(asked: Session) -> Iterator[Obstacle]:
    limit, left = access.left(asked, of_database=False)
    if left < _CONNECTIONS:
        yield (
            f"a restore and a swap need {_CONNECTIONS} connections, and {limit} leaves {max(0, left)}",
            "raise that limit, or try again when fewer are connected",
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
