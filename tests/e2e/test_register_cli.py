"""``amanat register`` as an auditor and an operator use it: verify, rebuild, export, and heads kept elsewhere."""

import csv
import hashlib
import io
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.cli import wait_for
from tests.support.documents import ROOT, marked
from tests.support.scene import POLICIES, amanat, taken

__all__ = ["amanat", "taken"]
HOLD = ("hold", "latest", "--reason", "the audit of 2026")
ANCHOR = 'anchor: {{command: [sh, -c, "{script}"], timeout: 2s}}\n'


def edited(amanat, statement):
    with closing(sqlite3.connect(amanat.state / "register.sqlite")) as register, register:
        assert register.execute(statement).rowcount > 0


def head(amanat):
    found = amanat.json("status")["register_head"]
    return f"{found['sequence']}:{found['hash']}"


def test_verify_says_yes_or_names_the_entry(amanat):
    amanat.ok(*HOLD)
    noted = head(amanat)
    assert f"the chain holds: {noted}" in amanat.ok("register", "verify", "--head", noted)
    edited(amanat, "UPDATE entries SET by = 'nobody' WHERE sequence = 2")
    said = amanat.fails(7, "register", "verify")
    assert "entry 2 does not give the hash" in said and "→" in said
    done = amanat.run("register", "verify", "--json")
    report, error = json.loads(done.stdout), json.loads(done.stderr)
    assert done.returncode == 7 and error["error"]["kind"] == "integrity"
    assert (report["valid"], report["findings"][0]["kind"], report["findings"][0]["entry"]) == (False, "edited", 2)


def test_a_head_that_an_auditor_noted(amanat):
    amanat.ok(*HOLD)
    noted = head(amanat)
    edited(amanat, "DELETE FROM entries WHERE sequence = 2")
    edited(amanat, "DELETE FROM holds")
    edited(amanat, "UPDATE sqlite_sequence SET seq = 1 WHERE name = 'entries'")
    assert amanat.ok("register", "verify")  # nothing was written since that could know
    assert "knows entry 2" in amanat.fails(7, "register", "verify", "--head", noted)
    for wrong in ("2", "2:abc", "x"):
        assert "SEQUENCE:HASH" in amanat.fails(2, "register", "verify", "--head", wrong)


def test_bytes_that_are_no_text_are_told_of_and_no_bug(amanat):
    edited(amanat, "UPDATE entries SET purpose = CAST(x'ff' AS TEXT) WHERE sequence = 1")
    assert "was edited" in amanat.fails(7, "register", "verify")


def test_a_word_that_amanat_never_wrote_is_no_bug(amanat):
    edited(amanat, "UPDATE snapshots SET proof = 'gold'")
    assert "amanat register verify" in amanat.fails(7, "list")
    assert "proof" in amanat.fails(7, "register", "verify")
    edited(amanat, "UPDATE entries SET kind = 'miracle', at = 'noon'")
    assert "miracle" in amanat.ok("register")


def test_a_store_that_is_not_mounted_is_not_taken_for_one_without_manifests(amanat):
    amanat.store.rename(amanat.folder / "unmounted")
    amanat.store.mkdir(mode=0o700)
    assert "mount it" in amanat.fails(3, "register", "verify")


def test_the_check_by_hand_of_the_documentation(amanat):
    amanat.ok(*HOLD)
    check = marked(ROOT / "documentation/register.md", "check")
    script = ["sh", "-ec", check]

    def by_hand():
        done = subprocess.run(script, cwd=amanat.state, capture_output=True, text=True, check=False)
        return done.stdout.strip() or done.stderr.strip()

    assert by_hand() == f"the chain holds: {head(amanat)}"
    edited(amanat, "UPDATE entries SET by = 'nobody' WHERE sequence = 2")
    assert by_hand() == "it breaks at entry 2"


def test_the_export_gives_the_hashes_again(amanat):
    """By Python's own JSON."""
    amanat.ok(*HOLD)
    for entry in json.loads(amanat.ok("register", "export")):
        said = entry.pop("hash")
        held = {key: value for key, value in entry.items() if value is not None}
        text = json.dumps(held, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == said


def test_export_of_a_time_to_a_file(amanat):
    amanat.ok(*HOLD)
    day = amanat.json("register")[0]["at"][:10]
    amanat.ok("register", "export", "--format", "csv", "--from", day, "--to", day, "--output", "audit.csv")
    head, *rows = csv.reader(io.StringIO((amanat.folder / "audit.csv").read_text()))
    assert head[0] == "sequence" and [row[0] for row in rows] == ["1", "2"]
    assert json.loads(amanat.ok("register", "export", "--to", "2001-01-01")) == []
    assert "<table>" in amanat.ok("register", "export", "--format", "html")
    assert "is no time" in amanat.fails(2, "register", "export", "--from", "yesterday")
    assert "is later than" in amanat.fails(2, "register", "export", "--from", "2026-02-01", "--to", "2026-01-01")
    assert "[]" in amanat.ok("register", "export", "--from", "2001-01-01", "--to", "2001-01-01")
    amanat.fails(3, "register", "export", "--output", "/dev/full")
    assert Path("/dev/full").is_char_device()
    amanat.fails(3, "register", "export", "--output", "nowhere/audit.json")


def test_a_deletion_that_nobody_began_is_named_and_not_finished(amanat):
    amanat.ok(*HOLD)
    edited(amanat, "UPDATE snapshots SET state = 'pruning'")
    files = amanat.files()
    assert "state (expected present, found pruning)" in amanat.fails(7, "register", "verify")
    said = amanat.ok("reconcile", "--dry-run") + amanat.ok("reconcile")
    assert "pruned:" not in said and said.count("no entry does\n") == 2
    assert amanat.files() == files


def test_a_row_of_a_run_that_nobody_wrote_is_no_bug(amanat):
    edited(amanat, "UPDATE runs SET outcome = 'weird'")
    for command in (["runs"], ["status"], ["evidence", "app"]):
        assert "weird" in amanat.fails(7, *command)


def test_a_register_that_was_made_anew_says_so_wherever_it_is_judged(amanat):
    amanat.ok("register", "rebuild", "--move-aside", "--by", "aysel")
    said = "by aysel; the heads in 0 manifests of before are not compared"
    for command in (["register", "verify"], ["evidence", "app"]):
        assert said in amanat.ok(*command)
    assert said in amanat.run("doctor", "--json", env={"AMANAT_HTTP": "off"}).stdout
    assert "which its chain does not cover" in amanat.ok("evidence", "app", "--format", "html")
    for file in amanat.store.glob("app/*"):
        file.unlink()
    assert "lost: " in amanat.run("register", "verify").stdout
    assert "is gone" in amanat.fails(7, "register", "verify")


def test_rebuild_never_overwrites(amanat):
    before = (amanat.state / "register.sqlite").read_bytes()
    assert "--move-aside" in amanat.fails(4, "register", "rebuild")
    assert (amanat.state / "register.sqlite").read_bytes() == before


def test_rebuild_moves_the_old_one_aside_and_says_what_is_lost(amanat):
    amanat.ok(*HOLD)
    kept = amanat.json("list")[0]
    said = amanat.ok("register", "rebuild", "--move-aside", "--by", "aysel")
    (aside,) = amanat.state.glob("register.sqlite.2*")
    assert str(aside) in said and "from 1 manifests" in said and "holds are gone" in said
    with closing(sqlite3.connect(aside)) as old:
        assert old.execute("SELECT count(*) FROM entries").fetchone() == (2,)
    first, adopted = amanat.json("register")
    assert (first["kind"], first["by"]) == ("rebuild", "aysel") and aside.name in first["detail"]
    assert (adopted["kind"], adopted["snapshot"], adopted["sha256"]) == ("adoption", kept["id"], kept["sha256"])
    assert amanat.json("list")[0]["held"] == []
    amanat.ok("register", "verify")


def test_rebuild_when_the_old_one_is_gone_or_garbage(amanat):
    register = amanat.state / "register.sqlite"
    register.unlink()
    assert len(amanat.json("register", "rebuild")["adopted"]) == 1
    register.write_bytes(b"not a database at all" * 99)
    for beside in amanat.state.glob("register.sqlite-*"):
        beside.unlink()
    report = amanat.json("register", "rebuild", "--move-aside")
    assert len(report["adopted"]) == 1 and report["lost"]
    assert Path(report["moved_aside"]).read_bytes().startswith(b"not a database")
    amanat.ok("register", "verify")


def test_rebuild_needs_manifests(amanat):
    amanat.store.rename(amanat.folder / "unmounted")
    amanat.store.mkdir(mode=0o700)
    assert "no manifest" in amanat.fails(4, "register", "rebuild", "--move-aside")
    assert not list(amanat.state.glob("register.sqlite.2*"))


def test_rebuild_does_not_pull_the_register_from_under_somebody(amanat):
    with closing(sqlite3.connect(amanat.state / "register.sqlite")) as reader:
        reader.execute("SELECT count(*) FROM entries").fetchone()
        assert "in use" in amanat.fails(6, "register", "rebuild", "--move-aside")
    amanat.ok("register", "verify")


def test_options_before_the_command_are_not_swallowed(amanat):
    assert "behind the command" in amanat.fails(2, "register", "--json", "verify")


@pytest.mark.slow
def test_the_daemon_anchors_and_watches(amanat):
    script = "echo $AMANAT_HEAD_SEQUENCE:$AMANAT_HEAD_HASH >> heads"
    amanat.policies(POLICIES + ANCHOR.format(script=script))
    amanat.query("UPDATE slots SET last_at = '2020-01-01T00:00:00.000000Z'")
    with amanat.daemon(AMANAT_LOG_FORMAT="json") as daemon:
        assert "another daemon" in amanat.fails(6, "register", "rebuild", "--move-aside")
        wait_for("the first look", lambda: daemon.metric("register_chain_valid") == 1)
        amanat.ok(*HOLD)
        assert (amanat.folder / "heads").read_text().splitlines()[-1] == head(amanat)
        assert daemon.status()["register_head"]["sequence"] == int(head(amanat).split(":")[0])
    edited(amanat, "UPDATE entries SET by = 'nobody' WHERE sequence = 1")
    with amanat.daemon(AMANAT_LOG_FORMAT="json") as daemon:
        wait_for("the look that finds it", lambda: daemon.metric("register_chain_valid") == 0)
        assert '"event": "register.broken"' in daemon.output()


@pytest.mark.parametrize(("script", "said"), [("echo no network >&2; exit 3", "no network"), ("sleep 60", "2s")])
def test_an_anchor_that_fails_is_told_and_fails_nothing(amanat, script, said):
    amanat.policies(POLICIES + ANCHOR.format(script=script))
    done = amanat.run(*HOLD)
    assert done.returncode == 0
    assert "anchor.failed" in done.stderr and said in done.stderr
    assert amanat.json("list")[0]["held"]


def test_an_anchor_that_is_not_there(amanat):
    amanat.policies(POLICIES + "anchor: {command: [./no-such-program]}\n")
    done = amanat.run(*HOLD)
    assert done.returncode == 0 and f"{amanat.folder}/no-such-program" in done.stderr
