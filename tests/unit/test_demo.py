"""The embedded demo is a real application database, the same each time, and never overwrites anything."""

import sqlite3
import time
from contextlib import closing

import pytest

from amanat.domain.errors import SourceError
from amanat.engines.sqlite.demo import create


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "new folder" / "database.sqlite"
    assert create(path) is True
    return path


def ask(path, sql):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def test_it_is_one_sound_file_of_some_megabytes_in_wal_mode(demo):
    assert list(demo.parent.iterdir()) == [demo]
    assert 4_000_000 < demo.stat().st_size < 8_000_000
    assert ask(demo, "PRAGMA journal_mode") == [("wal",)]
    assert ask(demo, "PRAGMA integrity_check") == [("ok",)]
    assert ask(demo, "PRAGMA foreign_key_check") == []


def test_it_has_the_tables_of_the_application(demo):
    tables = {name for (name,) in ask(demo, "SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables - {"sqlite_sequence"} == {
        *("institutions", "users", "surveys", "survey_questions", "survey_answers"),
        *("sessions", "jobs", "migrations"),
    }
    assert ask(demo, "SELECT count(*) FROM institutions") == [(359,)]
    assert ask(demo, "SELECT count(DISTINCT institution_id) FROM survey_answers") == [(359,)]
    assert all(ask(demo, f"SELECT count(*) FROM {table}")[0][0] for table in tables)


def test_its_trigger_counts_answers(tmp_path):
    path = tmp_path / "a.sqlite"
    create(path)
    counts = "SELECT (SELECT sum(answers_count) FROM surveys), (SELECT count(*) FROM survey_answers)"
    ((total, answers),) = ask(path, counts)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM survey_answers WHERE survey_question_id = 1 AND institution_id = 8")
        connection.execute(
            "INSERT INTO survey_answers (survey_question_id, institution_id, user_id) VALUES (1, 8, 8)"
        )
    assert total == answers
    assert ask(path, counts) == [(total + 1, answers)]


def test_it_is_the_same_everywhere_and_quick(demo, tmp_path):
    began = time.process_time()
    create(tmp_path / "again.sqlite")
    assert time.process_time() - began < 2
    assert (tmp_path / "again.sqlite").read_bytes() == demo.read_bytes()


def test_what_is_there_stays(tmp_path):
    path = tmp_path / "mine.sqlite"
    path.write_text("precious")
    assert create(path) is False
    assert path.read_text() == "precious"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match=r"file/demo\.sqlite cannot be made") as failure:
        create(tmp_path / "file" / "demo.sqlite")
    assert failure.value.hint
