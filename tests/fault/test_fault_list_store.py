"""The fault list's rows about the store, the register and two daemons (see test_fault_list.py)."""

import contextlib
import sqlite3

import pytest

from tests.support.faults import Failing, Fault, hashes, mounted, run_count, with_mode
from tests.support.scene import amanat, taken
from tests.support.sqlite_databases import build

__all__ = ["amanat", "taken"]
pytestmark = pytest.mark.fault

GROWTH = """
CREATE TABLE noise (id INTEGER PRIMARY KEY, text TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
INSERT INTO noise SELECT i, hex(randomblob(400)) FROM n;
"""


def grow(amanat):
    """The database has grown by seven MB since its last snapshot, by which the space needed is judged."""
    build(amanat.folder / "app.sqlite", GROWTH, journal_mode="delete")


# the store


def test_a_store_that_is_missing_is_not_made_anew(amanat):
    """It may be a disk that is not mounted."""
    away = amanat.store.rename(amanat.folder / "away")
    before = hashes(away)
    said = amanat.fails(3, "snapshot", "app", "--policy=nightly")
    assert f"store folder {amanat.store} is missing" in said
    assert f"→ mount it, or make it once: mkdir -m 700 {amanat.store}" in said
    assert not amanat.store.exists()
    assert run_count(amanat, "failed") == 1
    assert amanat.json("register")[-1]["outcome"] == "failed"
    away.rename(amanat.store)
    last = amanat.json("status")["policies"][0]["last_run"]
    assert (last["outcome"], last["code"]) == ("failed", "store")
    assert hashes(amanat.store) == before


def test_a_store_that_is_mounted_read_only(amanat):
    with mounted('mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"', amanat.store) as mounts:
        failing = Failing(amanat, store=mounts.path(amanat.store))
        fault = Fault(says="cannot be written: Read-only file system", hint="mount it read-write", code="store")
        assert str(amanat.store) in failing(fault, around=mounts.around)


def test_a_store_that_may_not_be_written(amanat):
    failing = Failing(amanat)
    with with_mode(amanat.store / ".staging", 0o500), with_mode(amanat.store, 0o500) as around:
        fault = Fault(
            says="cannot be written: Permission denied", hint="let the user of amanat write", code="store"
        )
        assert str(amanat.store) in failing(fault, around=around)


@contextlib.contextmanager
def small_store(amanat, size):
    """The store on a file system of its own, with what was in it."""
    script = (
        'cp -a "$1" "$1.before" && mount -t tmpfs -o "size=$2,mode=700" tmpfs "$1" && cp -a "$1.before/." "$1"'
        ' && rm -r "$1.before"'
    )
    with mounted(script, amanat.store, size) as mounts:
        yield mounts


def test_a_store_that_runs_full(amanat):
    grow(amanat)
    with small_store(amanat, "4m") as mounts:
        failing = Failing(amanat, store=mounts.path(amanat.store))
        fault = Fault(says="no space left for the copy of", hint="free or add space in the store", code="space")
        assert str(amanat.folder / "app.sqlite") in failing(fault, around=mounts.around)


def test_too_little_space_is_refused_before_a_byte_is_written(amanat):
    """By a policy that never ran, so the database's own size counts; strace sees that nothing is written there."""
    grow(amanat)
    trace = amanat.folder / "trace"
    with small_store(amanat, "4m") as mounts:
        failing = Failing(amanat, store=mounts.path(amanat.store))
        amanat.policies(amanat.file.read_text().replace("nightly:", "yearly:"))
        strace = (*mounts.around, "strace", "-f", "-y", "-e", "trace=write,pwrite64", "-o", str(trace))
        said = amanat.fails(3, "snapshot", "app", "--policy=yearly", around=strace)
        failing.require_nothing_left()
    assert f"store {amanat.store} has " in said
    assert "a snapshot of app needs about 7.9 MiB" in said
    assert "→ make room on that file system, or keep fewer snapshots" in said
    assert run_count(amanat, "failed", policy="yearly") == 1
    written = trace.read_text()
    assert f"<{amanat.state}/register.sqlite" in written, "strace saw what there was to see"
    assert f"<{amanat.store}/" not in written


# the register


WRITING = (["snapshot", "app", "--policy=nightly"], ["daemon"])


def unopened(amanat, said, remedy, commands=(*WRITING, ["list"]), **options):
    """No command that needs the register works, each says why, and the store is as it was."""
    before = hashes(amanat.store)
    for command in commands:
        message, _, hint = amanat.fails(3, *command, **options).rpartition("→ ")
        assert said in message
        assert remedy in hint
    assert hashes(amanat.store) == before


def test_a_state_folder_that_may_not_be_written(amanat):
    with with_mode(amanat.state / "register.sqlite", 0o400), with_mode(amanat.state, 0o500) as around:
        unopened(amanat, str(amanat.state / "register.sqlite"), "owner, mode", around=around)
    assert run_count(amanat, "failed") == 0


def test_no_place_for_a_state_folder(amanat):
    blocked = amanat.folder / "policies.yaml" / "state"
    elsewhere = {"AMANAT_STATE": str(blocked)}
    unopened(amanat, f"state folder {blocked} cannot be made", "AMANAT_STATE", WRITING, env=elsewhere)


READING = (["list"], ["show", "latest"], ["status"], ["explain", "latest"], ["prune"], ["verify", "latest"])
READING += (["hold", "latest", "--reason=x"], ["release", "latest", "--reason=x"], ["register"])


@pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
def test_who_only_looks_makes_no_register(amanat, command):
    """A mistyped state folder must not look like one in which nothing was ever backed up."""
    nowhere = amanat.folder / "nowhere"
    said = amanat.fails(2, *command, env={"AMANAT_STATE": str(nowhere)})
    assert f"there is no register in {nowhere}" in said
    assert "AMANAT_STATE" in said.rpartition("→ ")[2]
    assert not nowhere.exists()


def test_a_register_that_is_garbage_and_what_its_hint_says(amanat):
    register = amanat.state / "register.sqlite"
    taken = amanat.json("list")
    register.write_bytes(b"garbage" * 1000)
    unopened(amanat, f"register {register}: file is not a database", "`amanat reconcile` makes the list")
    assert register.read_bytes() == b"garbage" * 1000, "it is left for whoever wants to save it"
    for path in amanat.state.glob("register.sqlite*"):
        path.unlink()
    amanat.ok("reconcile")
    assert [{**row, "read_at": taken[0]["read_at"]} for row in amanat.json("list")] == taken


def test_a_register_of_a_newer_version(amanat):
    register = amanat.state / "register.sqlite"
    with contextlib.closing(sqlite3.connect(register)) as connection:
        connection.execute("PRAGMA user_version = 99")
    unopened(amanat, f"register {register} was written by a newer amanat (schema 99", "install that version")


def test_a_register_that_cannot_be_written_for_want_of_space(amanat):
    script = (
        'cp -a "$1" "$1.before" && mount -t tmpfs -o size=1m,mode=700 tmpfs "$1" && cp -a "$1.before/." "$1"'
        ' && rm -r "$1.before" && { cat /dev/zero >"$1/filler" 2>/dev/null || :; }'
    )
    before = hashes(amanat.store)
    with mounted(script, amanat.state) as mounts:
        said = amanat.fails(3, "snapshot", "app", "--policy=nightly", around=mounts.around)
        assert f"{amanat.state}" in said
        assert "free space of the state folder" in said
        assert hashes(amanat.store) == before
        mounts.run("rm", amanat.state / "filler")
        amanat.ok("snapshot", "app", "--policy=nightly", around=mounts.around)


# daemons


def test_two_daemons_on_one_state_folder(amanat):
    with amanat.daemon(AMANAT_HTTP="off") as daemon:
        message, _, hint = amanat.fails(6, "daemon", env={"AMANAT_HTTP": "off"}).rpartition("→ ")
        assert f"another daemon (process {daemon.pid}) runs on {amanat.state}" in message
        assert "AMANAT_STATE" in hint
        assert daemon.stop() == 0
    with amanat.daemon(AMANAT_HTTP="off"):
        pass
