"""The keys of the policy file for hooks, the rollback log and rollbacks."""

from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml

from amanat.domain.hooks import Hook, Moment
from amanat.domain.policy import Database, Policy, Warm
from amanat.domain.sql_check import SqlCheck, parse_expectation
from amanat.settings import policies
from tests.unit.test_policies import faults, load, with_keys


def with_keys_of_database(keys: str) -> str:
    return f"version: 1\ndatabases:\n  db: {{engine: sqlite, environment: e, path: a, {keys}}}\npolicies: {{}}\n"


def database(folder: Path, keys: str) -> Database:
    return load(folder, with_keys_of_database(keys)).databases["db"]


def policy(folder: Path, keys: str) -> Policy:
    return load(folder, with_keys(keys)).policies["p"]


def test_a_command_is_a_list_or_says_more_and_a_shell_has_to_be_asked_for(tmp_path: Path) -> None:
    commands = """[
        [php, artisan, down],
        {run: [php, artisan, migrate, --force], timeout: 15m},
        {shell: "php artisan about | logger", timeout: 30s}]"""
    hooks = database(tmp_path, f"hooks: {{before_restore: {commands}, after_swap: [[php, artisan, up]]}}").hooks
    assert hooks == {
        Moment.BEFORE_RESTORE: (
            Hook(command=("php", "artisan", "down"), timeout=timedelta(minutes=10)),
            Hook(command=("php", "artisan", "migrate", "--force"), timeout=timedelta(minutes=15)),
            Hook(command=("/bin/sh", "-c", "php artisan about | logger"), timeout=timedelta(seconds=30)),
        ),
        Moment.AFTER_SWAP: (Hook(command=("php", "artisan", "up")),),
    }


@pytest.mark.parametrize("moment", Moment)
def test_every_moment_has_its_key(tmp_path: Path, moment: Moment) -> None:
    assert database(tmp_path, f"hooks: {{{moment}: [[php]]}}").hooks == {moment: (Hook(command=("php",)),)}


@pytest.mark.parametrize(
    ("documents", "register", "log"),
    [("{register: r.md}", "r.md", None), ("{rollback_log: l.md}", None, "l.md"), ("{register: r, rollback_log: l}", "r", "l")],
)  # fmt: skip
def test_either_document_or_both(tmp_path: Path, documents: str, register: str | None, log: str | None) -> None:
    found = database(tmp_path, f"documents: {documents}")
    assert found.register_document == (tmp_path / register if register else None)
    assert found.rollback_log == (tmp_path / log if log else None)


@pytest.mark.parametrize(
    ("hooks", "fault"),
    [
        ("{}", "hooks: is empty; say when the commands run"),
        ("[]", "hooks: must be a mapping"),
        ("{before_snapsot: [[a]]}", "hooks.before_snapsot: unknown key (did you mean 'before_snapshot'?)"),
        ("{after_swap: []}", "hooks.after_swap: must hold at least 1"),
        ("{after_swap: php artisan up}", "hooks.after_swap: must be a list"),
        ("{after_swap: [php, artisan, up]}", "hooks.after_swap.0: must be a command: a list such as [php, artisan, down]"),
        ("{after_swap: [[]]}", "hooks.after_swap.0: must hold at least 1"),
        ("{after_swap: [[php, 7]]}", "hooks.after_swap.0.1: must be text; put it in quotes"),
        ("{after_swap: [['']]}", "hooks.after_swap.0.0: must not be empty"),
        ("{after_swap: [{}]}", "hooks.after_swap.0: needs exactly one of run, shell"),
        ("{after_swap: [{run: [a], shell: b}]}", "hooks.after_swap.0: needs exactly one of run, shell"),
        ("{after_swap: [{timeout: 5m}]}", "hooks.after_swap.0: needs exactly one of run, shell"),
        ("{after_swap: [{run: a b}]}", "hooks.after_swap.0.run: must be a list"),
        ("{after_swap: [{shell: [a]}]}", "hooks.after_swap.0.shell: must be text"),
        ("{after_swap: [{run: [a], timeout: 0s}]}", "hooks.after_swap.0.timeout: must be more than zero"),
        ("{after_swap: [{run: [a], timout: 1s}]}", "hooks.after_swap.0.timout: unknown key (did you mean 'timeout'?)"),
        ('{after_swap: [{shell: "a\\nb"}]}', "hooks.after_swap.0.shell: contains a control character or a line break"),
    ],
)  # fmt: skip
def test_faults_of_hooks(tmp_path: Path, hooks: str, fault: str) -> None:
    text = with_keys_of_database(f"hooks: {hooks}")
    found = faults(tmp_path, text)
    assert any(line.startswith(f"policies.yaml:3: databases.db.{fault}") for line in found), found


@pytest.mark.parametrize(
    "hooks",
    ["{}", "{after_swap: [php, artisan, up]}", "{after_swap: [[]]}", "{after_swap: [{timeout: 5m}]}", "{after_swp: [[a]]}"],
)  # fmt: skip
def test_the_schema_refuses_such_hooks_too(hooks: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(with_keys_of_database(f"hooks: {hooks}")), policies.schema())


def test_a_register_and_a_log_of_two_databases_in_one_file(tmp_path: Path) -> None:
    lines = (
        "  a: {engine: sqlite, environment: e, path: a, documents: {rollback_log: x}}",
        "  b: {engine: sqlite, environment: e, path: b, documents: {register: x}}",
        "policies: {}\n",
    )
    found = faults(tmp_path, "\n".join(("version: 1", "databases:", *lines)))
    assert found == [
        "policies.yaml:3: databases.a.documents.rollback_log: is the file of a register; name another one"
    ]


def test_what_a_policy_says_of_rollbacks(tmp_path: Path) -> None:
    found = policy(
        tmp_path,
        "proof: restored, warm: true, undo_window: 3d,"
        " before_swap: [{sql: select 1, expect: 1}, {sql: select 2, expect: '>= 2', timeout: 5s}]",
    )
    assert (found.warm, found.undo_window) == (Warm(), timedelta(days=3))
    assert found.before_swap == (
        SqlCheck(sql="select 1", expect=parse_expectation("1")),
        SqlCheck(sql="select 2", expect=parse_expectation(">= 2"), timeout=timedelta(seconds=5)),
    )
    assert policy(tmp_path, "proof: restored, warm: {min_free: 10GiB}").warm == Warm(min_free=10 * 1024**3)
    plain = policy(tmp_path, "proof: restored")
    assert (plain.warm, plain.before_swap, plain.undo_window) == (None, (), timedelta(hours=24))


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ("warm: true", "p.warm: needs proof: restored"),
        ("proof: readable, warm: {min_free: 1GiB}", "p.warm: needs proof: restored"),
        ("proof: restored, warm: false", "p.warm: must be true, or a mapping such as {min_free: 10GiB}"),
        ("proof: restored, warm: 1", "p.warm: must be true, or a mapping such as {min_free: 10GiB}"),
        ("proof: restored, warm: {}", "p.warm.min_free: is required"),
        ("proof: restored, warm: {min_fre: 1GiB}", "p.warm.min_fre: unknown key (did you mean 'min_free'?)"),
        ("proof: restored, warm: {min_free: 5}", "p.warm.min_free: must be a size in text"),
        ("undo_window: 0s", "p.undo_window: must be more than zero"),
        ("undo_window: never", "p.undo_window: 'never' is not a duration"),
        ("before_swap: []", "p.before_swap: must hold at least 1"),
        ("before_swap: [{sql: select 1}]", "p.before_swap.0.expect: is required"),
        ("before_swap: [{sql: s, expct: 1}]", "p.before_swap.0.expct: unknown key (did you mean 'expect'?)"),
        ("checks: [{sql: s, expct: 1}]", "p.checks.0.expct: unknown key (did you mean 'expect'?)"),
    ],
)
def test_faults_of_rollback_keys(tmp_path: Path, keys: str, fault: str) -> None:
    found = faults(tmp_path, with_keys(keys))
    assert any(line.startswith(f"policies.yaml:4: policies.{fault}") for line in found), found


def test_what_does_nothing_where_the_scope_is_a_part(tmp_path: Path) -> None:
    keys = "undo_window: 1h, before_swap: [{sql: s, expect: 1}]"
    whole = load(tmp_path, with_keys(f"{keys}, scope: {{exclude_data: [cache]}}"))
    assert whole.warnings == ()
    part = load(tmp_path, with_keys(f"{keys}, scope: {{tables: [users]}}"))
    assert sorted(line.partition(": ")[2] for line in part.warnings) == [
        f"policies.p.{key}: does nothing: a rollback needs the whole database, and this policy's scope is a part of it"
        for key in ("before_swap", "undo_window")
    ]
