"""A PostgreSQL database and one that takes its place, and clients that go on meanwhile."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from amanat.domain.model import Facts
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.engines.postgresql.swapping.swap import is_swapped, names, swap
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from amanat.ports.restoring import Swapped
from tests.contract.engine_contract import make_order
from tests.support.cli import wait_for
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_server import Workspace
from tests.support.postgres_subject import engine_for

OLD = "CREATE TABLE writes (n int); INSERT INTO writes VALUES (-1)"
NEW = "CREATE TABLE writes (n int); INSERT INTO writes VALUES (-2)"
PREPARED = "BEGIN; INSERT INTO writes VALUES (5); PREPARE TRANSACTION 'left over'"


class Pair:
    """``before``: what the live one is called when ``beside`` has taken its place."""

    def __init__(self, postgres: Postgres, place: Place) -> None:
        self.postgres, self.place = postgres, place
        self.live = postgres.database(sql=OLD)
        self.name = self.live["dbname"]
        named = names(self.name, place.run)
        self.beside, self.before = named.beside, named.before
        postgres.database(self.beside, sql=NEW)
        self.server = Server(parameters=self.live)

    def swap(
        self, incoming: str | None = None, outgoing: str | None = None, server: Server | None = None
    ) -> Swapped:
        return swap(
            server or self.server, incoming or self.beside, outgoing or self.before, self.place, RunControl()
        )

    def is_swapped(self) -> bool:
        return is_swapped(self.server, self.beside, self.before, self.place, RunControl())

    def by(self, role: str) -> Server:
        return Server(parameters={**self.live, "user": role})

    def content(self) -> str:
        return self.postgres.psql("SELECT min(n) FROM writes", self.name)

    def there(self) -> list[str]:
        asked = f"SELECT datname FROM pg_database WHERE starts_with(datname, '{self.name}') ORDER BY 1"
        return self.postgres.psql(asked).split()

    def is_unchanged(self) -> bool:
        return self.content() == "-1" and self.there() == [self.name, self.beside] and not self.is_swapped()

    def facts(self, base: Path, **fields: object) -> Facts:
        (base / "taken").mkdir()
        order = make_order(base / "taken")
        return replace(engine_for(self.postgres, self.live).take(order, RunControl()).facts, **fields)

    def plain_roles(self) -> tuple[str, str]:
        """One that may do all that a swap needs and no more, and one of its own that owns the live database."""
        owner, role = self.postgres.role(), self.postgres.role("CREATEDB")
        self.postgres.psql(f"""
            GRANT {owner}, pg_signal_backend TO {role};
            ALTER DATABASE "{self.name}" OWNER TO {owner}; ALTER DATABASE "{self.beside}" OWNER TO {role}""")
        return role, owner

    @contextlib.contextmanager
    def left_over(self) -> Iterator[None]:
        """A prepared transaction in the live one."""
        self.postgres.psql(PREPARED, self.name)
        try:
            yield
        finally:
            self.postgres.psql("ROLLBACK PREPARED 'left over'", self.name)

    def drop(self) -> None:
        for name in self.there():
            self.postgres.psql(f'ALTER DATABASE "{name}" IS_TEMPLATE false')
            self.postgres.psql(f'DROP DATABASE "{name}" WITH (FORCE)')


ON_BOTH_ENDS = pytest.mark.parametrize("major", [14, 18], ids=lambda major: f"pg{major}")
"""On the oldest and the newest PostgreSQL: what it says of locks, roles or sessions is not the same everywhere."""


@pytest.fixture
def major() -> int:
    return 15


@pytest.fixture
def postgres(postgres_workspace: Workspace, major: int) -> Iterator[Postgres]:
    handed = Postgres(postgres_workspace.server(major))
    yield handed
    handed.close()


@pytest.fixture
def pair(postgres: Postgres, place: Place) -> Iterator[Pair]:
    made = Pair(postgres, place)
    yield made
    made.drop()


@contextlib.contextmanager
def connected(
    conninfo: Mapping[str, str], **parameters: str
) -> "Iterator[psycopg.Connection[tuple[object, ...]]]":
    with psycopg.connect(**{**conninfo, **parameters}, autocommit=True) as connection:
        yield connection


class Writer:
    """Writes as fast as it can, connects again at once, and notes when it could."""

    def __init__(self, conninfo: Mapping[str, str]) -> None:
        self._conninfo = conninfo
        self.successes: list[float] = []
        self.over = threading.Event()

    def write(self) -> None:
        while not self.over.is_set():
            with contextlib.suppress(psycopg.Error), connected(self._conninfo) as connection:
                while not self.over.is_set():
                    connection.execute("INSERT INTO writes VALUES (%s)", [len(self.successes)])
                    self.successes.append(time.monotonic())

    def longest_gap(self) -> float:
        """Seconds."""
        return max(later - earlier for earlier, later in zip(self.successes, self.successes[1:], strict=False))


@contextlib.contextmanager
def writing(conninfo: Mapping[str, str], count: int) -> Iterator[list[Writer]]:
    """All of them have written before, and have again when it is left."""
    writers = [Writer(conninfo) for _ in range(count)]
    threads = [threading.Thread(target=writer.write) for writer in writers]
    for thread in threads:
        thread.start()
    try:
        _wait_for_more(writers)
        yield writers
        _wait_for_more(writers)
    finally:
        for writer in writers:
            writer.over.set()
        for thread in threads:
            thread.join()


def _wait_for_more(writers: list[Writer]) -> None:
    wanted = [len(writer.successes) + 20 for writer in writers]
    wait_for(
        "writes",
        lambda: all(len(writer.successes) >= count for writer, count in zip(writers, wanted, strict=True)),
        timeout=20,
    )
