"""Whether a role can bring back who owned what and who was granted what: a superuser can, others by membership."""

from collections.abc import Collection, Iterable, Sequence

from amanat.archive import Entry
from amanat.domain.errors import RefusedError
from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.dumping.dump import quoted
from amanat.engines.postgresql.rehearsing import roles
from amanat.engines.postgresql.rehearsing.database import Like, Role

# What a role has given away it must still be able to work on: since 16 a membership may allow the one and not the
# other (manual, "Role Membership").
_LACKING = """
SELECT name FROM unnest(%s::text[]) name
WHERE NOT (pg_has_role(current_user, name, 'USAGE') AND pg_has_role(current_user, name, '{able}')) ORDER BY 1
"""
_INHERITS = "SELECT rolinherit FROM pg_roles WHERE rolname = current_user"
_FIRST_WITH_SET = 16


def require(asked: Session, role: Role, entries: Sequence[Entry], needed: roles.Needed, like: Like) -> None:
    _require_there(asked, needed)
    if role.is_superuser:
        return
    _require_no_givers(role, entries)
    names = {*roles.named(asked, roles.owning(entries), needed.encoding), like.owner}
    if lacking := _lacking(asked, names):
        raise RefusedError(
            f"role {role.name} cannot restore what roles {', '.join(lacking)} own: it is no member of these",
            hint=f"as a superuser: {_grant(asked, role, lacking)}",
        )


def _require_there(asked: Session, needed: roles.Needed) -> None:
    if missing := roles.missing(asked, needed.left_out, needed.encoding):
        raise RefusedError(
            f"roles that own something in the snapshot, or were granted something, are gone: {', '.join(missing)}",
            hint=" ".join(f"CREATE ROLE {quoted(name)};" for name in missing),
        )


def _require_no_givers(role: Role, entries: Iterable[Entry]) -> None:
    """pg_restore becomes them, for which it needs a superuser (manual, SET SESSION AUTHORIZATION)."""
    if givers := roles.givers(entries):
        names = ", ".join(sorted(name.decode("utf-8", "backslashreplace") for name in givers))
        raise RefusedError(
            f"role {role.name} cannot restore what was granted by others than owners: {names}",
            hint="connect as a superuser, or have these rights granted by the owners and take a new snapshot",
        )


def _lacking(asked: Session, names: Collection[str]) -> list[str]:
    query = _LACKING.replace("{able}", "SET" if asked.server_major >= _FIRST_WITH_SET else "MEMBER")
    return [name for (name,) in asked.ask(query, [list(names)])]


def _grant(asked: Session, role: Role, lacking: Iterable[str]) -> str:
    granted = f"GRANT {', '.join(map(quoted, lacking))} TO {quoted(role.name)}"
    if asked.server_major >= _FIRST_WITH_SET:
        return f"{granted} WITH INHERIT TRUE, SET TRUE;"
    inherits = asked.ask(_INHERITS)[0][0]
    return f"{granted};" if inherits else f"{granted}; ALTER ROLE {quoted(role.name)} INHERIT;"
