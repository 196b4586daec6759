"""The documentation is held to the code: references, links, samples, names, levels, codes."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import typer
import yaml

from amanat.archive import ArchiveError
from amanat.domain.errors import AmanatError, ExitCode
from amanat.domain.events import Event
from amanat.domain.model import Outcome, Snapshot
from amanat.domain.policy import KeepRules
from amanat.domain.retention import decide, floors_of
from amanat.faces.cli.main import cli
from amanat.observability import logs, metrics
from amanat.settings import models, policies
from tests.support.documents import ROOT, blocks, documents, files, marked, rows
from tests.support.snapshots import snapshot
from tools import reference

MANUAL = ROOT / "documentation"
# In parts, so that this file does not hold what it looks for.
MACHINE_PATHS = ("/" + "work/", "/" + "root/.")
REGISTRY_HOSTS = ("pypi" + ".org", "python" + "hosted")


def test_references_are_current() -> None:
    stale = [path.name for path, text in reference.rendered().items() if path.read_text() != text]
    assert not stale, "run `make reference`"


def test_every_part_of_the_reference_has_its_place() -> None:
    marks = [mark for path in documents() for mark in re.findall(r"<!-- reference: (\w+) -->", path.read_text())]
    assert sorted(marks) == sorted(reference.PARTS)


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_resolve(path: Path) -> None:
    dead = [link for link in _links(path) if not _resolves(path, link)]
    assert not dead


def _links(path: Path) -> Iterator[str]:
    prose = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    yield from (link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match(r"[a-z]+:", link))


def _resolves(path: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = path.parent / name if name else path
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(path: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_marked_policies_load(tmp_path: Path) -> None:
    marked = [
        text
        for path in documents()
        for text in re.findall(r"<!-- policy -->\n```yaml\n(.*?)```", path.read_text(), re.DOTALL)
    ]
    assert marked
    for text in marked:
        (tmp_path / "policies.yaml").write_text(text)
        assert policies.load(tmp_path / "policies.yaml").jobs()


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_fragments_of_policies_load(path: Path, tmp_path: Path) -> None:
    for text in blocks(path, "yaml"):
        data = yaml.safe_load(text)
        if data is None or "version" in data:
            continue  # a comment; a whole policy file
        (tmp_path / "policies.yaml").write_text(yaml.safe_dump(_around(data)))
        policies.load(tmp_path / "policies.yaml")


def _around(fragment: dict[str, object]) -> dict[str, object]:
    database: dict[str, object] = {"engine": "postgresql", "environment": "production"}
    policy: dict[str, object] = {"databases": ["atis"], "on_demand": True, "keep": {"last": 1}}
    if "databases" in fragment:
        return {"version": 1, "policies": {"nightly": policy}, **fragment}
    if fragment.keys() <= models.PolicyFile.model_fields.keys():
        database["service"] = "atis"
        return {"version": 1, "databases": {"atis": database}, "policies": {"nightly": policy}, **fragment}
    if fragment.keys() <= models.PolicyModel.model_fields.keys():
        policy |= fragment
        database |= {"service": "atis"}
    else:
        database |= fragment if "connection" in fragment else {"service": "atis", **fragment}
    return {"version": 1, "databases": {"atis": database}, "policies": {"nightly": policy}}


def test_the_commands_of_the_help_are_the_documented_ones() -> None:
    documented = set(re.findall(r"^## `amanat ([a-z ]+)`$", (MANUAL / "cli.md").read_text(), re.MULTILINE))
    top = _listed_by_help()
    nested = {f"{group} {name}" for group in ("config", "enforce", "register") for name in _listed_by_help(group)}
    assert documented == top | nested


def _listed_by_help(*command: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-m", "amanat", *command, "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^  ([a-z]+)\s{2,}", shown.stdout, re.MULTILINE))


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_that_are_shown_exist_with_their_options(path: Path) -> None:
    root = typer.main.get_command(cli)
    for line in _shown_commands(path):
        ours, _, _ = line.partition(" -- ")  # the rest is another command's
        words = [word for word in re.split(r"[\s|&;]+", ours) if word]
        while words and words[0].startswith("-"):
            words = words[1:] if "=" in words[0] or words[0] in {"--help", "--version"} else words[2:]
        command, name = root, ""
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            name = words.pop(0)
            assert name in command.commands, f"amanat {line}"
            command = command.commands[name]
        known = {option for item in (*command.params, *root.params) for option in item.opts} | {"--help"}
        asked = {word.split("=")[0] for word in words if re.match(r"--[a-z]", word)}
        assert asked <= known, f"amanat {line}"


def _shown_commands(path: Path) -> Iterator[str]:
    """Lines of shell blocks that call it, and code within a line that begins with it."""
    text = path.read_text()
    for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        joined = block.replace("\\\n", " ")
        calls = re.findall(r"^(?:\$ )?(?:sudo -u \w+ )?(?:\S+=\S+ )*(?:\S*/)?amanat (.*)$", joined, re.MULTILINE)
        yield from (re.split(r"\s(?:#|&& |\| )", call)[0] for call in calls if "[" not in call and "…" not in call)
    yield from (span for span in re.findall(r"`amanat ([^`\n]+)`", text) if "[" not in span and "…" not in span)


def test_every_metric_is_documented_and_no_other_is_named() -> None:
    documented = {line[0].strip("`") for line in rows(MANUAL / "metrics.md", "metric")}
    assert documented == set(metrics.NAMES)
    for path in documents():
        named = set(re.findall(r"\bamanat_[a-z_]+[a-z]\b", path.read_text()))
        assert all(any(known.startswith(name) for known in metrics.NAMES) for name in named), path


def test_every_exit_code_is_documented() -> None:
    documented = [(int(line[0]), line[1]) for line in rows(MANUAL / "exit-codes.md", "code")]
    assert documented == [(code.value, code.name.lower().replace("_", " ")) for code in ExitCode]


def test_every_kind_of_error_is_documented_with_its_exit_code() -> None:
    documented = {line[0].strip("`"): int(line[1]) for line in rows(MANUAL / "exit-codes.md", "kind")}
    assert documented == {kind.kind: int(kind.exit_code) for kind in _kinds(AmanatError)}
    assert documented[ArchiveError.kind] == ArchiveError.exit_code


def _kinds(root: type[AmanatError]) -> Iterator[type[AmanatError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _kinds(kind)


def test_every_event_is_documented_with_its_level() -> None:
    documented = {line[0].strip("`"): line[1] for line in rows(MANUAL / "logs.md", "event")}
    levels = {event.value: logs._LEVELS.get(event, "info") for event in Event}
    finished = {outcome: level for outcome, level in logs._OUTCOME_LEVELS.items() if outcome is not Outcome.FAILED}
    assert set(finished.values()) == {"warning"}
    others = " or ".join(sorted(finished))
    levels[Event.RUN_FINISHED] = f"info; {logs._OUTCOME_LEVELS[Outcome.FAILED]} if failed; warning if {others}"
    assert documented == levels


def test_every_event_is_told_of_somewhere() -> None:
    places = [path for path in (ROOT / "daemon/amanat").rglob("*.py") if path.name not in {"events.py", "logs.py"}]
    code = "\n".join(path.read_text() for path in places)
    assert [event.name for event in Event if f"Event.{event.name}" not in code] == []


def test_the_example_of_retention_is_what_retention_decides() -> None:
    zone = ZoneInfo("Asia/Baku")
    first = datetime(2026, 9, 28, 2, 15, tzinfo=zone)
    nights = [first + timedelta(days=number) for number in range(57)]
    rules = KeepRules(last=3, daily=7, weekly=4, monthly=3)
    store: list[Snapshot] = []
    for night in nights:
        if (night.month, night.day) == (11, 20):
            continue
        now = night + timedelta(minutes=5)
        store.append(snapshot(night))
        plan = decide(store, rules, now, zone=zone, floors=floors_of(store, now))
        store = list(plan.keep)
    shown = [
        (f"{item.snapshot.taken_at:%a %d %b}", "; ".join(item.reasons)) for item in plan.verdicts if item.keep
    ]
    assert [tuple(line) for line in rows(MANUAL / "retention.md", "snapshot of")] == shown


def test_no_file_names_this_machine_or_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path, text in files()
        for word in (*MACHINE_PATHS, *REGISTRY_HOSTS)
        if word in text
    ]
    assert not found
    for lock in ROOT.glob("requirements*.lock"):
        assert "://" not in lock.read_text(), lock.name


def test_a_server_gets_the_versions_that_are_tested() -> None:
    tested, runtime = (_locked(name) for name in ("requirements.lock", "requirements.runtime.lock"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {re.split(r"[\[<>=]", line)[0] for line in project["dependencies"]} <= runtime.keys()
    assert runtime.items() < tested.items()


def _locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def test_the_service_is_installed_with_the_first_policy_of_the_readme() -> None:
    assert marked(ROOT / "README.md", "policy") in (ROOT / "deploy/systemd/README.md").read_text()
