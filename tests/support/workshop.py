"""The application in this process: real register, store, locks and SQLite; the clock is the test's."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from amanat.app import App, open_app
from amanat.domain.events import Event
from amanat.domain.model import EngineName, Snapshot
from amanat.domain.policy import Configuration, Database, Job, KeepRules, Policy, Schedule, SqliteSource
from amanat.services.request import Request
from amanat.settings.service import ServiceSettings

T0 = datetime(2026, 1, 1, 2, 15, tzinfo=UTC)
NIGHTLY = Schedule(cron="15 2 * * *", timezone="UTC", catch_up=timedelta(hours=12))


class Workshop:
    """``now``: what every part takes for the time. ``events``: what was told, in order."""

    def __init__(self, folder: Path) -> None:
        self.now = T0
        self.events: list[tuple[Event, dict[str, object]]] = []
        self.source = folder / "app.sqlite"
        self.store = folder / "store"
        self.store.mkdir(mode=0o700)
        self.fill(self.source)
        settings = ServiceSettings(_env_file=None, store=self.store, state=folder / "state")
        opened = open_app(settings, emit=self._emit)
        self.app: App = replace(opened, ports=replace(opened.ports, now=lambda: self.now))
        self.database = Database(
            name="app",
            environment="local",
            source=SqliteSource(path=self.source),
            engine=EngineName.SQLITE,
            register_document=folder / "docs" / "register.md",
        )
        self.policy = Policy(name="nightly", databases=("app",), schedule=NIGHTLY, keep=KeepRules(last=3))
        self.configure(self.policy)

    def configure(self, *policies: Policy) -> None:
        by_name = {policy.name: policy for policy in policies}
        self.app.use(Configuration(databases={"app": self.database}, policies=by_name))

    @property
    def job(self) -> Job:
        """The snapshots of the policy."""
        return self.policy.jobs(self.database)[0]

    def take(self, **said: Any) -> Snapshot:
        values = {"database": self.database, "policy": self.policy, "by": "aysel", "name": "x"}
        return self.app.take(Request(**{**values, **said}))

    def told(self, event: Event) -> list[dict[str, object]]:
        return [fields for name, fields in self.events if name is event]

    def files(self) -> list[str]:
        return sorted(str(item.relative_to(self.store)) for item in self.store.rglob("*") if item.is_file())

    @staticmethod
    def fill(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
            connection.executemany("INSERT INTO users (name) VALUES (?)", [("a",), ("b",)])

    def _emit(self, event: Event, /, **fields: object) -> None:
        self.events.append((event, fields))


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.app.ports.register.close()  # type: ignore[attr-defined]
