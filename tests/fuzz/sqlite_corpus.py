"""SQLite databases to begin with, as a copy finds them: a WAL that was not moved yet, a journal left by a crash."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENDINGS = ("", "-wal", "-shm", "-journal")
PAGE_SIZES = (512, 1024, 4096, 65536)
_SCHEMA = """
CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT, payload BLOB);
CREATE TABLE parent (code TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, code TEXT REFERENCES parent (code));
CREATE INDEX plain_name ON plain (name);
CREATE VIEW names AS SELECT name FROM plain;
CREATE TRIGGER counted AFTER DELETE ON child BEGIN UPDATE plain SET name = NULL WHERE id = OLD.id; END;
"""
_ROWS = """
INSERT INTO parent VALUES ('a'), ('b'), ('c');
INSERT INTO child (code) VALUES ('a'), ('b'), (NULL);
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60)
INSERT INTO plain SELECT i, 'name ' || i, zeroblob(i * 7) FROM n;
DELETE FROM plain WHERE id % 3 = 0;
"""
_MORE = """
UPDATE plain SET name = 'later ' || id WHERE id < 20;
INSERT INTO plain VALUES (1000, 'long', zeroblob(5000));
DELETE FROM child WHERE id = 2;
"""


@dataclass(frozen=True)
class Files:
    """The database and the files beside it, by ``ENDINGS``; empty: is not there."""

    parts: tuple[bytes, ...]

    def packed(self) -> bytes:
        return b"".join(len(part).to_bytes(4, "big") + part for part in self.parts)

    @classmethod
    def unpacked(cls, data: bytes) -> "Files":
        parts, at = [], 0
        for _ in ENDINGS:
            size = int.from_bytes(data[at : at + 4], "big")
            parts.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        return cls(tuple(parts))

    @classmethod
    def of(cls, path: Path) -> "Files":
        beside = [path.with_name(path.name + ending) for ending in ENDINGS]
        return cls(tuple(file.read_bytes() if file.exists() else b"" for file in beside))

    def write(self, path: Path) -> Path:
        for ending, part in zip(ENDINGS, self.parts, strict=True):
            if part or not ending:
                path.with_name(path.name + ending).write_bytes(part)
        return path


def databases() -> list[Files]:
    with tempfile.TemporaryDirectory(prefix="amanat-fuzz-") as folder:
        return [
            files
            for page_size in PAGE_SIZES
            for journal_mode in ("wal", "delete")
            for files in _states(Path(folder) / f"{page_size}-{journal_mode}", page_size, journal_mode)
        ]


def _states(path: Path, page_size: int, journal_mode: str) -> Iterator[Files]:
    """At rest; changed, with the changes in the WAL alone; and in the middle of a transaction that spilled."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            f"PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {page_size % 3}; PRAGMA user_version = 7;"
            f"PRAGMA journal_mode = {journal_mode}; PRAGMA wal_autocheckpoint = 0;{_SCHEMA}{_ROWS}"
        )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield Files.of(path)
        connection.executescript(_MORE)
        yield Files.of(path)
        connection.executescript(f"PRAGMA cache_size = 1; BEGIN; {_MORE.replace('1000', '1001')}")
        yield Files.of(path)
