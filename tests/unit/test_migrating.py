"""What is told of a migration, and the options that its sessions get."""

from datetime import timedelta

import pytest

from amanat.domain.account import Account, parse
from amanat.domain.description import DatabaseObject, Description
from amanat.domain.migrating import State, changes, session_options

BEFORE = {"framework": "laravel", "table": "public.migrations", "count": 41, "name": "2026_11_02_create_surveys"}
NOW = {**BEFORE, "count": 42, "name": "2026_11_23_add_phone"}


def item(kind, name, within="public.users", definition="integer"):
    return DatabaseObject(kind=kind, within=within, name=name, definition=definition)


def state(*objects, migrations=(), **values):
    return State(
        description=Description(dialect="PostgreSQL 18", objects=objects, **values), migrations=migrations
    )


def test_objects_that_came_went_and_changed_by_name():
    before = state(item("column", "age"), item("column", "name"), item("index", "users_name"))
    after = state(item("column", "age", definition="bigint"), item("column", "phone"), item("column", "name"))
    assert changes(before, after) == (
        "column public.users.age: changed",
        "column public.users.phone: added",
        "index public.users.users_name: removed",
    )


def test_a_table_is_told_without_its_parts():
    table = item("table", "public.notes", within="")
    assert changes(state(), state(table, item("column", "id", within="public.notes"))) == (
        "table public.notes: added",
    )


def test_who_may_do_what_counts_and_numbers_of_sequences_do_not():
    before = state(item("access", "app"), sequences={"public.users_id_seq": 9})
    assert changes(
        before, state(item("access", "app", definition="arw"), sequences={"public.users_id_seq": 3})
    ) == ("access public.users.app: changed",)


def test_migrations_that_were_applied():
    told = "migrations: 2026_11_02_create_surveys (laravel, 41 applied) before, 2026_11_23_add_phone (laravel, 42 applied) now"
    assert changes(state(migrations=[BEFORE]), state(migrations=[NOW])) == (told,)
    assert changes(state(migrations=[BEFORE]), state(migrations=[BEFORE])) == ()


def test_migrations_that_could_not_be_asked_for_are_told_of():
    (told,) = changes(state(migrations=[BEFORE]), state(migrations=None))
    assert "not known" in told


@pytest.mark.parametrize(
    ("known", "limits", "options"),
    [
        ("", {}, ""),
        ("-c search_path=atis", {}, "-c search_path=atis"),
        ("", {"lock_timeout": timedelta(seconds=5)}, "-c lock_timeout=5000ms"),
        (
            "-c lock_timeout=1h",
            {"lock_timeout": timedelta(seconds=1.5), "statement_timeout": timedelta(minutes=10)},
            "-c lock_timeout=1h -c lock_timeout=1500ms -c statement_timeout=600000ms",
        ),
    ],
)
def test_options_come_behind_what_is_there(known, limits, options):
    assert session_options(known, **limits) == options


def test_an_account_with_changes_is_read_as_it_was_written():
    account = Account(changes=("column public.users.phone: added",), steps=("php artisan migrate",))
    assert parse(account.as_text()) == account
