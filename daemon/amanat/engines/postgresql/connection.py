"""How to reach the database: for our own questions by psycopg, for pg_dump by the same connection string.

The password goes into a pgpass file of the run, which both read; the string names only the file.
"""

import contextlib
import os
import re
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from amanat.domain.errors import ConfigurationError
from amanat.engines.postgresql.symptoms import source_error
from amanat.host.files import explained
from amanat.ports.run import Control

_CONNECT_SECONDS = "15"
_CANCEL_SECONDS = 5
_POLL_SECONDS = 0.05
_ENCODING = "UTF8"  # also of a database in SQL_ASCII, whose text psycopg would give as bytes
LOCK_WAIT_SECONDS = 2
"""How long a session of ours may wait for a lock while it holds others: twice the usual deadlock_timeout. So if a
migration comes to wait for us too, the server's check for deadlocks finds that too late, or ends us and not it."""
# A role may carry limits meant for its everyday use (ALTER ROLE … SET); a backup has its own timeout.
# transaction_timeout exists from 17 on. Without row_security = off, policies would hide rows silently.
_SETTINGS = {
    "lock_timeout": f"{LOCK_WAIT_SECONDS}s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "row_security": "off",
    "search_path": "pg_catalog",
}
# By TCP the addresses of one machine are the same, by a Unix socket there are none.
_CLIENT = "SELECT inet_client_port(), inet_server_addr() IS NOT DISTINCT FROM inet_client_addr()"
_T = TypeVar("_T")
Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Target:
    """``conninfo`` holds no password, so it may stand in argv. ``label`` names the database in messages."""

    conninfo: str = field(repr=False)
    label: str


def target(parameters: Mapping[str, str], password: str | None, scratch: Path) -> Target:
    """Writes the pgpass file where there is a password. No other target's sessions have the same name."""
    defaults = {"connect_timeout": _CONNECT_SECONDS}
    name = {"application_name": f"{_name(parameters)}-{secrets.token_hex(4)}"}
    secret = {"passfile": str(_write_passfile(scratch / "pgpass", password))} if password is not None else {}
    return Target(conninfo=_conninfo({**defaults, **parameters, **name, **secret}), label=_label(parameters))


def database_name(reached: Target) -> str:
    """As libpq has it, from the string, a service file or the environment: known before anybody has answered."""
    connection = psycopg.pq.PGconn.connect_start(reached.conninfo.encode())
    try:
        return connection.db.decode()
    finally:
        connection.finish()


def is_name_of_ours(application_name: str, parameters: Mapping[str, str]) -> bool:
    """Whether a target with these parameters could have given its sessions this name."""
    return bool(re.fullmatch(rf"{re.escape(_name(parameters))}-[0-9a-f]{{8}}", application_name))


def _name(parameters: Mapping[str, str]) -> str:
    """The server keeps 63 bytes of it, and of these only ASCII (manual, application_name)."""
    return parameters.get("application_name", "amanat").encode("ascii", "replace").decode()[:50]


def _conninfo(parameters: Mapping[str, str]) -> str:
    try:
        return make_conninfo("", **parameters)
    except psycopg.ProgrammingError as exc:
        raise ConfigurationError(
            f"the connection's parameters are refused by libpq: {' '.join(str(exc).split())}",
            hint="the names are those of libpq: host, port, dbname, user, service, sslmode, …",
        ) from exc


def _label(parameters: Mapping[str, str]) -> str:
    if service := parameters.get("service"):
        return f"PostgreSQL service {service}"
    name = parameters.get("dbname") or parameters.get("user") or "(default)"
    return f"PostgreSQL database {name} on {parameters.get('host') or 'the local socket'}"


def pgpass_line(password: str) -> str:
    """For every host, port, database and user (manual, "The Password File")."""
    if set(password) & {"\n", "\r", "\0"}:
        raise ConfigurationError(
            "the password holds a line break or a NUL, which a pgpass file cannot carry",
            hint="see whether its source holds more than the password",
        )
    escaped = password.replace("\\", r"\\").replace(":", r"\:")
    return f"*:*:*:*:{escaped}\n"


def _write_passfile(path: Path, password: str) -> Path:
    line = pgpass_line(password)
    with explained(f"password file {path}"):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - takes a descriptor
            file.write(line)
    return path


class StatementError(Exception):
    """What the server says of a statement that is not ours."""


class Session:
    """A connection whose questions give way to ``control`` while the server is still thinking."""

    def __init__(self, connection: "psycopg.Connection[Row]", control: Control, label: str) -> None:
        self._connection = connection
        self._control = control
        self._label = label

    @property
    def server_version(self) -> str:
        """Such as ``15.12``, without what a distribution adds."""
        text = self._connection.info.parameter_status("server_version") or "0"
        return text.split()[0]

    @property
    def database_name(self) -> str:
        return self._connection.info.dbname

    @property
    def server_major(self) -> int:
        return self._connection.info.server_version // 10000

    @property
    def options(self) -> str:
        """The server's, as libpq found them: in the parameters, in a service file or in PGOPTIONS."""
        return self._connection.info.options

    def is_on_this_host(self) -> bool:
        """Whether the server is. Through a tunnel or a pooler it sees another port of its client than we have."""
        own = _own_port(self._connection.fileno())
        port, same_address = self.ask(_CLIENT)[0]
        return bool(same_address) and port == own

    def ask(self, query: LiteralString | sql.Composed, parameters: Sequence[object] = ()) -> list[Row]:
        statement = sql.SQL(query) if isinstance(query, str) else query

        def answer() -> list[Row]:
            cursor = self._connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

        with _translated(self._label):
            return _giving_way(answer, self._control, self._cancel)

    def first_rows(self, query: str, count: int) -> list[Row]:
        """Of somebody else's query, within a transaction: one that reads, and no second statement behind it.

        The extended protocol takes one statement (manual, Message Flow), a cursor only a query (manual, DECLARE).
        StatementError where the server refuses or cancels it.
        """

        def answer() -> list[Row]:
            try:
                self._connection.execute(b"DECLARE answer NO SCROLL CURSOR FOR " + query.encode(), prepare=True)
                return self._connection.execute(sql.SQL("FETCH {} FROM answer").format(count)).fetchall()
            except psycopg.Error as exc:
                if self._connection.broken:
                    raise
                raise StatementError(exc.diag.message_primary or str(exc)) from exc

        with _translated(self._label):
            return _giving_way(answer, self._control, self._cancel)

    def copy(self, statement: bytes, take: Callable[[bytes], None]) -> None:
        """Hand each row that a ``COPY … TO STDOUT`` sends to ``take``, as the server wrote it."""

        def work() -> None:
            with self._connection.cursor() as cursor, cursor.copy(statement) as sent:
                for row in sent:
                    take(bytes(row))

        with _translated(self._label):
            _giving_way(work, self._control, self._cancel)

    def _cancel(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=_CANCEL_SECONDS)


@contextlib.contextmanager
def session(reached: Target, control: Control) -> Iterator[Session]:
    """Connect, and lift the role's own limits."""
    control.check()
    with _translated(f"{reached.label} cannot be reached"):
        connection = _connect(reached.conninfo, control)
    try:
        opened = Session(connection, control, reached.label)
        opened.ask(
            "SELECT set_config(name, %s::jsonb ->> name, false) FROM pg_settings WHERE %s::jsonb ? name",
            [Jsonb(_SETTINGS)] * 2,
        )
        yield opened
    finally:
        with contextlib.suppress(psycopg.Error):
            connection.close()


def _connect(conninfo: str, control: Control) -> "psycopg.Connection[Row]":
    """A connection that comes up after ``control`` said stop is closed, not forgotten."""
    made: list[psycopg.Connection[Row]] = []
    given_up = threading.Event()

    def connect() -> "psycopg.Connection[Row]":
        made.append(psycopg.connect(conninfo, autocommit=True, client_encoding=_ENCODING))
        if given_up.is_set():
            made[0].close()
        return made[0]

    try:
        return _giving_way(connect, control, given_up.set)
    except BaseException:
        for connection in made:
            connection.close()
        raise


def _own_port(descriptor: int) -> int | None:
    """None: of a Unix socket."""
    with socket.socket(fileno=os.dup(descriptor)) as own:
        return None if own.family == socket.AF_UNIX else int(own.getsockname()[1])


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as exc:
        raise source_error(what, str(exc), exc.sqlstate) from exc


def _giving_way(work: Callable[[], _T], control: Control, cancel: Callable[[], None] = lambda: None) -> _T:
    """Do ``work`` in a thread while watching ``control``; if that says stop, cancel and raise on."""
    results: list[_T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as exc:  # noqa: BLE001 - raised on in the caller's thread
            failures.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            control.check()
            thread.join(_POLL_SECONDS)
    except BaseException:
        cancel()
        thread.join(_CANCEL_SECONDS)
        raise
    if failures:
        raise failures[0]
    return results[0]
