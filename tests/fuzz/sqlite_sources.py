"""The SQLite engine, given a damaged source: an error, or a proven snapshot that is what SQLite itself reads there."""

import contextlib
import sqlite3
import tempfile
from datetime import timedelta
from pathlib import Path

from amanat.domain.errors import AmanatError, SourceError
from amanat.domain.model import Scope
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver
from amanat.host.control import RunControl
from amanat.ports.engine import Order
from tests.fuzz.harness import FindingError, Target
from tests.fuzz.sqlite_corpus import Files, databases
from tests.fuzz.sqlite_mutations import damaged

_FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None
# of the header: journal mode, change counter, size (which may be stale), schema cookie, who wrote it last
_OF_THE_COPY = (slice(18, 20), slice(24, 32), slice(40, 44), slice(92, 100))


def damaged_sources() -> Target:
    seeds = databases()
    return Target(make=lambda random: damaged(random, seeds), examine=examine, batch=200)


def examine(data: bytes) -> str:
    with tempfile.TemporaryDirectory(prefix="amanat-fuzz-", dir=_FAST) as name:
        folder = Path(name)
        for part in ("ours", "judges", "staging"):
            (folder / part).mkdir(mode=0o700)
        files = Files.unpacked(data)
        source, other = (files.write(folder / part / "app.sqlite") for part in ("ours", "judges"))
        before = _names(folder / "ours")
        outcome = _outcome(source, other, folder / "staging")
        if new := _names(folder / "ours") - before - _left_by_sqlite(other):
            raise FindingError(f"left beside the source: {new}")
        return outcome


def _left_by_sqlite(database: Path) -> set[str]:
    """What it leaves when it cannot tidy up, because of the damage."""
    with (
        contextlib.closing(sqlite3.connect(database)) as connection,
        contextlib.suppress(sqlite3.Error, ValueError),
    ):
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return _names(database.parent)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _outcome(source: Path, other: Path, staging: Path) -> str:
    control, scope = RunControl(timeout=timedelta(seconds=15)), Scope()
    try:
        artefact = SqliteEngine(SqliteSource(path=source)).take(Order(folder=staging, scratch=staging), control)
    except SourceError:
        return "refused"
    except AmanatError as exc:
        return f"refused by {type(exc).__name__}"
    try:
        SqliteProver().prove_readable(artefact.path, artefact.facts, scope, control)
    except AmanatError as exc:
        return f"not proven: {type(exc).__name__}"
    _compare(artefact.path, other, staging / "judge.sqlite")
    return f"proven, {artefact.facts.extra['copied_by']}"


def _compare(taken: Path, other: Path, judge: Path) -> None:
    try:
        with (
            contextlib.closing(sqlite3.connect(other)) as source,
            contextlib.closing(sqlite3.connect(judge)) as copy,
        ):
            source.backup(copy)
            copy.execute("PRAGMA ignore_check_constraints = ON")
            checked = copy.execute("PRAGMA quick_check").fetchall()
    except (sqlite3.Error, UnicodeDecodeError) as exc:
        raise FindingError(f"proven, but SQLite says: {exc}") from exc
    if checked != [("ok",)]:
        raise FindingError(f"proven, but SQLite says: {checked[:3]}")
    if _pages(taken) != _pages(judge):
        raise FindingError("proven, but not what SQLite reads")


def _pages(path: Path) -> bytes:
    pages = bytearray(path.read_bytes())
    for part in _OF_THE_COPY:
        pages[part] = bytes(part.stop - part.start)
    return bytes(pages)
