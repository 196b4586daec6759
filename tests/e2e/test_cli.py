"""Every command once, as a person or a script would use it, on a real SQLite database."""

import json
import os
import pty
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from amanat.domain.entry import Entry, EntryKind
from amanat.register.register import Register
from tests.support.cli import COMMAND, Amanat
from tests.support.scene import staged
from tests.support.snapshots import snapshot
from tests.support.sqlite_databases import build, rows
from tests.support.systemd_install import PROJECT

COMMANDS = ["daemon", "demo", "snapshot", "list", "show", "status", "next", "verify", "prune", "explain", "hold"]
COMMANDS += ["release", "runs", "register", "reconcile", "config check", "config schema"]
ROW = {"id", "database", "engine", "environment", "policy", "name", "purpose", "by", "scope", "path"}
ROW |= {"size_bytes", "taken_at", "proof", "held"}


@pytest.fixture(scope="module")
def amanat(tmp_path_factory):
    """Two snapshots: a nightly one, and one of the users alone, taken by hand."""
    scene = staged(tmp_path_factory.mktemp("cli"))
    scene.ok("snapshot", "app", "--policy=nightly", "--by=operator")
    scene.ok("snapshot", "app", "--purpose=2.1.0", "--tables=users", "--name=before")
    return scene


@pytest.fixture
def nightly(amanat):
    return amanat.json("show", "latest:app:nightly")


def test_the_groups_of_commands_are_in_the_help(amanat):
    text = amanat.ok("--help")
    for command in COMMANDS:
        assert re.search(rf"\b{command.split()[0]}\b", text)
    assert "Exit codes: 0 done" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_how_it_exits(amanat, command):
    assert "Exit status: " in amanat.ok(*command.split(), "--help")


def test_the_version(amanat):
    assert re.fullmatch(r"amanat \d+\.\d+\.\d+\n", amanat.ok("--version"))


def test_a_snapshot_taken_now(amanat):
    row = amanat.json("show", "latest:app:manual")
    assert row.keys() >= ROW
    assert (row["name"], row["purpose"], row["scope"]) == ("before", "2.1.0", "tables: users")
    assert (row["engine"], row["environment"], row["proof"], row["held"]) == ("sqlite", "staging", "readable", [])
    artefact = amanat.store / row["path"]
    assert artefact.stat().st_size == row["size_bytes"]
    assert rows(artefact, "SELECT name FROM sqlite_schema WHERE type = 'table'") == [("users",)]
    assert datetime.fromisoformat(row["taken_at"]).tzinfo


def test_json_of_snapshot_is_a_row_of_list(tmp_path):
    amanat = staged(tmp_path)
    taken = amanat.json("snapshot", "app")
    assert amanat.json("list") == [taken]
    assert taken["policy"] == taken["name"] == "manual"


def test_off_a_terminal_a_list_is_tab_separated_and_whole(amanat, nightly):
    head, *lines = amanat.ok("list", "app").splitlines()
    assert head.split("\t") == ["ID", "DATABASE", "POLICY", "NAME", "TAKEN", "SIZE", "PROOF", "SCOPE", "PURPOSE"]
    first, second = (line.split("\t") for line in lines)
    assert (first[2:4], first[-3:]) == (["manual", "before"], ["readable", "tables: users", "2.1.0"])
    assert (second[:3], second[-2]) == ([nightly["id"], "app", "nightly"], "whole")


def test_a_shown_snapshot_can_be_restored_by_its_recipe(amanat, nightly, tmp_path):
    folder = (amanat.store / nightly["path"]).parent
    _, told, recipe = amanat.ok("show", nightly["id"]).partition(f"To restore it by hand, in {folder}:\n")
    assert told
    script = re.sub(r"target=\S+", f"target={tmp_path}/again.sqlite", recipe)
    subprocess.run(["sh", "-e", "-c", script], cwd=folder, check=True, timeout=30)
    assert rows(tmp_path / "again.sqlite", "SELECT count(*) FROM users") == [(500,)]


def test_status(amanat):
    found = amanat.json("status")
    policies = {row["policy"]: row for row in found["policies"]}
    assert policies["nightly"]["last_run"]["outcome"] == "succeeded"
    assert policies["nightly"]["newest_proven"]["by"] == "operator"
    assert policies["nightly"]["next_run"]
    assert policies["pre-release"]["next_run"] is None
    assert found["running"] == []
    text = amanat.ok("status")
    assert "app\tnightly\t" in text
    assert f"store {amanat.store}: " in text


def test_next_follows_the_zone_over_the_change_of_clocks(tmp_path):
    amanat = staged(tmp_path)
    amanat.policies(
        amanat.file.read_text().replace('"15 2 * * *", timezone: UTC', '"30 2 * * *", timezone: Europe/Paris')
    )
    autumn = amanat.json("next", "nightly", "--after=2026-10-23T12:00:00Z", "--count=3")
    assert [(row["due_local"], row["due"]) for row in autumn] == [
        ("2026-10-24T02:30:00+02:00", "2026-10-24T00:30:00Z"),
        ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00Z"),
        ("2026-10-26T02:30:00+01:00", "2026-10-26T01:30:00Z"),
    ]
    spring = amanat.ok("next", "--after=2027-03-27T12:00:00Z", "--count=1")
    assert "2027-03-28T03:00:00+02:00\t2027-03-28T01:00:00Z" in spring


def test_verify(amanat, nightly):
    again = amanat.json("verify", nightly["id"], "--level=stored")
    assert again["proof"] == "readable"  # a higher level stays
    assert again["proof_at"] == nightly["proof_at"]
    assert again["read_at"] > nightly["read_at"]
    assert f"snapshot {nightly['id']} of app: readable" in amanat.ok("verify", nightly["id"])


def test_hold_and_release(amanat, nightly):
    assert amanat.json("hold", nightly["id"], "--reason=audit | 2026")["held"] == ["audit | 2026"]
    assert amanat.json("hold", nightly["id"], "--reason=court")["held"] == ["audit | 2026", "court"]
    assert "held" in amanat.ok("explain", nightly["id"])
    assert "released" in amanat.ok("release", nightly["id"], "--reason=over")
    assert amanat.json("show", nightly["id"])["held"] == []
    kinds = [entry["kind"] for entry in amanat.json("register")]
    assert kinds[-3:] == ["hold", "hold", "release"]


def test_explain(amanat, nightly):
    found = amanat.json("explain", nightly["id"])
    assert found["keep"] is True
    assert found["reasons"]
    assert f"{nightly['id']} is kept: " in amanat.ok("explain", nightly["id"])


def test_register(amanat, nightly):
    first = amanat.json("register")[0]
    assert (first["kind"], first["by"], first["environment"]) == ("snapshot", "operator", "staging")
    assert first["scope"] == "whole database"
    assert "operator\tsnapshot\tsucceeded\tapp" in amanat.ok("register")


def test_the_markdown_register_is_the_document(amanat, nightly):
    text = amanat.ok("register", "--markdown")
    assert (amanat.folder / "documents/backup-register.md").read_text() == text
    assert "| Date and time | By whom | Purpose | Environment | Scope | File | Size | Proof |" in text
    assert "| operator | nightly | staging | whole database | " in text
    assert "| 2.1.0 | staging | tables: users | " in text


def test_text_from_users_cannot_break_the_markdown_register(tmp_path):
    amanat = staged(tmp_path)
    amanat.ok("snapshot", "app", "--purpose=a | b\n| c <script> `x` [y](z)", "--by=me\t|")
    line = amanat.ok("register", "--markdown").splitlines()[-1]
    assert len(re.findall(r"(?<!\\)\|", line)) == 9
    assert "<script>" not in re.sub(r"\\.", "", line)


def test_reconcile_when_all_is_well(amanat):
    assert not any(amanat.json("reconcile").values())
    assert amanat.ok("reconcile", "--dry-run") == "0 to repair, 0 foreign files untouched\n"


def test_reconcile_makes_the_register_anew_from_the_store(tmp_path):
    amanat = staged(tmp_path)
    taken = amanat.json("snapshot", "app", "--purpose=kept")
    (amanat.store / "app/notes.txt").write_text("mine")
    for file in amanat.state.glob("register.sqlite*"):
        file.unlink()
    found = amanat.json("reconcile")
    assert found["adopted"] == [taken["path"]]
    assert found["foreign"] == ["app/notes.txt"]
    (listed,) = amanat.json("list")
    assert listed.pop("read_at") > taken.pop("read_at")
    assert listed == taken


def test_config_check(amanat):
    assert amanat.json("config", "check")["scheduled"] == ["nightly/app"]
    assert "ok, 1 databases, 2 policies, 1 schedules" in amanat.ok("config", "check")


def test_config_check_warns_of_what_does_nothing(tmp_path):
    amanat = staged(tmp_path)
    amanat.file.write_text(amanat.file.read_text() + "    parallel: 4\n")
    assert "policies.yaml:19: policies.pre-release.parallel: does nothing" in amanat.ok("config", "check")
    assert len(amanat.json("config", "check")["warnings"]) == 1


def test_config_check_says_every_error_with_its_line(tmp_path):
    amanat = Amanat(tmp_path)
    amanat.policies("""\
        version: 1
        databases:
          app: {engine: sqlite, environment: local, pth: app.sqlite}
        policies:
          nightly:
            databases: [ap]
            schedule: {cron: "61 2 * * *", timezone: Europe/Pariss}
            keep: {last: -1}
    """)
    said = amanat.fails(2, "config", "check")
    for line, word in ((3, "pth"), (6, "databases"), (7, "cron"), (7, "timezone"), (8, "last")):
        assert re.search(rf"policies\.yaml:{line}: \S*{word}", said), said
    error = json.loads(amanat.fails(2, "config", "check", "--json"))["error"]
    assert (error["kind"], error["exit_code"]) == ("configuration", 2)
    assert error["hint"]


def test_the_schema_in_the_project_is_the_one_that_is_printed(amanat):
    shipped = json.loads((PROJECT / "config/policies.schema.json").read_text("utf-8"))
    assert json.loads(amanat.ok("config", "schema")) == shipped


def test_global_options_stand_before_or_behind_the_command(amanat, tmp_path):
    elsewhere = Amanat(tmp_path)
    places = ["--policies", amanat.file, f"--store={amanat.store}", "--state", amanat.state]
    assert len(elsewhere.json(*places, "list")) == 2
    assert len(elsewhere.json("list", *places)) == 2
    assert elsewhere.json("list", "app", *places[:2], env={"AMANAT_STATE": str(amanat.state)})
    assert not elsewhere.state.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(amanat, shell):
    assert "_AMANAT_COMPLETE" in amanat.ok(env={"_AMANAT_COMPLETE": f"source_{shell}"})


def test_completed_words(amanat):
    asked = {"_AMANAT_COMPLETE": "complete_bash", "COMP_WORDS": "amanat re", "COMP_CWORD": "1"}
    assert amanat.ok(env=asked).split() == ["restore", "release", "reconcile", "register"]


def test_a_progress_bar_on_a_terminal(tmp_path):
    amanat = staged(tmp_path)
    (tmp_path / "app.sqlite").unlink()
    build(tmp_path / "app.sqlite", "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(150000000));")
    code, text = on_a_terminal(amanat, "snapshot", "app")
    assert code == 0, text
    speed = r"([MG]B/s|\?)"  # the whole of it may be copied before there are two moments to compare
    assert re.search(rf"app .*[━╸].*/150\.\d MB.*{speed}", text)
    assert re.search(r"snapshot \w{12} of app: readable", text)


def test_a_terminal_gets_columns_and_no_control_characters_of_users(tmp_path):
    amanat = staged(tmp_path)
    amanat.ok("snapshot", "app", "--purpose=\x1b[2J\x07gone")
    code, text = on_a_terminal(amanat, "list")
    assert code == 0
    assert "\t" not in text
    assert "\x1b[2J" not in text
    assert "\x07" not in text


def on_a_terminal(amanat, *args):
    """Exit code, and all that a terminal of 200 columns would get."""
    ours, theirs = pty.openpty()
    env = amanat.environment({"COLUMNS": "200", "TERM": "xterm"})
    process = subprocess.Popen(
        [*COMMAND, *args], cwd=amanat.folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    chunks = []
    try:
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
    except OSError:
        pass  # EIO: the other side is closed
    os.close(ours)
    return process.wait(30), b"".join(chunks).decode()


def test_a_hundred_snapshots_are_listed_at_once(tmp_path, capsys):
    amanat = staged(tmp_path)
    fill(Register(amanat.state), 100)
    took = []
    for _ in range(5):
        before = processor_seconds()
        assert len(amanat.json("list")) == 100
        took.append(processor_seconds() - before)
    with capsys.disabled():
        sys.stdout.write(f"\namanat list with 100 snapshots: {min(took):.3f} s of a processor\n")
    assert min(took) < 0.6  # the budget is 0.4 s on a quiet machine


def processor_seconds():
    """Of all commands that have ended: what else the machine does hardly counts."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def fill(register, count):
    for number in range(count):
        taken = snapshot(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number), path=f"app/{number}.sqlite")
        entry = Entry(at=taken.taken_at, by="test", kind=EntryKind.SNAPSHOT, database=taken.database)
        register.add_snapshot(taken, entry)
    register.close()
