"""The embedded demo: the database of a Laravel survey application, some MB, the same on every machine."""

import contextlib
import json
import os
import random
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from amanat.domain.errors import SourceError

INSTITUTIONS = 359
_REGIONS = (
    "Bakı", "Gəncə", "Sumqayıt", "Mingəçevir", "Şəki", "Lənkəran", "Quba", "Qəbələ", "Şamaxı",
    "Bərdə", "Ağdam", "Füzuli", "Naxçıvan", "Şirvan", "Xaçmaz", "Zaqatala", "Tovuz", "Masallı",
)  # fmt: skip
_SCHOOLS = ("tam orta məktəb", "ümumi orta məktəb", "lisey", "gimnaziya", "uşaq bağçası")
_FIRST_NAMES = (
    ("Əli", ""), ("Orxan", ""), ("Rəşad", ""), ("Elçin", ""), ("Vüsal", ""), ("Cavid", ""),
    ("Aysel", "a"), ("Günel", "a"), ("Nigar", "a"), ("Səbinə", "a"), ("Şəfəq", "a"), ("Leyla", "a"),
)  # fmt: skip
_SURNAMES = ("Əliyev", "Məmmədov", "Hüseynov", "Quliyev", "Həsənov", "İsmayılov", "Rəhimov", "Cəfərov")
_TOPICS = ("Şagird sayı", "Müəllim heyəti", "İnfrastruktur", "Yeməkxana", "Kitabxana", "Təhlükəsizlik")
_ANSWERS = (
    "Bəli", "Xeyr", "Qismən", "Təmirə ehtiyac var", "Tələblərə tam cavab verir",
    "Yeni avadanlıq sifariş olunub, çatdırılması gözlənilir",
    "Növbəti tədris ilinin əvvəlinə qədər tamamlanması planlaşdırılır",
)  # fmt: skip
_MIGRATIONS = (
    "0001_01_01_000000_create_users_table",
    "0001_01_01_000002_create_jobs_table",
    "2025_08_14_091200_create_institutions_table",
    "2025_08_21_143500_create_surveys_table",
    "2025_09_02_101000_create_survey_questions_table",
    "2025_09_02_101500_create_survey_answers_table",
    "2026_02_18_120000_add_answers_count_to_surveys_table",
)
_USERS, _SURVEYS, _QUESTIONS, _ANSWERED, _SESSIONS, _JOBS = 1_200, 24, 12, 170, 600, 40

_TABLES = """
CREATE TABLE migrations (
    id integer PRIMARY KEY AUTOINCREMENT NOT NULL, migration varchar NOT NULL, batch integer NOT NULL);
CREATE TABLE institutions (
    id integer PRIMARY KEY AUTOINCREMENT NOT NULL, parent_id integer REFERENCES institutions (id),
    type varchar NOT NULL CHECK (type IN ('ministry', 'region', 'sector', 'school')), name varchar NOT NULL,
    region varchar NOT NULL, code varchar NOT NULL, created_at datetime, updated_at datetime);
CREATE TABLE users (
    id integer PRIMARY KEY AUTOINCREMENT NOT NULL,
    institution_id integer NOT NULL REFERENCES institutions (id) ON DELETE CASCADE,
    name varchar NOT NULL, email varchar NOT NULL, password varchar NOT NULL, remember_token varchar,
    created_at datetime, updated_at datetime);
CREATE TABLE surveys (
    id integer PRIMARY KEY AUTOINCREMENT NOT NULL, creator_id integer NOT NULL REFERENCES users (id),
    title varchar NOT NULL, status varchar NOT NULL DEFAULT 'draft', answers_count integer NOT NULL DEFAULT 0,
    starts_at datetime, ends_at datetime, created_at datetime, updated_at datetime);
CREATE TABLE survey_questions (
    id integer PRIMARY KEY AUTOINCREMENT NOT NULL,
    survey_id integer NOT NULL REFERENCES surveys (id) ON DELETE CASCADE,
    position integer NOT NULL, question text NOT NULL, options text);
CREATE TABLE survey_answers (
    id integer PRIMARY KEY AUTOINCREMENT NOT NULL,
    survey_question_id integer NOT NULL REFERENCES survey_questions (id) ON DELETE CASCADE,
    institution_id integer NOT NULL REFERENCES institutions (id),
    user_id integer NOT NULL REFERENCES users (id), answer text, created_at datetime);
CREATE TABLE sessions (
    id varchar PRIMARY KEY NOT NULL, user_id integer, ip_address varchar, user_agent text,
    payload text NOT NULL, last_activity integer NOT NULL);
CREATE TABLE jobs (
    id integer PRIMARY KEY AUTOINCREMENT NOT NULL, queue varchar NOT NULL, payload text NOT NULL,
    attempts integer NOT NULL, reserved_at integer, available_at integer NOT NULL,
    created_at integer NOT NULL);
"""
_INDEXES_AND_TRIGGERS = """
CREATE UNIQUE INDEX institutions_code_unique ON institutions (code);
CREATE INDEX institutions_parent_id_index ON institutions (parent_id);
CREATE UNIQUE INDEX users_email_unique ON users (email);
CREATE INDEX users_institution_id_index ON users (institution_id);
CREATE INDEX survey_questions_survey_id_index ON survey_questions (survey_id);
CREATE UNIQUE INDEX survey_answers_once_unique ON survey_answers (survey_question_id, institution_id);
CREATE INDEX sessions_last_activity_index ON sessions (last_activity);
CREATE INDEX jobs_queue_index ON jobs (queue);
UPDATE surveys SET answers_count = (
    SELECT count(*) FROM survey_answers JOIN survey_questions ON survey_questions.id = survey_question_id
    WHERE survey_id = surveys.id);
CREATE TRIGGER survey_answers_counted AFTER INSERT ON survey_answers BEGIN
    UPDATE surveys SET answers_count = answers_count + 1
    WHERE id = (SELECT survey_id FROM survey_questions WHERE id = NEW.survey_question_id);
END;
"""

_Rows = Iterator[tuple[object, ...]]


def create(path: Path) -> bool:
    """Make the demo at ``path``, whole or not at all; False, and nothing done, where a file is already."""
    if path.exists():
        return False
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _build(draft)
        return _published(draft, path)
    except (OSError, sqlite3.Error) as exc:
        raise SourceError(
            f"the demo database {path} cannot be made: {exc}",
            hint="see to the rights and space of its folder",
        ) from exc
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _published(draft: Path, path: Path) -> bool:
    """A link, unlike a rename, never replaces a file that somebody else made meanwhile."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    return True


def _build(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES} BEGIN;")
        _fill(connection, random.Random(INSTITUTIONS))  # noqa: S311 - the demo is to be the same everywhere
        connection.execute("COMMIT")
        connection.executescript(f"BEGIN; {_INDEXES_AND_TRIGGERS} COMMIT;")
        connection.execute("PRAGMA journal_mode = WAL")


def _fill(connection: sqlite3.Connection, dice: random.Random) -> None:
    def insert(table: str, rows: _Rows, columns: int) -> None:
        marks = ", ".join("?" * columns)
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 - our own names

    insert("migrations", ((n, name, 1 + n // 4) for n, name in enumerate(_MIGRATIONS, start=1)), 3)
    insert("institutions", _institutions(), 8)
    insert("users", _users(dice), 8)
    insert("surveys", _surveys(), 9)
    insert("survey_questions", _questions(), 5)
    insert("survey_answers", _answers(dice), 6)
    insert("sessions", _sessions(dice), 6)
    insert("jobs", _jobs(), 7)


def _institutions() -> _Rows:
    """A ministry, a department for each region, two sectors in each, and schools in the sectors."""
    regions = len(_REGIONS)
    for number in range(1, INSTITUTIONS + 1):
        region = _REGIONS[(number - 2) % regions]
        if number == 1:
            parent, kind, region, name = None, "ministry", "Bakı", "Elm və Təhsil Nazirliyi"
        elif number <= 1 + regions:
            parent, kind, name = 1, "region", f"{region} Regional Təhsil İdarəsi"
        elif number <= 1 + 3 * regions:
            parent, kind, name = 2 + (number - 2) % regions, "sector", f"{region} sektoru"
        else:
            parent, kind = 2 + regions + (number - 2) % (2 * regions), "school"
            name = f"{region} {number} nömrəli {_SCHOOLS[number % len(_SCHOOLS)]}"
        yield number, parent, kind, name, region, f"AZ{number:05}", _time(number), _time(number)


def _users(dice: random.Random) -> _Rows:
    for number in range(1, _USERS + 1):
        (first, ending), surname = dice.choice(_FIRST_NAMES), dice.choice(_SURNAMES)
        yield (
            *(number, 1 + number % INSTITUTIONS, f"{first} {surname}{ending}", f"user{number}@atis.example"),
            *(f"$2y$12${_letters(dice, 53)}", _letters(dice, 60), _time(number), _time(number)),
        )


def _surveys() -> _Rows:
    for number in range(1, _SURVEYS + 1):
        title = f"{_TOPICS[number % len(_TOPICS)]}, {2025 + number // 13}/{number}"
        starts, ends = _time(number * 1000), _time(number * 1000 + 400)
        yield number, number, title, "published", 0, starts, ends, starts, starts


def _questions() -> _Rows:
    options = json.dumps(_ANSWERS, ensure_ascii=False)
    for number in range(_SURVEYS * _QUESTIONS):
        survey, position = 1 + number // _QUESTIONS, 1 + number % _QUESTIONS
        text = f"{position}. {_TOPICS[number % len(_TOPICS)]} üzrə vəziyyəti qiymətləndirin"
        yield number + 1, survey, position, text, options


def _answers(dice: random.Random) -> _Rows:
    for number in range(_SURVEYS * _QUESTIONS * _ANSWERED):
        question, turn = 1 + number // _ANSWERED, number % _ANSWERED
        institution = 1 + (question * 7 + turn * 2) % INSTITUTIONS
        yield number + 1, question, institution, institution, dice.choice(_ANSWERS), _time(number)


def _sessions(dice: random.Random) -> _Rows:
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    for number in range(_SESSIONS):
        address = f"10.0.{number % 8}.{number % 250 + 1}"
        payload, active = _letters(dice, 420), 1_790_000_000 + number * 60
        yield _letters(dice, 40), 1 + number % _USERS, address, agent, payload, active


def _jobs() -> _Rows:
    for number in range(1, _JOBS + 1):
        payload = json.dumps({"displayName": "App\\Jobs\\SendSurveyReminder", "data": {"user": number}})
        yield number, "default", payload, 0, None, 1_790_000_000 + number, 1_790_000_000


def _letters(dice: random.Random, length: int) -> str:
    return f"{dice.getrandbits(length * 4):0{length}x}"


def _time(minutes: int) -> str:
    """As Laravel writes it, which has no zone."""
    return str(datetime(2025, 9, 15, 8, 0) + timedelta(minutes=minutes))  # noqa: DTZ001
