"""Event triggers that refuse changes of the schema to who has no pass: enforcement.sql has them, and says why so.

Rows of ``amanat.passes`` name their database by its OID: in a restored copy none is valid. They go when they are
revoked, and when the next one is issued: what was issued once is in the register.
"""

from datetime import timedelta
from pathlib import Path

from psycopg import sql

from amanat.domain.errors import NotFoundError, RefusedError
from amanat.domain.policy import PostgresqlSource
from amanat.engines.postgresql.connection import Session, Target, session, target
from amanat.host.control import RunControl
from amanat.ports.enforcing import Asked, Enforcement, Installation, Pass
from amanat.ports.run import Control

VERSION = 1
_SCRIPT = Path(__file__).parent / "enforcement.sql"
_REMOVE = "DROP SCHEMA amanat CASCADE;\n"  # the triggers go with their function
_TRIGGERS = 3
_REVOKING = timedelta(minutes=1)
_THERE = """
SELECT EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'installation')
FROM pg_namespace n WHERE n.nspname = 'amanat'
"""
_INSTALLATION = """
SELECT version, database, issuer::text, ARRAY(SELECT role::text FROM amanat.exempt ORDER BY role),
  (SELECT count(*) FROM pg_event_trigger
   WHERE evtfoid = to_regprocedure('amanat.enforce()') AND evtenabled IN ('O', 'A'))
FROM amanat.installation
"""
_HERE = "(SELECT oid FROM pg_database WHERE datname = current_database())"
_PASSES = f"""
SELECT id, role::text, valid_until, issued_by, purpose FROM amanat.passes
WHERE database = {_HERE} AND valid_until > clock_timestamp() ORDER BY valid_until
"""  # noqa: S608 - a constant of ours
_WRITING = "SET default_transaction_read_only = off"  # a role for backups may have it on
_ROLE = "SELECT rolname::text, rolsuper FROM pg_roles WHERE rolname = current_user"
_UNKNOWN = """
SELECT name FROM unnest(%s::text[]) name WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
"""
_MAY_ISSUE = (
    "SELECT has_table_privilege('amanat.passes', 'INSERT') AND has_table_privilege('amanat.passes', 'DELETE')"
)
_USUAL = """
SELECT r.rolname::text
FROM pg_roles r, pg_database d,
  LATERAL (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid AND c.relkind IN ('r', 'p')) AS own (tables)
WHERE d.datname = current_database() AND (d.datdba = r.oid OR NOT r.rolsuper AND own.tables > 0)
ORDER BY r.rolsuper, d.datdba = r.oid DESC, own.tables DESC LIMIT 1
"""
_FORGET = "DELETE FROM amanat.passes WHERE valid_until <= clock_timestamp()"
_ISSUE = f"""
INSERT INTO amanat.passes (id, role, database, issued_at, valid_until, issued_by, purpose)
SELECT %s, %s, {_HERE}, t, t + %s, %s, %s FROM clock_timestamp() t
RETURNING id, role::text, valid_until, issued_by, purpose
"""  # noqa: S608 - a constant of ours
_REVOKE = "DELETE FROM amanat.passes WHERE id = %s"


class PostgresqlEnforcer:
    """Fulfils ``ports.enforcing.Enforcer``."""

    def __init__(self, source: PostgresqlSource, password: str | None) -> None:
        self._parameters = source.parameters
        self._password = password

    def state(self, scratch: Path, control: Control) -> Enforcement | None:
        with session(self._target(scratch), control) as asked:
            return _state(asked) if _is_there(asked) else None

    def install(self, wanted: Installation, scratch: Path, control: Control) -> Enforcement:
        with session(self._target(scratch), control) as asked:
            script = _installing(asked, wanted)
            _require_superuser(asked, "install")
            asked.ask(_WRITING)
            asked.ask(script)
            return _state(asked)

    def remove(self, scratch: Path, control: Control) -> None:
        with session(self._target(scratch), control) as asked:
            if not _is_there(asked):
                raise NotFoundError("it is not installed there", hint="`amanat enforce status` tells")
            _require_superuser(asked, "remove")
            asked.ask(_WRITING)
            asked.ask(_REMOVE)

    def installing(self, wanted: Installation, scratch: Path, control: Control) -> str:
        with session(self._target(scratch), control) as asked:
            return _installing(asked, wanted).as_string()

    def removing(self) -> str:
        return _REMOVE

    def issue(self, pass_id: str, asked: Asked, scratch: Path, control: Control) -> Pass:
        with session(self._target(scratch), control) as database:
            _require_issuer(database)
            role = asked.role or database.ask(_USUAL)[0][0]
            _require_roles(database, role)
            database.ask(_WRITING)
            database.ask(_FORGET)
            return _pass(*database.ask(_ISSUE, [pass_id, role, asked.span, asked.by, asked.purpose])[0])

    def revoke(self, issued: Pass, scratch: Path) -> None:
        with session(self._target(scratch), RunControl(timeout=_REVOKING)) as asked:
            asked.ask(_WRITING)
            asked.ask(_REVOKE, [issued.id])

    def _target(self, scratch: Path) -> Target:
        return target(self._parameters, self._password, scratch)


def _is_there(asked: Session) -> bool:
    """RefusedError: its schema is somebody else's."""
    found = asked.ask(_THERE)
    if found and not found[0][0]:
        raise RefusedError(
            "the database has a schema amanat that is not of Amanat's making",
            hint="rename it: ALTER SCHEMA amanat RENAME TO …",
        )
    return bool(found)


def _state(asked: Session) -> Enforcement:
    version, database, issuer, exempt, enabled = asked.ask(_INSTALLATION)[0]
    return Enforcement(
        version=version,
        installation=Installation(database=database, exempt=tuple(exempt), issuer=issuer),
        is_enabled=enabled == _TRIGGERS,
        passes=tuple(_pass(*row) for row in asked.ask(_PASSES)),
    )


def _installing(asked: Session, wanted: Installation) -> sql.Composed:
    issuer = wanted.issuer or asked.ask(_ROLE)[0][0]
    _require_roles(asked, issuer, *wanted.exempt)
    body = sql.SQL(_SCRIPT.read_text("utf-8")).format(
        version=sql.Literal(VERSION),
        database=sql.Literal(wanted.database),
        exempt=sql.Literal(list(wanted.exempt)),
        issuer=sql.Literal(issuer),
        issuer_role=sql.Identifier(issuer),
    )
    before = sql.SQL(_REMOVE if _is_there(asked) else "")
    return sql.SQL("BEGIN;\n{}{}COMMIT;\n").format(before, body)


def _require_superuser(asked: Session, command: str) -> None:
    """Manual, CREATE EVENT TRIGGER: "only superusers"."""
    name, is_superuser = asked.ask(_ROLE)[0]
    if not is_superuser:
        raise RefusedError(
            f"role {name} is no superuser, and only one may make or drop event triggers",
            hint=f"have one run what this prints: amanat enforce {command} … --print-sql",
        )


def _require_roles(asked: Session, *names: str) -> None:
    if unknown := [name for (name,) in asked.ask(_UNKNOWN, [list(names)])]:
        raise NotFoundError(f"the server has no role {', '.join(unknown)}", hint="see psql's \\du")


def _require_issuer(asked: Session) -> None:
    if not _is_there(asked):
        raise RefusedError(
            "nothing is enforced there, so there are no passes to issue", hint="amanat enforce install"
        )
    if not asked.ask(_MAY_ISSUE)[0][0]:
        role = sql.Identifier(asked.ask(_ROLE)[0][0]).as_string()
        raise RefusedError(
            f"role {role} may not issue passes",
            hint=f"as a superuser: GRANT INSERT, DELETE ON amanat.passes TO {role};",
        )


def _pass(*row: object) -> Pass:
    return Pass(**dict(zip(("id", "role", "until", "by", "purpose"), row, strict=True)))  # type: ignore[arg-type]
