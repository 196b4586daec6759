"""Killed, or told that the disk is full or broken, at any step: a row that says proven never lies.

The model after each fault and ``amanat reconcile``: every row that says it is there has a whole artefact with
that hash and a manifest; nothing else lies in the store, in staging, in the scratch folder or beside documents;
no run is open; and the next command does its work.
"""

import hashlib
import json

import pytest

from tests.support import strace
from tests.support.scene import POLICIES, runs, staged
from tests.support.sqlite_databases import rows

pytestmark = [pytest.mark.slow, pytest.mark.fault]

SNAPSHOT = ("snapshot", "app", "--policy=nightly")
ARTEFACT, IN_PLACE, MANIFEST = r"artefact\.sqlite", r"/store/app/database\S+\.sqlite\"", r"manifest\.json"
FOLDER, LOG = r"</store/app>", "register.sqlite-wal"
KILLED_SNAPSHOT = [
    ("fdatasync", LOG, 2),  # the row of the run
    ("mkdir", r"\.staging/\w{12}", 0),
    ("copy_file_range", ARTEFACT, 0),
    ("fsync", ARTEFACT, 0),
    ("fsync", MANIFEST, 0),
    ("rename", rf"{ARTEFACT}\".*{IN_PLACE}", 0),
    ("fsync", FOLDER, 0),
    ("rename", rf"{MANIFEST}.*/store/app/", 0),
    ("fsync", FOLDER, -1),
    ("pwrite64", LOG, 12),
    ("rmdir", r"\.staging/\w{12}", 0),
    ("unlink", r"locks/run-", 0),
    ("rename", r"/documents/backup-register\.md", 0),
]
KILLED_PRUNE = [
    ("unlink", MANIFEST, 0),
    ("unlink", IN_PLACE, 0),
    ("fsync", FOLDER, 0),
    ("unlink", MANIFEST, 1),
    ("fsync", FOLDER, 1),
]
FAILED_SNAPSHOT = [
    ("copy_file_range", ARTEFACT, 0, "ENOSPC", "space"),
    ("fsync", ARTEFACT, 0, "EIO", "store"),
    ("rename", IN_PLACE, 0, "EIO", "store"),
    ("fsync", FOLDER, 0, "EIO", "store"),
    ("write", MANIFEST, 0, "ENOSPC", "space"),
    ("fsync", FOLDER, -1, "EIO", "store"),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Five snapshots, all of them kept."""
    amanat = staged(tmp_path_factory.mktemp("scene"))
    for _ in range(5):
        amanat.ok(*SNAPSHOT)
    return amanat


@pytest.fixture(scope="module")
def snapshot_calls(scene, tmp_path_factory):
    return strace.traced(strace.copy(scene, tmp_path_factory.mktemp("traced")), *SNAPSHOT)


@pytest.fixture(scope="module")
def pruned_scene(scene, tmp_path_factory):
    """The same, when two of the five are to go."""
    amanat = strace.copy(scene, tmp_path_factory.mktemp("prune"))
    amanat.policies(POLICIES.replace("keep: {last: 10}", "keep: {last: 3}"))
    return amanat


@pytest.fixture(scope="module")
def prune_calls(pruned_scene, tmp_path_factory):
    return strace.traced(strace.copy(pruned_scene, tmp_path_factory.mktemp("traced")), "prune")


def assert_sound(amanat):
    found = amanat.query("SELECT * FROM snapshots")
    here = [row for row in found if row["state"] == "present"]
    assert {row["state"] for row in found} <= {"present", "pruned"}
    expected = {name for row in here for name in (row["path"], f"{row['path']}.manifest.json")}
    assert set(amanat.files()) == expected
    for row in here:
        assert_whole(amanat.store / row["path"], row)
    assert amanat.query("SELECT * FROM runs WHERE outcome IS NULL") == []
    assert [path.name for path in (amanat.folder / "documents").iterdir()] == ["backup-register.md"]
    for folder in (amanat.store / ".staging", amanat.state / "scratch"):
        assert list(folder.iterdir()) == []
    return here


def assert_whole(artefact, row):
    assert row["proof"] == "readable"
    assert hashlib.sha256(artefact.read_bytes()).hexdigest() == row["sha256"]
    assert rows(artefact, "PRAGMA quick_check") == [("ok",)]
    manifest = json.loads(artefact.with_name(f"{artefact.name}.manifest.json").read_text("utf-8"))
    assert manifest["id"] == row["id"]
    assert manifest["artefact"]["sha256"] == row["sha256"]


@pytest.mark.parametrize(("name", "pattern", "nth"), KILLED_SNAPSHOT, ids=str)
def test_a_snapshot_killed_at_any_step(scene, snapshot_calls, tmp_path, name, pattern, nth):
    amanat = strace.copy(scene, tmp_path)
    call = strace.find(snapshot_calls, name, pattern, nth)
    assert strace.faulted(amanat, call, "signal=SIGKILL", *SNAPSHOT).returncode == -9
    amanat.ok("reconcile")
    before = assert_sound(amanat)
    assert len(before) in (5, 6)
    amanat.ok(*SNAPSHOT)
    assert len(assert_sound(amanat)) == len(before) + 1


@pytest.mark.parametrize(("name", "pattern", "nth"), KILLED_PRUNE, ids=str)
def test_a_prune_killed_at_any_step(pruned_scene, prune_calls, tmp_path, name, pattern, nth):
    amanat = strace.copy(pruned_scene, tmp_path)
    call = strace.find(prune_calls, name, pattern, nth)
    assert strace.faulted(amanat, call, "signal=SIGKILL", "prune").returncode == -9
    amanat.ok("reconcile")
    assert len(assert_sound(amanat)) == 4 - nth
    amanat.ok("prune")
    assert len(assert_sound(amanat)) == 3


@pytest.mark.parametrize(("name", "pattern", "nth", "error", "kind"), FAILED_SNAPSHOT, ids=str)
def test_a_disk_that_is_full_or_broken(scene, snapshot_calls, tmp_path, name, pattern, nth, error, kind):
    amanat = strace.copy(scene, tmp_path)
    call = strace.find(snapshot_calls, name, pattern, nth)
    done = strace.faulted(amanat, call, f"error={error}", *SNAPSHOT)
    assert done.returncode == 3, done.stderr
    assert "→" in done.stderr
    assert "Traceback" not in done.stderr
    assert (runs(amanat)[-1]["outcome"], runs(amanat)[-1]["code"]) == ("failed", kind)
    assert len(assert_sound(amanat)) == 5  # without any reconcile


@pytest.mark.parametrize("nth", [0, 12])
def test_a_register_that_cannot_be_written(scene, snapshot_calls, tmp_path, nth):
    """At the first row of the run, and at the row of a snapshot whose files are in place."""
    amanat = strace.copy(scene, tmp_path)
    call = strace.find(snapshot_calls, "pwrite64", LOG, nth)
    done = strace.faulted(amanat, call, "error=ENOSPC", *SNAPSHOT)
    assert done.returncode == 3
    assert "register" in done.stderr
    amanat.ok("reconcile")
    assert len(assert_sound(amanat)) in (5, 6)
