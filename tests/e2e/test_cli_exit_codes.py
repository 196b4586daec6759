"""Exit codes are an API: each comes from a real situation, with a sentence that names thing and remedy."""

import contextlib
import json
import os
import re
import signal
from itertools import pairwise

import pytest

from tests.support.scene import POLICIES, locked, runs, staged, wait_for_open_run

EXPIRED = POLICIES.replace("keep: {last: 10}", "keep: {last: 1}")


@pytest.fixture
def amanat(tmp_path):
    return staged(tmp_path)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory):
    """Two snapshots, whose ids begin alike."""
    scene = staged(tmp_path_factory.mktemp("stocked"))
    for policy, new_id in (("manual", "abc111111111"), ("nightly", "abc222222222")):
        scene.ok("snapshot", "app", f"--policy={policy}")
        scene.query("UPDATE snapshots SET id = ? WHERE policy = ?", new_id, policy)
    return scene


# 2: usage and configuration


@pytest.mark.parametrize(
    "args",
    [
        ["snapshot"],
        ["snapshot", "app", "--nmae=x"],
        ["snaphsot"],
        ["snapshot", "app", "--wait=soon"],
        ["snapshot", "app", "--tables=users,,surveys"],
        ["snapshot", "app", "--policy=pre-release"],
        ["snapshot", "app", "--connection=pgsql"],
        ["verify", "latest", "--level=none"],
        ["hold", "latest"],
        ["hold", "latest", "--reason= "],
        ["show", "latest:a:b:c"],
        ["next", "--after=tomorrow"],
        ["next", "--count=0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(stocked, args):
    before = len(stocked.query("SELECT * FROM runs"))
    assert stocked.fails(2, *args)
    assert len(stocked.query("SELECT * FROM runs")) == before


def test_no_command_shows_the_help(stocked):
    assert "Usage: amanat" in stocked.run().stdout
    assert stocked.run().returncode == 2


@pytest.mark.parametrize(
    "name", ["a/b", "/etc/passwd", "..", "../app", "a\nb", "a\tb", "x" * 300, " ", "-a", "a:b", "\x1b[2J"]
)
def test_an_unsafe_name_is_refused(stocked, name):
    files = stocked.files()
    said = stocked.fails(2, "snapshot", "app", f"--name={name}")
    assert "name" in said
    assert "→" in said
    assert stocked.files() == files


@pytest.mark.parametrize(
    "args",
    [
        ["snapshot", "app", "--name=\udcff"],
        ["snapshot", "app", "--purpose", "why \udcff"],
        ["snapshot", "app", "--by=\udcc3("],
        ["hold", "latest", "--reason=\udcff"],
        ["list", "\udcff"],
        ["--store=\udcff", "list"],
        ["list", "--json", "--", "\udcff"],
    ],
    ids=lambda args: f"{len(args)} {args[-1]!a}",
)
def test_an_argument_that_is_not_utf_8_is_named_and_refused(stocked, args):
    before = len(stocked.query("SELECT * FROM runs")), stocked.files()
    said = stocked.fails(2, *args)
    bad = next(word for word in args if not word.isprintable())
    assert "is not UTF-8" in said
    shown = bad.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    assert (json.loads(said)["error"]["message"] if "--json" in args else said).count(shown) == 1
    assert (len(stocked.query("SELECT * FROM runs")), stocked.files()) == before


@pytest.mark.parametrize("name", ["öncə şəkil", "релиз-2.1", "預發布", "before 2.1 (b)", "v2.1.0_rc-1"])
def test_any_safe_name_is_taken(stocked, name):
    row = stocked.json("snapshot", "app", f"--name={name}")
    assert row["name"] == name
    assert name in row["path"]
    assert (stocked.store / row["path"]).is_file()
    assert stocked.json("show", row["path"]) == stocked.json("show", row["id"])


def test_settings_that_cannot_be_used_are_2(stocked):
    said = stocked.fails(2, "list", env={"AMANAT_LOG_LEVEL": "loud", "AMANAT_MAX_CONCURRENCY": "none"})
    assert "AMANAT_LOG_LEVEL" in said
    assert "AMANAT_MAX_CONCURRENCY" in said


def test_a_missing_policy_file_is_2(amanat):
    amanat.file.unlink()
    assert str(amanat.file) in amanat.fails(2, "snapshot", "app")


# 3: the operation failed


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda path: path.unlink(), "does not exist"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"not a database" * 100), "is not a SQLite database"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
    ],
    ids=["missing", "empty", "not a database", "a folder"],
)
def test_a_source_that_cannot_be_read_is_3(amanat, spoil, word):
    kept = amanat.json("snapshot", "app")
    files = amanat.files()
    spoil(amanat.folder / "app.sqlite")
    said = amanat.fails(3, "snapshot", "app")
    assert word in said
    assert "→" in said
    assert (runs(amanat)[-1]["outcome"], runs(amanat)[-1]["code"]) == ("failed", "source")
    assert amanat.json("register")[-1]["outcome"] == "failed"
    assert amanat.files() == files
    assert amanat.json("verify", kept["id"])["proven"]


def test_a_source_locked_past_the_timeout_is_3(amanat):
    amanat.policies(POLICIES.replace("keep: {last: 3}", "keep: {last: 3}\n    timeout: 1s"))
    with locked(amanat.folder / "app.sqlite"):
        said = amanat.fails(3, "snapshot", "app", "--policy=pre-release", "--purpose=x")
    assert "locked by another process" in said
    assert runs(amanat)[-1]["code"] == "timeout"
    assert amanat.files() == []


def test_a_store_that_is_missing_is_3_and_is_not_made(amanat):
    amanat.store.rmdir()
    assert "is missing" in amanat.fails(3, "snapshot", "app")
    assert not amanat.store.exists()
    assert runs(amanat)[-1]["code"] == "store"


def test_a_pattern_that_matches_nothing_is_3(amanat):
    assert "nosuch" in amanat.fails(3, "snapshot", "app", "--tables=users,nosuch*")


def test_a_register_that_cannot_be_opened_is_3(amanat):
    amanat.state.mkdir()
    (amanat.state / "register.sqlite").write_bytes(b"no database" * 1000)
    said = amanat.fails(3, "list")
    assert "register.sqlite" in said
    assert "reconcile" in said


def test_the_error_as_json(amanat):
    error = json.loads(amanat.fails(3, "snapshot", "app", "--tables=nosuch", "--json"))["error"]
    assert (error["kind"], error["exit_code"]) == ("source", 3)
    assert "nosuch" in error["message"]
    assert error["hint"]


@pytest.mark.parametrize("to", ["> /dev/full", ">&-"])
@pytest.mark.parametrize(
    "args",
    [["list"], ["show", "latest", "--json"], ["config", "schema"], ["--help"], ["list", "--help"], ["--version"]],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_3(stocked, args, to):
    said = stocked.fails(3, *args, around=["sh", "-c", f'exec "$@" {to}', "sh"])
    message = "amanat: standard output cannot be written: "
    if "--json" in args:
        assert json.loads(said)["error"]["kind"] == "output"
    else:
        assert re.fullmatch(message + r"(No space left on device|Bad file descriptor)\n  → .*\n", said)


def test_a_snapshot_that_could_not_be_told_of_is_there(amanat):
    amanat.fails(3, "snapshot", "app", around=["sh", "-c", 'exec "$@" > /dev/full', "sh"])
    assert [row["proof"] for row in amanat.json("list")] == ["readable"]


# 4: refused by a guard


def test_pruning_more_than_half_is_refused_until_confirmed(amanat):
    for _ in range(3):
        amanat.ok("snapshot", "app", "--policy=nightly")
    files = amanat.files()
    amanat.policies(EXPIRED)
    planned = amanat.json("prune", "--dry-run")[0]
    assert [verdict["keep"] for verdict in planned["verdicts"]] == [True, False, False]
    assert [refusal["reason"] for refusal in planned["refusals"]] == ["too-many"]
    assert "would be refused" in amanat.ok("prune", "app", "--dry-run")
    assert f"--confirm {planned['plan']}" in amanat.fails(4, "prune")
    assert f"--confirm {planned['plan']}" in amanat.fails(4, "prune", "--confirm=another")
    assert amanat.files() == files
    assert runs(amanat, "prune")[-1]["outcome"] == "refused"
    done = amanat.json("prune", "--confirm", planned["plan"], "--by=operator")[0]
    assert len(done["deleted"]) == 2
    assert len(amanat.files()) == 2
    deletion = amanat.json("register")[-1]
    assert (deletion["kind"], deletion["by"]) == ("deletion", "operator")
    gone = amanat.json("explain", done["deleted"][0])
    assert (gone["keep"], gone["state"]) == (False, "pruned")
    assert len(amanat.json("list", "--all")) == 3
    assert amanat.ok("prune").count("\n") == 2  # the head, and the one that stays


# 5: no such thing


@pytest.mark.parametrize(
    "args",
    [
        ["snapshot", "nosuch"],
        ["snapshot", "app", "--policy=nosuch"],
        ["list", "nosuch"],
        ["prune", "nosuch"],
        ["next", "nosuch"],
        ["show", "fff"],
        ["show", "latest:nosuch"],
        ["show", "latest:app:pre-release"],
        ["explain", "app/nosuch.sqlite"],
        ["release", "abc1", "--reason=was never held"],
    ],
    ids=" ".join,
)
def test_no_such_thing_is_5(stocked, args):
    assert "→" in stocked.fails(5, *args)


@pytest.mark.parametrize("reference", ["abc2", "ABC2", "abc222222222", "latest:app:nightly"])
def test_references(stocked, reference):
    assert stocked.json("explain", reference)["id"] == "abc222222222"


@pytest.mark.parametrize("reference", ["latest", "latest:app", "latest:app:", "latest::"])
def test_the_latest_of_all(stocked, reference):
    assert stocked.json("explain", reference)["id"] == stocked.json("list")[0]["id"]


def test_a_path_is_a_reference_from_anywhere(stocked):
    path = stocked.json("list")[-1]["path"]
    for reference in (path, stocked.store / path, f"store/{path}", f"./store/app/../{path}"):
        assert stocked.json("explain", reference)["id"] == "abc111111111"


def test_a_prefix_of_two_snapshots_is_2(stocked):
    said = stocked.fails(2, "show", "abc")
    assert "abc111111111" in said
    assert "abc222222222" in said


# 6: busy


def test_somebody_else_at_work_past_the_wait_is_6(amanat):
    with locked(amanat.folder / "app.sqlite"), amanat.started("snapshot", "app") as first:
        wait_for_open_run(amanat)
        assert "another run holds the lock" in amanat.fails(6, "snapshot", "app", "--wait=0s")
        assert runs(amanat)[-1]["outcome"] == "skipped"
        first.signal(signal.SIGTERM)
        assert first.wait() == 143


def test_the_first_commands_of_all_may_run_side_by_side(amanat):
    """The register is made meanwhile; on the database they wait for each other."""
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(amanat.started("snapshot", "app", "--wait=30s")) for _ in range(4)]
        assert [process.wait() for process in started] == [0] * 4
    assert all(one["finished_at"] <= other["started_at"] for one, other in pairwise(runs(amanat)))


# 7: not what it was


def test_a_changed_snapshot_is_7_and_counts_no_more(amanat):
    older, damaged = amanat.json("snapshot", "app"), amanat.json("snapshot", "app")
    flip_a_byte(amanat.store / damaged["path"])
    said = amanat.fails(7, "verify", damaged["id"])
    assert "SHA-256" in said
    assert amanat.json("show", damaged["id"])["state"] == "damaged"
    assert "\tdamaged\t" in amanat.ok("list")
    assert amanat.json("show", "latest:app")["id"] == older["id"]
    assert runs(amanat, "verify")[-1]["outcome"] == "failed"


def test_a_deleted_snapshot_is_7_and_then_missing(amanat):
    gone = amanat.json("snapshot", "app")
    (amanat.store / gone["path"]).unlink()
    assert "is gone" in amanat.fails(7, "verify", gone["id"])
    assert amanat.json("show", gone["id"])["state"] == "missing"
    assert amanat.json("list") == []
    assert [row["state"] for row in amanat.json("list", "--all")] == ["missing"]
    amanat.fails(5, "verify", gone["id"])


def flip_a_byte(path):
    with path.open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


# 130 and 143: interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_snapshot(amanat, number, code):
    with locked(amanat.folder / "app.sqlite"), amanat.started("snapshot", "app") as process:
        wait_for_open_run(amanat)
        process.signal(number)
        assert process.wait() == code
        assert "Traceback" not in process.output()
    row = runs(amanat)[-1]
    assert (row["outcome"], row["code"]) == ("interrupted", "interrupted")
    assert amanat.files() == []
    assert list((amanat.store / ".staging").iterdir()) == []
    assert list((amanat.state / "scratch").iterdir()) == []
    assert amanat.json("snapshot", "app")["proven"]
