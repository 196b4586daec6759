"""The page on guarded migrations: what each CI types is what the command understands, and does what it says."""

import shlex
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import typer
import yaml

from amanat.domain.migrating import session_options
from amanat.domain.units import parse_duration
from amanat.faces.cli.main import cli
from tests.support.documents import ROOT, blocks, marked

DOCUMENT = ROOT / "documentation" / "migrations.md"


def of_github(_folder: Path) -> str:
    (job,) = yaml.safe_load(marked(DOCUMENT, "ci: github"))["jobs"].values()
    (step,) = (step for step in job["steps"] if "run" in step)
    return str(step["run"])


def of_gitlab(_folder: Path) -> str:
    (job,) = yaml.safe_load(marked(DOCUMENT, "ci: gitlab")).values()
    return " && ".join(job["script"])


def of_make(folder: Path) -> str:
    (folder / "Makefile").write_text(marked(DOCUMENT, "ci: make"))
    dry = ["make", "--dry-run", "--no-print-directory", "-C", folder, "migrate", "VERSION=2.1.0"]
    return subprocess.run(dry, capture_output=True, text=True, check=True).stdout.replace("\\\n", " ")


def parsed(line: str) -> dict[str, object]:
    _, _, typed = line.partition("amanat migrate ")
    command = typer.main.get_command(cli).commands["migrate"]  # type: ignore[attr-defined]
    return dict(command.make_context("migrate", shlex.split(typed)).params)


@pytest.mark.parametrize("of_ci", [of_github, of_gitlab, of_make])
def test_each_ci_migrates_behind_the_gate(tmp_path: Path, of_ci) -> None:
    said = parsed(of_ci(tmp_path))
    assert said["command"] == ["php", "artisan", "migrate", "--force"]
    assert (said["database"], said["level"], said["wait"]) == ("atis", "restored", "10m")
    assert str(said["purpose"]).startswith("release ")


def lines() -> Iterator[str]:
    yield from (line for block in blocks(DOCUMENT, "sh") for line in block.splitlines() if line)


def test_the_options_it_says_are_those_of_its_example() -> None:
    (said,) = (parsed(line) for line in lines() if "--lock-timeout" in line)
    limits = {name: parse_duration(str(said[name])) for name in ("lock_timeout", "statement_timeout")}
    assert limits["lock_timeout"] == timedelta(seconds=5)
    assert f"`{session_options('', **limits)}`" in DOCUMENT.read_text()
