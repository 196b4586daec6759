"""What PostgreSQL's messages mean for us: a remedy, and whether trying again can help.

libpq gives no SQLSTATE for a failed connection and pg_dump none at all, so the texts are matched; they are
those of libpq's fe-connect.c and of the server's postinit.c and auth.c, unchanged from 14 to 18.
"""

import re
import textwrap
from dataclasses import dataclass

from amanat.domain.errors import SourceError, SpaceError, YieldedError

YIELD_HINT = "it is tried again for as long as the policy's timeout allows; take snapshots when nobody migrates"


@dataclass(frozen=True, kw_only=True)
class Symptom:
    pattern: str
    hint: str
    transient: bool = False
    yields: bool = False
    is_full: bool = False
    states: tuple[str, ...] = ()

    def fits(self, text: str, sqlstate: str | None) -> bool:
        """A state may be a class, such as ``08``."""
        by_state = bool(sqlstate) and any(str(sqlstate).startswith(state) for state in self.states)
        return by_state or bool(re.search(self.pattern, text, re.IGNORECASE))


_SYMPTOMS = (
    Symptom(
        pattern="password authentication failed|no password supplied|empty password",
        hint="correct the password where it is kept: what the policy file's `password` names, "
        "or a Laravel application's .env",
        states=("28P01",),
    ),
    Symptom(
        pattern=r"no pg_hba\.conf entry|(Peer|Ident|GSSAPI|certificate) authentication failed",
        hint="let this user in by a line in the server's pg_hba.conf, or connect as another one",
        states=("28000",),
    ),
    Symptom(
        pattern="failed: Permission denied",
        hint="let the user of amanat reach the server's socket folder, or connect by TCP",
    ),
    Symptom(
        pattern='role "[^"]*" (does not exist|is not permitted to log in)',
        hint="correct `user`, or create that role with LOGIN",
    ),
    Symptom(pattern='database "[^"]*" does not exist', hint="correct `dbname`, or create it", states=("3D000",)),
    Symptom(
        pattern='definition of service "[^"]*" not found|service file .* not found|error in service file',
        hint="correct `service`, or the service file (~/.pg_service.conf, PGSERVICEFILE)",
    ),
    Symptom(
        pattern="server does not support SSL|certificate verify failed|root certificate|SSL error",
        hint="correct the TLS settings (sslmode, sslrootcert, …) or the server's certificate",
    ),
    Symptom(
        pattern="invalid (connection option|sslmode|port|integer)|missing .= after",
        hint="correct the connection's parameters",
    ),
    Symptom(
        pattern="affected by row-level security",
        hint="let the role see all rows: ALTER ROLE … BYPASSRLS",
    ),
    Symptom(
        pattern="permission denied for large object",
        hint="pg_read_all_data does not cover large objects; for all of them, as superuser: "
        "ALTER ROLE … SET lo_compat_privileges = on; for one: GRANT SELECT ON LARGE OBJECT … TO …",
    ),
    Symptom(
        pattern="permission denied (for|to)",
        hint="grant the role what it lacks; pg_read_all_data lets it read every table",
        states=("42501",),
    ),
    Symptom(
        pattern="No space left on device|Disk quota exceeded",
        hint="make room on the disk of the database server",
        is_full=True,
        states=("53100",),
    ),
    Symptom(
        pattern="starting up|shutting down|in recovery mode|not yet accepting|not accepting connections",
        hint="the server is starting or stopping: try again",
        transient=True,
        states=("57P03",),
    ),
    Symptom(
        pattern="too many (clients|connections)|remaining connection slots",
        hint="raise the server's max_connections or the role's CONNECTION LIMIT, lower the policy's `parallel`, "
        "or try again when fewer are connected",
        transient=True,
        states=("53300",),
    ),
    Symptom(
        pattern="conflict with recovery",
        hint="the standby had to replay what was still being read: raise max_standby_streaming_delay there, "
        "or back up the primary",
        transient=True,
        states=("40001",),
    ),
    # pg_dump sets statement_timeout only while it locks its tables, to --lock-wait-timeout (pg_dump.c, getTables).
    Symptom(
        pattern="(lock|statement) timeout|could not obtain lock|deadlock detected",
        hint=YIELD_HINT,
        transient=True,
        yields=True,
        states=("55P03", "40P01"),
    ),
    Symptom(
        pattern="terminating connection|closed the connection|connection (is closed|reset|to server was lost)"
        "|no connection to the server|SSL SYSCALL|Broken pipe|snapshot .* does not exist|could not import",
        hint="the server ended the connection: see its log, then try again",
        transient=True,
        states=("57P01", "57P02", "08"),
    ),
    Symptom(
        pattern="Connection refused|No such file or directory|Is the server running|timed out|timeout expired"
        "|No route to host|unreachable|Temporary failure in name resolution",
        hint="see whether the server runs there and `host` and `port` are right",
        transient=True,
    ),
    Symptom(
        pattern="could not translate host name|Name or service not known|resolve host",
        hint="correct `host`, or the machine's name resolution",
    ),
)

_SHOWN = 600  # from 16 on, pg_dump locks all tables with one statement, and names it whole
# connection.py writes it and it is gone after the run: its name would only lead astray (libpq, fe-connect.c).
_OUR_PASSFILE = re.compile(r';?\s*password retrieved from file "[^"]*/pgpass"')


def recognise(text: str, sqlstate: str | None = None) -> Symptom | None:
    """The first that fits."""
    return next((symptom for symptom in _SYMPTOMS if symptom.fits(text, sqlstate)), None)


def _kind(symptom: Symptom) -> type[SourceError | YieldedError | SpaceError]:
    if symptom.is_full:
        return SpaceError
    return YieldedError if symptom.yields else SourceError


def source_error(what: str, text: str, sqlstate: str | None = None) -> SourceError | YieldedError | SpaceError:
    """``what`` and the server's own words on one line; YieldedError where another session holds a lock."""
    symptom = recognise(text, sqlstate)
    kind = _kind(symptom) if symptom else SourceError
    return kind(
        f"{what}: {textwrap.shorten(_OUR_PASSFILE.sub('', text), _SHOWN, placeholder=' …')}",
        hint=symptom.hint if symptom else "see the server's log",
        transient=bool(symptom and symptom.transient),
    )
