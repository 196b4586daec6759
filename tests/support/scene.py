"""The small scene most end-to-end tests play in: one SQLite database, one nightly policy, and who holds it up."""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cli import Amanat, wait_for
from tests.support.sqlite_databases import build

SCRIPT = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE surveys (id INTEGER PRIMARY KEY, title TEXT NOT NULL, owner INTEGER REFERENCES users (id));
CREATE INDEX surveys_owner ON surveys (owner);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO users SELECT i, 'user ' || i FROM n;
INSERT INTO surveys SELECT id, 'survey ' || id, id FROM users;
"""
DAILY = 'schedule: {cron: "15 2 * * *", timezone: UTC, catch_up: 12h}'
POLICIES = f"""
version: 1
databases:
  app:
    engine: sqlite
    environment: staging
    path: app.sqlite
    documents: {{register: documents/backup-register.md}}
policies:
  nightly:
    databases: [app]
    {DAILY}
    keep: {{last: 10}}
  pre-release:
    databases: [app]
    on_demand: true
    purpose: required
    keep: {{last: 3}}
"""


def staged(folder: Path, **env: str) -> Amanat:
    """An ``Amanat`` with the database ``app`` (rollback journal: a writer can lock it whole)."""
    amanat = Amanat(folder, **env)
    amanat.policies(POLICIES)
    build(folder / "app.sqlite", SCRIPT, journal_mode="delete")
    return amanat


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """A folder in which one snapshot was taken while all was well."""
    folder = tmp_path_factory.mktemp("taken")
    staged(folder).ok("snapshot", "app", "--policy=nightly")
    return folder


@pytest.fixture
def amanat(taken, tmp_path):
    """A copy of it to spoil."""
    shutil.copytree(taken, tmp_path / "scene")
    return Amanat(tmp_path / "scene")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """As by an application in the middle of a transaction: no other process can read meanwhile."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield


def wait_for_open_run(amanat: Amanat, count: int = 1) -> list[sqlite3.Row]:
    """The rows of runs under way, once there are so many."""

    def look() -> list[sqlite3.Row]:
        with contextlib.suppress(sqlite3.OperationalError):  # no register yet
            found = amanat.query("SELECT * FROM runs WHERE outcome IS NULL")
            return found if len(found) == count else []
        return []

    return wait_for(f"{count} runs under way", look)


def runs(amanat: Amanat, stage: str = "snapshot") -> list[sqlite3.Row]:
    """Oldest first."""
    return amanat.query("SELECT * FROM runs WHERE stage = ? ORDER BY started_at", stage)
