"""The shipped unit, unchanged, under a real systemd: start, scrape, reload, watchdog, stop."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.systemd_host import SystemdHost
from tests.support.systemd_install import ADDRESS, UNIT, Service, binds, install

pytest_plugins = ("tests.support.root_only",)
pytestmark = [pytest.mark.slow, pytest.mark.fault]

DEMO = """\
version: 1
databases:
  demo: {engine: sqlite, environment: local, path: /srv/demo/demo.sqlite}
policies:
  nightly:
    databases: [demo]
    schedule: {cron: "15 2 * * *", timezone: Asia/Baku}
    proof: readable
    keep: {last: 3}
"""

WEEKLY = """\
  weekly:
    databases: [demo]
    schedule: {cron: "0 4 * * 0", timezone: Asia/Baku}
    proof: readable
    keep: {last: 3}
"""


@pytest.fixture(scope="module")
def installed(root: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with SystemdHost(binds=binds()) as host:
        make_demo(host, tmp_path_factory.mktemp("demo"))
        yield install(host)


@pytest.fixture
def service(installed: Service) -> Iterator[Service]:
    """Not yet started, as on the first day."""
    installed.policies(DEMO)
    yield installed
    installed.reset()


def make_demo(host: SystemdHost, work: Path) -> None:
    """A database in WAL mode that belongs to somebody else and is readable for all."""
    made = work / "demo.sqlite"
    with contextlib.closing(sqlite3.connect(made)) as database, database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE institutions (id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO institutions (name) VALUES (?)", [(f"school {n}",) for n in range(359)])
    host.run("install", "-d", "-m", "0755", "-o", "nobody", "/srv/demo")
    (host.root / "srv/demo/demo.sqlite").write_bytes(made.read_bytes())
    host.run("chown", "nobody", "/srv/demo/demo.sqlite")


def test_the_unit_reaches_active_serves_metrics_and_takes_its_first_snapshot(service: Service) -> None:
    service.start()

    installed = (service.host.root / "etc/systemd/system/amanat.service").read_bytes()
    assert installed == UNIT.read_bytes()
    assert service.show("DropInPaths") == ""
    assert service.show("ActiveState") == "active"
    assert service.show("StatusText")
    assert service.sample("amanat_config_last_reload_successful") == 1
    assert service.host.get(f"{ADDRESS}/healthz")[0] == 200

    # a policy that never ran is due at once
    service.host.wait_for("a proven snapshot", lambda: service.proven("demo"))
    stored = service.stored()
    assert [(owner, mode) for owner, mode, _ in stored] == [("amanat", "600")] * 2, stored
    assert stored[1][2] == f"{stored[0][2]}.manifest.json"
    # reading left nothing beside a database whose owner is somebody else
    assert sorted(path.name for path in (service.host.root / "srv/demo").iterdir()) == ["demo.sqlite"]


def test_a_database_in_use_by_another_user_is_read_with_read_permission_alone(service: Service) -> None:
    host = service.host
    write = """
        import sqlite3, time
        database = sqlite3.connect("/srv/demo/demo.sqlite", isolation_level=None)
        database.execute("CREATE TABLE IF NOT EXISTS latest (id INTEGER PRIMARY KEY)")
        while True:
            database.execute("INSERT INTO latest DEFAULT VALUES")
            time.sleep(0.1)
    """
    host.write("/srv/write.py", write)
    unit = ("systemd-run", "--unit=writer", "--property=User=nobody", "--property=UMask=0022")
    host.run(*unit, "/opt/amanat/bin/python", "/srv/write.py")
    host.wait_for("the write-ahead log", (host.root / "srv/demo/demo.sqlite-wal").exists)

    service.start()

    host.wait_for("a proven snapshot", lambda: service.proven("demo"))
    host.run("systemctl", "stop", "writer")


def test_reload_applies_a_changed_policy_and_keeps_the_process(service: Service) -> None:
    pid = service.start()
    assert service.sample("amanat_policy_interval_seconds", policy="nightly") == 86400
    assert service.sample("amanat_policy_interval_seconds", policy="weekly") is None

    service.policies(DEMO + WEEKLY)
    service.reload()

    service.host.wait_for(
        "the new policy",
        lambda: service.sample("amanat_policy_interval_seconds", policy="weekly") == 7 * 86400,
    )
    assert service.sample("amanat_config_last_reload_successful") == 1
    assert service.main_pid() == pid
    # the file's change alone would have done it too: the signal arrived as well
    service.host.wait_for("the signal", lambda: '"cause": "reload"' in service.host.journal("amanat"))
    service.host.wait_for("READY=1 after it", lambda: service.show("ActiveState") == "active")


def test_a_bad_policy_on_reload_leaves_the_last_good_one_in_force(service: Service) -> None:
    pid = service.start()
    service.policies(DEMO.replace("keep:", "kepe:"))
    service.reload()

    service.host.wait_for("the refusal", lambda: service.sample("amanat_config_last_reload_successful") == 0)
    assert service.sample("amanat_policy_interval_seconds", policy="nightly") == 86400
    assert service.main_pid() == pid
    assert "kepe" in service.host.journal("amanat")

    service.policies(DEMO)
    service.reload()
    service.host.wait_for("recovery", lambda: service.sample("amanat_config_last_reload_successful") == 1)


def test_a_bad_policy_at_start_fails_the_start_and_a_corrected_one_heals_it(service: Service) -> None:
    service.policies(DEMO.replace("keep:", "keeep:"))
    service.drop_in("RestartSec=1\n")

    failed = service.host.run("systemctl", "start", "amanat", check=False, timeout=100)
    assert failed.returncode != 0
    assert "keeep" in service.host.journal("amanat")

    service.policies(DEMO)
    service.host.wait_for("the next attempt", lambda: service.show("ActiveState") == "active")


def test_a_hanging_daemon_is_killed_by_the_watchdog_and_comes_back(service: Service) -> None:
    service.drop_in("WatchdogSec=3\nRestartSec=1\n")
    pid = service.start()
    service.host.wait_for("a proven snapshot", lambda: service.proven("demo"))

    service.host.run("kill", "-STOP", str(pid))

    service.host.wait_for(
        "another process that serves",
        lambda: service.main_pid() not in (0, pid) and service.proven("demo"),
    )
    assert int(service.show("NRestarts")) == 1
    told = service.host.journal("amanat")
    assert "Watchdog timeout (limit 3s)!" in told
    assert "Fatal Python error: Aborted" in told  # and, after it, where each thread stood


def test_the_watchdog_is_content_with_a_daemon_that_works(service: Service) -> None:
    service.drop_in("WatchdogSec=3\n")
    pid = service.start()
    before = service.show("WatchdogTimestampMonotonic")
    service.host.wait_for(
        "six seconds of signs of life",
        lambda: int(service.show("WatchdogTimestampMonotonic")) - int(before) > 6_000_000,
    )
    assert service.main_pid() == pid
    assert service.show("NRestarts") == "0"


def test_stop_is_a_clean_exit(service: Service) -> None:
    service.start()
    service.stop()
    assert service.show("ActiveState") == "inactive"
    told = service.host.journal("amanat").rpartition("Starting amanat.service")[2]
    # systemd says so only after exit 0 within the time, with nothing left to kill
    assert "amanat.service: Deactivated successfully." in told


def test_the_sandbox_holds_in_the_running_service(service: Service) -> None:
    pid = service.start()
    inside = ("nsenter", "--target", str(pid), "--mount", "--")
    status = dict(
        line.split(":\t", 1)
        for line in service.host.run("cat", f"/proc/{pid}/status").stdout.splitlines()
        if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert int(status["CapBnd"], 16) == 0
    refused = service.host.run(*inside, "touch", "/etc/amanat/policies.yaml", check=False)
    assert "Read-only file system" in refused.stderr
    assert service.host.run(*inside, "ls", "-A", "/root", check=False).stdout == ""
