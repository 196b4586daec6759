"""The user's own questions to a PostgreSQL database: one statement, which reads, within its time."""

from datetime import timedelta

import pytest

from amanat.domain.errors import TimeoutExceededError
from amanat.domain.sql_check import SqlCheck, parse_expectation
from amanat.engines.postgresql.connection import target
from amanat.engines.postgresql.rehearsing import checking
from amanat.host.control import RunControl

TABLES = """
CREATE TABLE users (id int, name text, at timestamptz, paid numeric, live bool);
INSERT INTO users VALUES (1, 'Aysel', now(), 1.50, true), (2, '100%', now(), 2.25, false);
"""


def answers(database, tmp_path, *asked, control=None):
    checks = [
        SqlCheck(sql=sql, expect=parse_expectation(expect), timeout=timedelta(seconds=1)) for sql, expect in asked
    ]
    reached = target(database, None, tmp_path)
    found = checking.differences(reached, checks, control or RunControl())
    return [difference.describe() for difference in found]


def test_answers_of_every_kind(postgres, tmp_path):
    database = postgres.database(sql=TABLES)
    assert (
        answers(
            database,
            tmp_path,
            ("select count(*) from users", ">= 2"),
            ("select count(*) from users;", "2"),
            ("select name from users where name like '%\\%'", "100%"),
            ("select sum(paid) from users", "= 3.75"),
            ("select live from users where id = 1", "true"),
            ("select null::int", "null"),
            ("select max(at) > now() - interval '1 day' from users", "true"),
            ("with x as (select 1 as a) select a from x", "1"),
            ("values (7)", "> 6.5"),
        )
        == []
    )


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("select count(*) from users", "expected = 9, found 2"),
        ("select id from users", "found 2 rows of 1 columns"),
        ("select count(*) from nowhere", 'relation "nowhere" does not exist'),
        ("delete from users returning 9", "syntax error"),
        ("select 9; drop table users", "multiple commands"),
        ("select 9; commit; drop table users", "multiple commands"),
        ("with gone as (delete from users returning 1) select 9", "data-modifying"),
        ("select setval('numbers', 9)", "read-only transaction"),
        ("select 9 from pg_sleep(30)", "statement timeout"),
    ],
)
def test_what_is_no_answer_says_why_and_changes_nothing(postgres, tmp_path, sql, found):
    database = postgres.database(sql=f"{TABLES}; CREATE SEQUENCE numbers")
    (said,) = answers(database, tmp_path, (sql, "9"))
    assert said.startswith(f"check {sql}: expected = 9, found ")
    assert found in said
    assert postgres.psql("SELECT count(*) FROM users", database["dbname"]).strip() == "2"


def test_a_drill_whose_time_is_over_is_not_a_wrong_answer(postgres, tmp_path):
    database = postgres.database(sql=TABLES)
    with pytest.raises(TimeoutExceededError):
        answers(
            database,
            tmp_path,
            ("select 9 from pg_sleep(30)", "9"),
            control=RunControl(timeout=timedelta(milliseconds=500)),
        )
