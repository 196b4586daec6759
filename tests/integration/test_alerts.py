"""The alerts: valid for Prometheus, each tested for firing and for silence, each documented, on our metrics only."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from amanat.observability.metrics import NAMES

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "deploy/prometheus"
RULES_FILE = FOLDER / "amanat.rules.yaml"
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
DOCUMENT = (PROJECT / "documentation/alerts.md").read_text(encoding="utf-8")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


RULES = [rule for group in load(RULES_FILE)["groups"] for rule in group["rules"]]
CASES = [case for path in TESTS for test in load(path)["tests"] for case in test["alert_rule_test"]]
by_alert = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])


def promtool(*arguments: str | Path) -> None:
    if not shutil.which("promtool"):
        pytest.fail("promtool is missing; remedy: apt-get install prometheus (make bootstrap does it)")
    done = subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", RULES_FILE)


def test_prometheus_accepts_the_example_configuration() -> None:
    promtool("check", "config", FOLDER / "scrape.example.yaml")


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    promtool("test", "rules", path)


@by_alert
def test_every_alert_has_a_case_for_firing_and_one_for_silence(rule: dict[str, Any]) -> None:
    outcomes = {bool(case["exp_alerts"]) for case in CASES if case["alertname"] == rule["alert"]}
    assert outcomes == {True, False}


def test_no_case_tests_an_alert_that_is_not_there() -> None:
    # promtool takes an unknown name for an alert that does not fire
    assert {case["alertname"] for case in CASES} <= {rule["alert"] for rule in RULES}


@by_alert
def test_alerts_use_only_metrics_that_the_daemon_exports(rule: dict[str, Any]) -> None:
    used = set(re.findall(r"\bamanat_\w+", rule["expr"]))
    assert used <= set(NAMES)
    assert used or re.search(r"\bup\b", rule["expr"])


@by_alert
def test_every_alert_says_how_bad_what_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"documentation/alerts.md#{rule['alert'].lower()}"


@by_alert
def test_every_alert_has_a_section_with_commands(rule: dict[str, Any]) -> None:
    section = re.search(rf"^## {rule['alert']}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert section, f"documentation/alerts.md has no section {rule['alert']}"
    assert "```sh" in section[1]
    row = f"[{rule['alert']}](#{rule['alert'].lower()}) | {rule['labels']['severity']} |"
    assert row in DOCUMENT, "its row in the table is missing or names another severity"


def test_no_section_is_left_over() -> None:
    sections = re.findall(r"^## (Amanat\w+)$", DOCUMENT, re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]
