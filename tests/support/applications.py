"""An application with its database: it writes while Amanat works, migrates, and fails at that halfway."""

import contextlib
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.support.cli import Amanat, wait_for
from tests.support.postgres_plugin import Postgres
from tests.support.sqlite_databases import build

_TABLES = """
CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL, phone text);
CREATE TABLE surveys (id integer PRIMARY KEY, title text NOT NULL, owner integer REFERENCES users (id));
CREATE TABLE writes (text text PRIMARY KEY);
CREATE TABLE migrations (id integer PRIMARY KEY, migration text, batch integer);
INSERT INTO migrations VALUES (1, '2026_01_01_000000_create_users', 1);
"""
_POLICIES = """
version: 1
databases:
  app:
    {source}
    environment: staging
    documents: {{rollback_log: documents/rollback-log.md}}
    {hooks}
policies:
  pre-release:
    databases: [app]
    on_demand: true
    purpose: required
    proof: restored
    keep: {{last: 10}}
    {more}
"""
_MIGRATION = (
    "ALTER TABLE users DROP COLUMN phone",
    "UPDATE users SET name = name || ' (migrated)' WHERE id <= 250",
    "INSERT INTO migrations VALUES (2, '2026_11_23_000000_drop_phone', 2)",
)
"""It should have gone on, and did not."""
_NAMES = ("users", "surveys", "migrations")


@dataclass
class Written:
    """What a live writer was told is in, by when; and how often it was told that it is not."""

    texts: dict[str, float] = field(default_factory=dict)
    failures: int = 0

    def after(self, moment: float) -> list[str]:
        return [text for text, at in self.texts.items() if at > moment]


class Application:
    """``amanat``: in a folder of its own, with the database ``app`` and a policy ``pre-release``."""

    def __init__(self, folder: Path, source: str) -> None:
        self.amanat = Amanat(folder)
        self._source = source
        self.configure()

    def configure(self, *, hooks: str = "", more: str = "") -> None:
        hooks = f"hooks: {hooks}" if hooks else ""
        self.amanat.policies(_POLICIES.format(source=self._source, hooks=hooks, more=more))

    def execute(self, *statements: str) -> None:
        """Each in a transaction of its own, as a migration of an application runs them."""
        raise NotImplementedError

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        """In an order of their own."""
        raise NotImplementedError

    def migrate_halfway(self) -> None:
        self.execute(*_MIGRATION)

    def digests(self) -> dict[str, str]:
        """Of every table, but what is written all the time."""
        return {name: hashlib.sha256(repr(self.rows(name)).encode()).hexdigest() for name in _NAMES}

    def writes(self) -> set[str]:
        return {text for (text,) in self.rows("writes")}

    def snapshot(self) -> str:
        """Its id."""
        taken = self.amanat.json("snapshot", "app", "--policy=pre-release", "--purpose=release 2.1.0")
        return str(taken["id"])

    @contextlib.contextmanager
    def writer(self) -> Iterator[Written]:
        """One connection for each write, as of a web request; it goes on whatever it is told."""
        written, stop = Written(), threading.Event()

        def work() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                text = f"{time.monotonic_ns()}-{number}"
                try:
                    self.execute(f"INSERT INTO writes VALUES ('{text}')")
                except (sqlite3.Error, psycopg.Error):
                    written.failures += 1
                else:
                    written.texts[text] = time.monotonic()
                time.sleep(0.005)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            wait_for("the first writes", lambda: len(written.texts) > 5)
            yield written
        finally:
            stop.set()
            thread.join()


class SqliteApplication(Application):
    def __init__(self, folder: Path, journal_mode: str = "wal") -> None:
        self.path = folder / "app.sqlite"
        users = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
        build(
            self.path,
            f"{_TABLES} {users} INSERT INTO users SELECT i, 'user ' || i, '+994' || i FROM n;"
            "INSERT INTO surveys SELECT id, 'survey ' || id, id FROM users;",
            journal_mode=journal_mode,
        )
        super().__init__(folder, "engine: sqlite\n    path: app.sqlite")

    def execute(self, *statements: str) -> None:
        for statement in statements:
            with contextlib.closing(sqlite3.connect(self.path, timeout=5)) as connection, connection:
                connection.execute(statement)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path, timeout=5)) as connection:
            return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


class PostgresqlApplication(Application):
    """``role``: as which Amanat connects; empty: as a superuser, as the application does."""

    def __init__(self, folder: Path, postgres: Postgres, *, role: str = "") -> None:
        self.postgres = postgres
        self.conninfo = postgres.database(
            sql=f"{_TABLES} INSERT INTO users SELECT i, 'user ' || i, '+994' || i FROM generate_series(1, 500) i;"
            "INSERT INTO surveys SELECT id, 'survey ' || id, id FROM users;"
        )
        connection = {**self.conninfo, **({"user": role} if role else {})}
        source = f"engine: postgresql\n    connection: {json.dumps(connection)}\n    client: {postgres.bin}"
        super().__init__(folder, source)

    def execute(self, *statements: str) -> None:
        with psycopg.connect(**self.conninfo, autocommit=True) as connection:  # type: ignore[arg-type]
            for statement in statements:
                connection.execute(statement)  # type: ignore[call-overload]

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.conninfo) as connection:  # type: ignore[arg-type]
            return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()  # type: ignore[call-overload]
