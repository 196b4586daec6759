"""What a command costs before it does anything: it imports what it needs, and the daemon sleeps while idle."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.cli import Amanat
from tests.support.many_snapshots import Growth, fill
from tests.support.scene import staged

HEAVY = {
    "apscheduler",
    "asyncio",
    "cronsim",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "pydantic_settings",
    "rich",
    "sqlite3",
    "starlette",
    "structlog",
    "uvicorn",
    "watchfiles",
    "yaml",
    "zstandard",
}
SELDOM = {
    "amanat.domain.description",
    "amanat.domain.doctor",
    "amanat.domain.gate",
    "amanat.domain.manifest",
    "amanat.domain.policy",
    "amanat.domain.schedule",
    "amanat.engines",
    "amanat.host.examining",
    "amanat.host.process",
    "amanat.observability.logs",
    "amanat.ports.engine",
    "amanat.services.snapshot",
    "amanat.settings.dotenv",
    "amanat.settings.models",
    "amanat.wiring",
}  # what a command loads only if it takes, proves, reads a manifest, examines, or asks the policies
NEEDED_FOR_POLICIES = {"amanat.domain.policy", "amanat.domain.schedule", "amanat.settings.models"}
NEEDED_BY_LIST = {"asyncio", "pydantic", "pydantic_settings", "sqlite3"}  # settings, and what they bring along
WAKE_UPS_A_SECOND = 15
SECONDS = 4


def imported(amanat: Amanat, *args: str) -> set[str]:
    """Names of modules, as Python itself lists them (-X importtime)."""
    command = [sys.executable, "-X", "importtime", "-m", "amanat", *args]
    done = subprocess.run(
        command, cwd=amanat.folder, env=amanat.environment(), capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^import time:.*\| +([\w.]+)$", done.stderr, re.MULTILINE))


@pytest.fixture(scope="module")
def amanat(tmp_path_factory):
    scene = staged(tmp_path_factory.mktemp("start-up"))
    fill(Growth(count=5000), state=scene.state)
    return scene


def packages(modules):
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(
    ("args", "needed"),
    [
        (("--help",), set()),
        (("--version",), set()),
        (("snapshot", "--help"), {"pydantic"}),
    ],  # typer's, for options
    ids=str,
)
def test_help_imports_nothing_that_only_work_needs(amanat, args, needed):
    modules = imported(amanat, *args)
    assert packages(modules) & HEAVY == needed
    assert not any(name.startswith(("amanat.engines", "amanat.services", "amanat.app")) for name in modules)
    assert not modules & SELDOM


def test_a_list_imports_no_policies_no_engine_and_no_daemon(amanat):
    modules = imported(amanat, "list")
    assert packages(modules) & HEAVY == NEEDED_BY_LIST
    assert not modules & SELDOM


@pytest.mark.parametrize("args", [("status",), ("next",)], ids=str)
def test_who_asks_for_the_state_loads_no_engine_no_manifest_and_no_doctor(amanat, args):
    assert not imported(amanat, *args) & (SELDOM - NEEDED_FOR_POLICIES)


@pytest.mark.parametrize("args", [["list"], ["list", "--json"], ["register"]])
def test_who_reads_only_the_first_line_has_what_he_wanted(amanat, args):
    command = [sys.executable, "-m", "amanat", *args]
    with subprocess.Popen(
        command, cwd=amanat.folder, env=amanat.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listing:
        assert listing.stdout
        assert listing.stdout.readline()
        listing.stdout.close()
        assert listing.stderr
        assert listing.stderr.read() == b""
        assert listing.wait(20) == 0


def test_the_log_does_without_rich_and_leaves_it_to_others():
    shown = (
        "import amanat.observability.logs, sys; print('rich' in sys.modules); import rich.console; print('there')"
    )
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "there"]


@pytest.mark.slow
def test_an_idle_daemon_sleeps_and_is_small(tmp_path):
    """Budgets: 0.2 % of a processor, counted as wake-ups, which do not depend on how fast it is; and 70 MB."""
    amanat = staged(tmp_path)
    with amanat.daemon() as daemon:
        daemon.wait_for("its first run", lambda: amanat.query("SELECT 1 FROM runs WHERE stage = 'prune'"))
        time.sleep(1)
        before = wake_ups(daemon.pid)
        time.sleep(SECONDS)
        assert (wake_ups(daemon.pid) - before) / SECONDS < WAKE_UPS_A_SECOND
        assert daemon.get("/metrics")[0] == 200
        assert resident_bytes(daemon.pid) < 70_000_000


def resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[0])


def wake_ups(pid: int) -> int:
    """Of all threads (proc(5), voluntary_ctxt_switches: each time one went to sleep)."""
    texts = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[0]) for text in texts)
