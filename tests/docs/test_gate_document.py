"""The page on the gate: every reason is explained, and the CI steps are what their tools understand."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import typer
import yaml

from amanat.domain.gate import Reason
from amanat.faces.cli.main import cli
from tests.support.documents import ROOT, marked, rows

DOCUMENT = ROOT / "documentation" / "gate.md"


def test_every_reason_is_explained_and_no_other() -> None:
    lines = rows(DOCUMENT, "reason")
    assert [line[0].strip("`") for line in lines] == list(Reason)
    assert all(line[1] and line[2] for line in lines)


def commands(folder: Path) -> Iterator[list[str]]:
    """What each CI runs for a release, in its order."""
    (github,) = yaml.safe_load(marked(DOCUMENT, "ci: github"))["jobs"].values()
    yield [step["run"] for step in github["steps"] if "run" in step]
    (gitlab,) = yaml.safe_load(marked(DOCUMENT, "ci: gitlab")).values()
    yield gitlab["script"]
    (folder / "Makefile").write_text(marked(DOCUMENT, "ci: make"))
    dry = ["make", "--dry-run", "--no-print-directory", "-C", folder, "migrate", "VERSION=2.1.0"]
    yield subprocess.run(dry, capture_output=True, text=True, check=True).stdout.splitlines()


def test_each_ci_asks_the_gate_and_then_migrates(tmp_path: Path) -> None:
    gate = typer.main.get_command(cli).commands["gate"]  # type: ignore[attr-defined]
    for asked, migrated in commands(tmp_path):
        name, command, *arguments = shlex.split(asked)
        assert (name, command) == ("amanat", "gate")
        parsed = gate.make_context("gate", arguments).params
        assert (parsed["database"], parsed["take"], parsed["level"]) == ("atis", True, "restored")
        assert parsed["purpose"].startswith("release ")
        assert "artisan migrate" in migrated
