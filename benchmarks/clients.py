"""Clients that write to a database, each connecting anew for every write, as web requests do."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg

from benchmarks.processes import BenchmarkError

TABLE = "CREATE TABLE written (at integer)"
_WRITE = "INSERT INTO written VALUES (1)"
_PAUSE_SECONDS = 0.005
_PATIENCE_SECONDS = 60.0

Write = Callable[[], None]
"""Once, by a connection of its own."""


def of_postgresql(parameters: Mapping[str, str]) -> Write:
    def write() -> None:
        with psycopg.connect(**parameters, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(_WRITE)

    return write


def of_sqlite(path: Path) -> Write:
    def write() -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            connection.execute(_WRITE)

    return write


def prepare_sqlite(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(TABLE)


class Client:
    """``longest_pause``: seconds from a write that succeeded to the next one that did."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self.written = 0
        self.longest_pause = 0.0

    def start(self) -> None:
        self._thread.start()
        self.wait_until_served()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def wait_until_served(self) -> None:
        """BenchmarkError: it is not any more."""
        until, before = time.monotonic() + _PATIENCE_SECONDS, self.written
        while self.written == before:
            if time.monotonic() > until:
                raise BenchmarkError("a client could not write for a minute")
            time.sleep(_PAUSE_SECONDS)

    def _go_on(self) -> None:
        last = None
        while not self._over.is_set():
            with contextlib.suppress(psycopg.Error, sqlite3.Error):
                self._write()
                now = time.perf_counter()
                self.longest_pause = max(self.longest_pause, now - (last or now))
                self.written += 1
                last = now
            time.sleep(_PAUSE_SECONDS)


@contextlib.contextmanager
def writing(write: Write, count: int = 1) -> Iterator[list[Client]]:
    """On leaving, all of them have written since."""
    clients = [Client(write) for _ in range(count)]
    try:
        for client in clients:
            client.start()
        yield clients
        for client in clients:
            client.wait_until_served()
    finally:
        for client in clients:
            client.stop()
