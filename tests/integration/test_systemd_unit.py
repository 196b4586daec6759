"""The shipped unit as systemd's own tools and a reader see it; test_systemd_service.py runs it."""

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from amanat.settings.service import ServiceSettings

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
UNIT = FOLDER / "amanat.service"
TEXT = UNIT.read_text(encoding="utf-8")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("systemd-analyze"):
        pytest.fail("systemd-analyze is missing; remedy: apt-get install systemd (make bootstrap does it)")
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


def directives() -> list[tuple[str, str, str]]:
    """(comment line above, key, value) of each directive that is in force."""
    pairs = itertools.pairwise(TEXT.splitlines())
    return [(above, key, value) for above, line in pairs for key, value in re.findall(r"^([A-Z]\w+)=(.*)", line)]


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    program = tmp_path / "amanat"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    rendered = tmp_path / "amanat.service"
    rendered.write_text(TEXT.replace("/opt/amanat/bin/amanat", str(program)))

    found = analyze("verify", rendered)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_misspelt_directive_would_be_found(tmp_path: Path) -> None:
    rendered = tmp_path / "amanat.service"
    rendered.write_text(TEXT.replace("ProtectSystem=", "ProtectSytem="))
    assert "'ProtectSytem'" in analyze("verify", rendered).stderr


def test_exposure_is_low() -> None:
    report = analyze("security", "--offline=true", "--threshold=12", UNIT)
    assert report.returncode == 0, report.stdout[-500:] + report.stderr


def test_every_hardening_directive_has_its_reason_above_it() -> None:
    _, hardening = TEXT.split("# --- Hardening", 1)
    hardening = hardening.split("[Install]")[0]
    found = [(above, key) for above, key, value in directives() if f"\n{key}={value}\n" in hardening]
    assert len(found) >= 30
    assert [key for above, key in found if not re.match(r"# \S.{20,}", above)] == []


def test_the_drop_in_for_newer_systemd_sends_the_signal_once() -> None:
    text = (FOLDER / "notify-reload.conf").read_text(encoding="utf-8")
    in_force = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert in_force == ["[Service]", "Type=notify-reload", "ExecReload="]


def test_the_example_settings_are_those_of_the_service_with_their_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = (FOLDER / "amanat.env.example").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^#(AMANAT_\w+)=(.*)$", text, re.MULTILINE))
    unit = dict(re.findall(r"^Environment=(AMANAT_\w+)=(.*)$", TEXT, re.MULTILINE))
    assert unit == {key: value.replace("/var/lib", "%S") for key, value in shown.items() if key in unit}

    for name in ("AMANAT_POLICIES", "AMANAT_STORE", "AMANAT_STATE"):
        monkeypatch.setenv(name, shown[name])
    defaults = ServiceSettings()
    for name, value in shown.items():
        monkeypatch.setenv(name, value)
    assert ServiceSettings() == defaults
    assert set(shown) <= {f"AMANAT_{field.upper()}" for field in ServiceSettings.model_fields}


def test_systemd_waits_longer_than_the_daemon_waits_for_its_runs() -> None:
    (seconds,) = [int(value) for _, key, value in directives() if key == "TimeoutStopSec"]
    assert seconds > ServiceSettings.model_fields["shutdown_grace"].default.total_seconds() + 10
