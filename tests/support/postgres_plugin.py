"""Fixtures that hand out PostgreSQL servers and databases; whoever asks for one gets the marker ``pg``."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import MAJORS
from tests.support.postgres_server import Server, Workspace


class Postgres:
    """A server for one test: the databases and roles it makes are dropped after the test."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.major = server.major
        self.bin: Path = server.bin
        self.socket_dir: Path = server.socket_dir
        self.psql = server.psql
        self._databases: list[str] = []
        self._roles: list[str] = []

    def database(self, name: str | None = None, *, sql: str = "") -> dict[str, str]:
        """A fresh database with ``sql`` run in it; its libpq keywords (host, port, dbname, user)."""
        dbname = name or f"db_{secrets.token_hex(4)}"
        self.psql(f'CREATE DATABASE "{dbname}" TEMPLATE template0')
        self._databases.append(dbname)
        if sql:
            self.psql(sql, dbname)
        return self.server.conninfo(dbname)

    def role(self, attributes: str = "") -> str:
        """A fresh role that may log in."""
        name = f"role_{secrets.token_hex(4)}"
        self.psql(f"CREATE ROLE {name} LOGIN {attributes}")
        self._roles.append(name)
        return name

    def close(self) -> None:
        for dbname in self._databases:
            self.psql(f'DROP DATABASE IF EXISTS "{dbname}" WITH (FORCE)')
        for role in self._roles:
            self.psql(f"DROP ROLE {role}")


@pytest.fixture(scope="session")
def postgres_workspace() -> Iterator[Workspace]:
    workspace = Workspace()
    try:
        yield workspace
    finally:
        workspace.close()


@pytest.fixture
def postgres(postgres_workspace: Workspace) -> Iterator[Postgres]:
    """PostgreSQL 15."""
    yield from _handed_out(postgres_workspace.server(15))


@pytest.fixture(params=MAJORS, ids=lambda major: f"pg{major}")
def postgres_matrix(postgres_workspace: Workspace, request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Every major that is supported, one after the other."""
    yield from _handed_out(postgres_workspace.server(request.param))


@pytest.fixture
def postgres_tcp(postgres_workspace: Workspace) -> Iterator[Postgres]:
    """PostgreSQL 15 that also listens on 127.0.0.1 and asks for a password there; it speaks no TLS."""
    yield from _handed_out(postgres_workspace.server(15, tcp=True))


def _handed_out(server: Server) -> Iterator[Postgres]:
    postgres = Postgres(server)
    try:
        yield postgres
    finally:
        postgres.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "postgres_workspace" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.pg)
