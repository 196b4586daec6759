"""Every fault that the product's fault list names, made for real and met through the command line.

Each run that fails says what and what to do, has its exit code, a ``failed`` row, the metric and a line in the
register, leaves nothing behind, and older snapshots are as they were: ``tests.support.faults.Failing`` looks.

=========== ============================================================ ==========================================
what        faults                                                       where
=========== ============================================================ ==========================================
SQLite      missing, empty, not a database, a folder, unreadable, locked this file
scope       a pattern that matches no table                              this file
server      down, wrong password, unknown database, no SELECT            test_fault_list_postgresql.py
pg_dump     missing, too old, killed, fails after half, outlives timeout test_fault_list_postgresql.py
retry       transient: tried again; permanent: not                       test_fault_list_postgresql.py
store       missing, read-only, without rights, full, too little space   test_fault_list_store.py
register    without rights, no place for it, garbage, newer, full        test_fault_list_store.py
daemon      two on one state folder                                      test_fault_list_store.py
policies    absent, empty, a list, duplicate and unknown keys, cron, zone, test_fault_list_policies.py
            negative keep, no rule, YAML bombs, tabs, not UTF-8
names       / .. NUL newline 300 characters; letters of any script       this file
=========== ============================================================ ==========================================
"""

import pytest

from amanat.domain.errors import ConfigurationError
from amanat.domain.naming import check_name
from tests.support.faults import Failing, Fault, hashes, run_count, with_mode
from tests.support.scene import POLICIES, amanat, locked, taken
from tests.support.sqlite_databases import rows

__all__ = ["amanat", "taken"]
pytestmark = pytest.mark.fault


def missing(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def not_a_database(path):
    path.write_text("<html>404</html>\n" * 100)


def a_folder(path):
    path.unlink()
    path.mkdir()


def torn(path):
    """The first page is whole, the rest was never written."""
    path.write_bytes(path.read_bytes()[:4096])


@pytest.mark.parametrize(
    ("spoil", "says", "hint"),
    [
        (missing, "app.sqlite does not exist", "correct the path"),
        (empty, "app.sqlite is empty", "correct the path, or restore the file"),
        (not_a_database, "app.sqlite is not a SQLite database", "correct the path"),
        (a_folder, "app.sqlite is not a file", "name the database file itself"),
        (torn, "app.sqlite cannot be read: database disk image is malformed", "PRAGMA integrity_check"),
    ],
)
def test_a_sqlite_source_that_is_no_database(amanat, spoil, says, hint):
    failing = Failing(amanat)
    spoil(amanat.folder / "app.sqlite")
    failing(Fault(says=says, hint=hint, code="source"))


def test_a_sqlite_source_that_may_not_be_read(amanat):
    failing = Failing(amanat)
    with with_mode(amanat.folder / "app.sqlite", 0) as around:
        said = failing(
            Fault(says="cannot be read: Permission denied", hint="let the user", code="source"), around=around
        )
    assert str(amanat.folder / "app.sqlite") in said


def test_a_sqlite_source_that_is_locked_for_longer_than_the_timeout(amanat):
    amanat.policies(POLICIES.replace("keep: {last: 10}", "keep: {last: 10}\n    timeout: 1s"))
    failing = Failing(amanat)
    with locked(amanat.folder / "app.sqlite"):
        failing(Fault(says="app.sqlite was locked by another process", hint="fuser", code="timeout"))


def test_a_pattern_that_matches_no_table_names_near_ones(amanat):
    fault = Fault(says="no table matches 'user', did you mean users?", hint="correct the scope", code="source")
    amanat.policies(POLICIES.replace("keep: {last: 10}", 'keep: {last: 10}\n    scope: {tables: ["surv*", user]}'))
    said = Failing(amanat)(fault)
    assert "surv*" not in said


def test_the_next_run_succeeds(amanat):
    """A failure leaves nothing that has to be cleared away first."""
    path = amanat.folder / "app.sqlite"
    path.rename(path.with_suffix(".away"))
    Failing(amanat)(Fault(says="does not exist", hint="create the database first", code="source"))
    path.with_suffix(".away").rename(path)
    amanat.ok("snapshot", "app", "--policy=nightly")
    assert run_count(amanat, "succeeded") == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("before/after", "holds '/'"),
        ("..", "starts with a dot"),
        ("../../etc/passwd", "holds '/'"),
        ("a..b", "two dots"),
        ("two\nlines", r"holds '\n'"),
        ("x" * 300, "longer than 100 characters"),
    ],
    ids=["slash", "dots", "traversal", "dots within", "newline", "300 characters"],
)
def test_a_name_that_is_not_safe_in_a_file_name(amanat, name, said):
    before = hashes(amanat.store)
    message = amanat.fails(2, "snapshot", "app", "--policy=nightly", f"--name={name}")
    assert "snapshot name" in message
    assert said in message
    assert "→ use letters of any script" in message
    assert hashes(amanat.store) == before
    assert run_count(amanat, "failed") == 0, "no run began"


def test_a_name_with_nul():
    """The kernel lets no NUL into an argument; whoever else hands in a name is refused by this."""
    with pytest.raises(ConfigurationError, match=r"holds '\\x00'"):
        check_name("a\0b")


@pytest.mark.parametrize("name", ["Şəfəq öncəsi 2.1", "перед релизом", "發布前", "قبل الإصدار"])
def test_letters_of_any_script_work_from_end_to_end(amanat, name):
    snapshot = amanat.json(
        "snapshot", "app", "--policy=nightly", f"--name={name}", f"--purpose={name}", f"--by={name}"
    )
    assert snapshot["path"].endswith(f"_{name}.sqlite")
    assert rows(amanat.store / snapshot["path"], "SELECT count(*) FROM users") == [(500,)]
    assert amanat.json("list")[0]["name"] == name
    assert amanat.json("verify", snapshot["path"])["proven"]
    assert name in amanat.ok("show", snapshot["id"])
    assert name in amanat.ok("register", "--markdown")
    assert name in (amanat.folder / "documents" / "backup-register.md").read_text("utf-8")
    assert amanat.json("reconcile")["foreign"] == []
