"""SQLite databases for tests, the processes that write to them, and children with fewer rights."""

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from amanat.domain.model import Scope
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver
from amanat.host.control import RunControl
from amanat.ports.engine import Artefact, Order

HERE = Path(__file__).parent
ACCOUNTS, BALANCE = 200, 1_000


def build(path: Path, script: str, *, journal_mode: str = "wal") -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA journal_mode = {journal_mode}; {script}")
    return path


def rows(path: Path, sql: str) -> list[tuple]:
    """What a stock reader sees in a finished file."""
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as connection:
        return connection.execute(sql).fetchall()


def take(source: Path, base: Path, scope: Scope = Scope(), **order: object) -> Artefact:  # noqa: B008 - frozen
    """Take a snapshot below ``base`` and prove it."""
    folder = base / "staging"
    folder.mkdir(mode=0o700, parents=True)
    control = RunControl()
    artefact = SqliteEngine(SqliteSource(path=source)).take(
        Order(folder=folder, scratch=folder, scope=scope, **order), control
    )
    SqliteProver().prove_readable(artefact.path, artefact.facts, scope, control)
    assert list(folder.iterdir()) == [artefact.path]
    return artefact


def take_in_child(source: Path, folder: Path, *options: str, around: tuple[str, ...] = ()) -> Mapping[str, object]:
    """A whole snapshot by a process of its own (``sqlite_child.py`` has the options); what it reports."""
    argv = [*around, sys.executable, str(HERE / "sqlite_child.py"), str(source), str(folder), *options]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)


def listing(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Owner, group and mode of each file in ``folder``."""
    return {
        path.name: (path.lstat().st_uid, path.lstat().st_gid, path.lstat().st_mode) for path in folder.iterdir()
    }


def build_bank(path: Path, journal_mode: str) -> Path:
    """About three MB in which money moves but is never made or lost."""
    return build(
        path,
        f"""
        CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, note TEXT);
        CREATE TABLE ledger (id INTEGER PRIMARY KEY, moved INTEGER NOT NULL, note TEXT);
        CREATE INDEX ledger_moved ON ledger (moved);
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS - 1})
        INSERT INTO accounts SELECT i, {BALANCE}, hex(randomblob(200)) FROM n;
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5999)
        INSERT INTO ledger SELECT i, 0, hex(randomblob(200)) FROM n;
        """,
        journal_mode=journal_mode,
    )


@contextlib.contextmanager
def bank_writers(path: Path, count: int) -> Iterator[None]:
    """Processes that commit transfers one after the other while inside; all must have committed some."""
    argv = [sys.executable, str(HERE / "sqlite_bank_writer.py"), str(path)]
    writers = [
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "writing\n"
        yield
    finally:
        committed = [int(writer.communicate("stop\n", timeout=60)[0]) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * count
    assert min(committed) > 0
