"""A made-up application's SQLite database of a given size, in WAL mode as Laravel's: always the same bytes."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

_ANSWERS_PER_MB = 2_700
_AUDITS_PER_MB = 1_550
_BLOBS_PER_MB = 1.22
_BLOB_BYTES = 64 * 1024
_MOST_PHRASES = 60_000
_WORDS = ("şagird", "müəllim", "məktəb", "sorğu", "cavab", "təhsil", "bağça", "valideyn", "dərs", "imtahan")
_STARTS = ("ba", "çı", "də", "fə", "gü", "ha", "xo", "ji", "kö", "la", "mə", "nu", "pı", "ra", "sü", "şə", "ta")
_ENDS = ("və", "ya", "zi", "qa", "ğı", "lar", "dən", "nin", "mış", "sız", "lıq", "ər", "us", "in", "ol", "ki")

_SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE phrases (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL);
CREATE TABLE surveys (
    id INTEGER PRIMARY KEY, title TEXT NOT NULL, owner_id INTEGER NOT NULL REFERENCES users (id)
);
CREATE TABLE survey_answers (
    id INTEGER PRIMARY KEY, survey_id INTEGER NOT NULL REFERENCES surveys (id),
    user_id INTEGER NOT NULL REFERENCES users (id), answer TEXT NOT NULL,
    meta TEXT NOT NULL, answered_at TEXT NOT NULL
);
CREATE TABLE audit_log (
    id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id),
    action TEXT NOT NULL, changes TEXT NOT NULL
);
CREATE TABLE attachments (
    id INTEGER PRIMARY KEY, survey_id INTEGER NOT NULL REFERENCES surveys (id), content BLOB NOT NULL
);
"""

_ROWS = """
CREATE TEMP TABLE numbers AS
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) SELECT i FROM n;
INSERT INTO users SELECT i, 'user' || i || '@example.edu.az', text
    FROM numbers JOIN phrases ON id = 1 + i * 7919 % :phrases WHERE i <= :users;
INSERT INTO surveys SELECT i, text, 1 + i * 104729 % :users FROM numbers JOIN phrases ON id = 1 + i * 31 % :phrases
    WHERE i <= :surveys;
INSERT INTO survey_answers SELECT i, 1 + i * 7919 % :surveys, 1 + i * 104729 % :users,
    one.text || '. ' || two.text, json_object('device', 'device ' || i % 30, 'ms', i * 7919 % 90000),
    datetime(1735689600 + i * 7, 'unixepoch')
    FROM numbers JOIN phrases AS one ON one.id = 1 + i * 15485863 % :phrases
    JOIN phrases AS two ON two.id = 1 + i * 32452843 % :phrases WHERE i <= :answers;
INSERT INTO audit_log SELECT i, 1 + i * 7919 % :users, CASE i % 2 WHEN 0 THEN 'update' ELSE 'export' END,
    json_object('before', text, 'row', i * 15485863 % 1000003)
    FROM numbers JOIN phrases ON id = 1 + i * 49979687 % :phrases WHERE i <= :audits;
"""

_INDEXES = """
CREATE INDEX answers_survey ON survey_answers (survey_id);
CREATE INDEX answers_user ON survey_answers (user_id);
CREATE INDEX answers_at ON survey_answers (answered_at);
CREATE INDEX audit_user ON audit_log (user_id);
PRAGMA wal_checkpoint (TRUNCATE);
"""


def make(path: Path, megabytes: int) -> int:
    """A new database of about that size; returns how many bytes it really has."""
    counts = _counts(megabytes)
    source = random.Random(megabytes)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SCHEMA)
        connection.executemany("INSERT INTO phrases (text) VALUES (?)", _phrases(source, counts["phrases"]))
        for statement in filter(str.strip, _ROWS.split(";")):
            connection.execute(statement, {name: counts[name] for name in counts if f":{name}" in statement})
        connection.executemany(
            "INSERT INTO attachments (survey_id, content) VALUES (?, ?)",
            ((1 + number % counts["surveys"], source.randbytes(_BLOB_BYTES)) for number in range(counts["blobs"])),
        )
        connection.commit()
        connection.executescript(_INDEXES)
    return path.stat().st_size


def _counts(megabytes: int) -> dict[str, int]:
    answers = megabytes * _ANSWERS_PER_MB
    return {
        "phrases": min(_MOST_PHRASES, megabytes * 500),
        "users": max(100, megabytes * 20),
        "surveys": max(20, megabytes * 2),
        "answers": answers,
        "audits": megabytes * _AUDITS_PER_MB,
        "blobs": round(megabytes * _BLOBS_PER_MB),
        "most": answers,
    }


def _phrases(source: random.Random, count: int) -> Iterator[tuple[str]]:
    for _ in range(count):
        words = (_word(source) for _ in range(source.randint(6, 11)))
        yield (" ".join(words),)


def _word(source: random.Random) -> str:
    chance = source.random()
    if chance < 0.25:  # noqa: PLR2004 - a quarter each
        return source.choice(_WORDS)
    if chance < 0.5:  # noqa: PLR2004
        return str(source.randint(1, 99_999))
    return "".join(source.choices(_STARTS, k=2)) + source.choice(_ENDS)
