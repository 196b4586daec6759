"""The doctor on a real host, store, register and source: each planted defect is told by name, and by no other check."""

import contextlib
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from amanat.domain.doctor import Check, Level, Name
from amanat.domain.errors import ConfigurationError, InterruptedRunError, RegisterError
from amanat.domain.model import ProofLevel
from amanat.domain.policy import (
    Configuration,
    Database,
    Drills,
    KeepRules,
    PostgresqlSource,
    Rereading,
    Schedule,
    Secret,
)
from amanat.host.control import RunControl
from amanat.host.examining import ThisHost
from amanat.services import checks, doctor
from amanat.services.doctor import Patient, Places
from tests.support.cli import free_port
from tests.support.workshop import T0, Workshop, workshop

__all__ = ["workshop"]

OF_ROUNDS = {Name.LAST_DRILL, Name.DRILL_LIMITS, Name.LAST_REREADING}


@pytest.fixture
def taken(workshop: Workshop, tmp_path: Path) -> Workshop:
    """A snapshot was taken, and nothing is wrong. The clock of runs is the test's; locks and folders are real."""
    workshop.taken = workshop.take(scheduled_at=T0)
    return workshop


def places(workshop: Workshop, **said) -> Places:
    values = {
        "state": workshop.app.settings.state,
        "env_file": workshop.source.with_name("amanat.env"),
        "http": None,
    }
    return Places(**{**values, **said})


def examined(workshop: Workshop, **said) -> list[Check]:
    configuration = said.pop("configuration", workshop.app.configuration)
    values = {
        "configuration": configuration,
        "databases": tuple(configuration.databases.values()),
        "places": places(workshop),
    }
    return doctor.examine(workshop.app.ports, Patient(**{**values, **said}))


def unwell(found: list[Check]) -> dict[Name, Check]:
    assert all(check.remedy and check.subject for check in found if check.level is not Level.OK), found
    return {check.name: check for check in found if check.level is not Level.OK}


def only(workshop: Workshop, name: Name, level: Level, **said) -> Check:
    found = unwell(examined(workshop, **said))
    assert found.keys() == {name}, found
    assert found[name].level is level
    return found[name]


def test_nothing_is_wrong_and_every_check_is_told(taken):
    found = examined(taken)
    assert unwell(found) == {}
    assert doctor.worst(found) is Level.OK
    assert {check.name for check in found} == set(Name) - {
        Name.SCHEDULER
    } - OF_ROUNDS  # the daemon knows the first
    assert {check.subject for check in found} == {"host", "app", "app/nightly", "policy nightly"}


def test_drills_and_re_reading_are_looked_at_where_there_are_any(taken):
    nightly = replace(taken.policy.schedule, cron="15 4 * * *")
    rounds = {
        "drills": Drills(schedule=nightly),
        "rereading": Rereading(schedule=replace(nightly, cron="15 5 * * *")),
    }
    taken.configure(replace(taken.policy, **rounds))
    found = [check for check in examined(taken) if check.name in OF_ROUNDS]
    assert {check.subject for check in found} == {"app/nightly"}
    assert {check.name for check in found} == OF_ROUNDS
    assert unwell(found).keys() == {Name.LAST_DRILL, Name.LAST_REREADING}
    taken.app.drill(taken.taken, by="x", wait=0)
    taken.app.verify(taken.taken, level=ProofLevel.STORED, by="x", wait=0)
    assert unwell(examined(taken)) == {}
    taken.now = T0 + timedelta(days=3)
    assert {Name.LAST_DRILL, Name.LAST_REREADING} <= unwell(examined(taken)).keys()


def test_drills_that_can_never_begin(taken):
    limited = Drills(schedule=replace(taken.policy.schedule, cron="15 4 * * *"), max_bytes=1)
    taken.configure(replace(taken.policy, drills=limited))
    assert "max_size" in unwell(examined(taken))[Name.DRILL_LIMITS].found


def test_it_leaves_nothing_behind(taken):
    state = taken.app.settings.state
    before = (taken.files(), taken.app.ports.register.head(), sorted(state.rglob("run-*")))
    examined(taken)
    assert (taken.files(), taken.app.ports.register.head(), sorted(state.rglob("run-*"))) == before
    assert list((state / "scratch").iterdir()) == []


def test_before_the_first_run_nothing_fails(workshop):
    found = unwell(examined(workshop))
    assert {name: check.level for name, check in found.items()} == {
        Name.LAST_SUCCESS: Level.WARN,
        Name.LAST_PROOF: Level.WARN,
    }


# register and store


def test_a_register_that_cannot_be_opened(workshop):
    found = unwell(examined(workshop, register_error=RegisterError("is damaged", hint="move it away")))
    assert found.keys() == {Name.REGISTER, Name.CHAIN}
    assert (found[Name.REGISTER].found, found[Name.REGISTER].remedy) == ("is damaged", "move it away")


@pytest.mark.slow
def test_a_register_that_somebody_holds(taken):
    with contextlib.closing(sqlite3.connect(taken.app.settings.state / "register.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        assert "locked" in only(taken, Name.REGISTER, Level.FAIL).found


def test_an_entry_that_was_edited(taken):
    with contextlib.closing(sqlite3.connect(taken.app.settings.state / "register.sqlite")) as other, other:
        other.execute("UPDATE entries SET by = 'mallory' WHERE sequence = 1")
    found = only(taken, Name.CHAIN, Level.FAIL)
    assert "entry 1" in found.found
    assert "amanat register verify" in found.remedy


def test_a_store_that_is_missing(taken):
    taken.store.rename(taken.store.with_name("away"))
    found = unwell(examined(taken))
    assert "is missing" in found[Name.STORE].found
    assert "mount it" in found[Name.STORE].remedy


def test_a_store_that_is_empty(taken):
    shutil.rmtree(taken.store / "app")
    assert "is empty" in unwell(examined(taken))[Name.STORE].found


def test_files_that_others_may_read(taken):
    path = taken.app.ports.store.path(taken.taken.path)
    path.chmod(0o644)
    assert str(path) in only(taken, Name.PERMISSIONS, Level.WARN).found
    path.chmod(0o666)
    only(taken, Name.PERMISSIONS, Level.FAIL)


@pytest.mark.parametrize("folder", ["store", "state"])
def test_folders_that_others_may_write_to(taken, folder):
    path = {"store": taken.store, "state": taken.app.settings.state}[folder]
    path.chmod(0o777)
    assert str(path) in only(taken, Name.PERMISSIONS, Level.FAIL).found


def test_staging_on_another_file_system(taken):
    elsewhere = Path("/dev/shm/amanat-test-doctor")
    elsewhere.mkdir(mode=0o700)
    try:
        (taken.store / ".staging").rmdir()
        (taken.store / ".staging").symlink_to(elsewhere)
        assert ".staging" in only(taken, Name.STAGING, Level.FAIL).found
    finally:
        elsewhere.rmdir()


# configuration, clock, schedules


def test_a_policy_file_that_is_refused(taken):
    error = ConfigurationError("policies.yaml:7: keep: missing\npolicies.yaml:9: cron: wrong", hint="correct it")
    found = only(taken, Name.CONFIGURATION, Level.FAIL, configuration=Configuration(), configuration_error=error)
    assert found.found == "policies.yaml:7: keep: missing policies.yaml:9: cron: wrong"


def test_a_database_that_no_policy_covers(taken):
    idle = replace(taken.database, name="idle")
    covered = taken.app.configuration
    configuration = replace(covered, databases={**covered.databases, "idle": idle})
    assert (
        "no policy covers idle" in only(taken, Name.CONFIGURATION, Level.WARN, configuration=configuration).found
    )


def test_a_clock_that_went_back(taken):
    taken.now = T0 - timedelta(days=1)
    assert "already knows" in unwell(examined(taken))[Name.CLOCK].found


def test_snapshots_that_stopped(taken):
    taken.now = T0 + timedelta(days=3)
    found = unwell(examined(taken))
    assert {name: check.level for name, check in found.items()} == {
        Name.LAST_SUCCESS: Level.FAIL,
        Name.LAST_PROOF: Level.FAIL,
        Name.LAST_PRUNE: Level.WARN,
    }
    assert {check.subject for check in found.values()} == {"app/nightly"}


def test_a_newest_snapshot_that_is_damaged_is_no_proof(taken):
    taken.app.ports.store.path(taken.taken.path).write_bytes(b"x")
    with contextlib.suppress(Exception):
        taken.app.verify(taken.taken, level=ProofLevel.READABLE, by="x", wait=0)
    assert unwell(examined(taken))[Name.LAST_PROOF].level is Level.WARN


def test_schedules_and_rules_that_were_meant_otherwise(taken):
    weekly = Schedule(cron="30 2 * * 0", timezone="Europe/Paris")
    policies = [
        replace(taken.policy, name="hourly", schedule=weekly, keep=KeepRules(hourly=4, weekly=8)),
        replace(taken.policy, name="also", schedule=replace(weekly, timezone="Europe/Berlin")),
    ]
    taken.configure(*policies)
    found = [
        check for check in examined(taken) if not check.name.startswith("last-") and check.level is Level.WARN
    ]
    assert [(check.subject, check.name) for check in found] == [
        ("app", Name.OVERLAP),
        ("policy hourly", Name.KEEP_RULES),
        *[(f"policy {name}", Name.SUMMER_TIME) for name in ("hourly", "hourly", "also", "also")],
    ]


# databases


def test_a_source_that_is_gone(taken):
    taken.source.unlink()
    found = only(taken, Name.SOURCE, Level.FAIL)
    assert ("does not exist" in found.found, found.subject) == (True, "app")


def test_too_little_space_is_told_as_a_run_would(taken, monkeypatch):
    monkeypatch.setattr(taken.app.ports.store, "free_bytes", lambda: 100)
    assert "needs about" in only(taken, Name.SPACE, Level.FAIL).found


def test_a_restore_needs_room_as_well(taken, monkeypatch):
    size = taken.source.stat().st_size
    monkeypatch.setattr(taken.app.ports.store, "free_bytes", lambda: 2 * size)
    assert unwell(examined(taken)) == {}
    taken.configure(replace(taken.policy, proof=ProofLevel.RESTORED))
    only(taken, Name.SPACE, Level.FAIL)


def test_a_newest_artefact_that_nothing_here_opens(taken):
    taken.app.ports.store.path(taken.taken.path).write_bytes(b"something else")
    assert "cannot be opened" in only(taken, Name.ARCHIVES, Level.FAIL).found


def test_a_file_that_no_rollback_could_exchange(taken):
    taken.source.with_name("linked.sqlite").hardlink_to(taken.source)
    found = only(taken, Name.ROLLBACK, Level.WARN)
    assert ("hard links" in found.found, found.subject) == (True, "app")


def test_a_role_that_may_read_and_not_roll_back(taken, postgres):
    role = postgres.role("IN ROLE pg_read_all_data")
    parameters = {**postgres.database(), "user": role}
    far = Database(name="far", environment="production", source=PostgresqlSource(parameters=parameters))
    policies = {name: replace(taken.policy, name=name, databases=("far",)) for name in ("nightly", "weekly")}
    found = examined(taken, configuration=Configuration(databases={"far": far}, policies=policies))
    (told,) = (check for check in found if check.name is Name.ROLLBACK)
    assert (told.level, told.subject) == (Level.WARN, "far")
    assert "CREATEDB" in told.remedy


def test_a_password_file_that_others_may_read(taken, tmp_path):
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o644)
    source = PostgresqlSource(parameters={"host": "/nowhere"}, password=Secret(kind="file", name=str(file)))
    far = Database(name="far", environment="production", source=source)
    configuration = Configuration(databases={"far": far})
    found = unwell(examined(taken, configuration=configuration))
    assert found[Name.SECRETS].level is Level.FAIL
    assert f"chmod 600 {file}" in found[Name.SOURCE].remedy
    file.chmod(0o600)
    found = unwell(examined(taken, configuration=configuration))
    assert Name.SECRETS not in found
    assert "/nowhere" in found[Name.SOURCE].found
    assert not any("secret" in check.found for check in found.values())


def test_a_password_file_of_a_drill_server_that_others_may_read(taken, tmp_path):
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o644)
    server = PostgresqlSource(parameters={"host": "/nowhere"}, password=Secret(kind="file", name=str(file)))
    taken.configure(replace(taken.policy, drill_server=server))
    assert str(file) in only(taken, Name.SECRETS, Level.FAIL).found
    file.chmod(0o600)
    assert unwell(examined(taken)) == {}


def test_settings_that_everybody_may_read(taken):
    file = places(taken).env_file
    file.write_text("PASSWORD=secret\n")
    file.chmod(0o644)
    assert str(file) in only(taken, Name.SECRETS, Level.WARN).found
    file.chmod(0o640)
    assert unwell(examined(taken)) == {}


def test_a_stop_is_heeded(taken):
    taken.app.stop.set()
    with pytest.raises(InterruptedRunError):
        examined(taken)


# the metrics port


def test_a_port_that_is_free(taken):
    address = ("127.0.0.1", free_port())
    assert unwell(examined(taken, places=places(taken, http=address))) == {}


def test_a_port_that_somebody_else_has(taken):
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.1)
        threading.Thread(target=_hang_up, args=(other,)).start()
        found = only(taken, Name.METRICS_PORT, Level.FAIL, places=places(taken, http=other.getsockname()))
    assert "already in use" in found.found


def _hang_up(listening: socket.socket) -> None:
    with contextlib.suppress(OSError):
        listening.settimeout(5)
        listening.accept()[0].close()


def test_an_address_of_another_host(taken):
    found = only(taken, Name.METRICS_PORT, Level.FAIL, places=places(taken, http=("192.0.2.1", free_port())))
    assert "192.0.2.1" in found.found


@contextlib.contextmanager
def answering(store: Path) -> Iterator[tuple[str, int]]:
    """A daemon as far as its ``/status`` goes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'{{"store": {{"path": "{store}"}}}}'.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server.server_address
        server.shutdown()


def test_a_port_that_the_daemon_has_or_that_of_another_store(taken):
    with answering(taken.store) as address:
        assert unwell(examined(taken, places=places(taken, http=address))) == {}
    with answering(Path("/other")) as address:
        found = only(taken, Name.METRICS_PORT, Level.FAIL, places=places(taken, http=address))
    assert "another store" in found.found


# systemd


def host_with(folder: Path, script: str) -> ThisHost:
    folder.mkdir()
    (folder / "systemctl").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "systemctl").chmod(0o755)
    return ThisHost({"PATH": f"{folder}:{os.environ['PATH']}"})


LOADED = 'echo LoadState=loaded; echo "EnvironmentFiles=/etc/amanat/a.env (ignore_errors=yes)"; echo WatchdogUSec='


def test_a_unit_as_systemd_has_it(tmp_path):
    unit = host_with(tmp_path / "bin", f"{LOADED}30s").unit(RunControl())
    assert unit
    assert (unit.watchdog, unit.environment_files) == ("30s", (Path("/etc/amanat/a.env"),))


@pytest.mark.parametrize(
    "script", ["echo LoadState=not-found; echo WatchdogUSec=0", "echo no systemd here >&2; exit 1"]
)
def test_no_unit(tmp_path, script):
    assert host_with(tmp_path / "bin", script).unit(RunControl()) is None


def test_no_systemctl(tmp_path):
    assert ThisHost({"PATH": str(tmp_path)}).unit(RunControl()) is None


@pytest.mark.parametrize(("usec", "watchdog"), [({"WATCHDOG_USEC": "30000000"}, "30s"), ({}, "0")])
def test_inside_the_unit(usec, watchdog):
    unit = ThisHost({"NOTIFY_SOCKET": "@x", **usec}).unit(RunControl())
    assert unit
    assert unit.watchdog == watchdog


def test_a_unit_without_watchdog_and_its_open_environment(taken, tmp_path):
    file = tmp_path / "a.env"
    file.write_text("PASSWORD=secret\n")
    file.chmod(0o644)
    told = LOADED.replace("/etc/amanat/a.env", str(file))
    host = host_with(tmp_path / "bin", f"{told}0")
    taken.app = replace(taken.app, ports=replace(taken.app.ports, host=lambda: host))
    found = unwell(examined(taken))
    assert found.keys() == {Name.WATCHDOG, Name.SECRETS}
    assert "WatchdogSec=30" in found[Name.WATCHDOG].remedy
    assert str(file) in found[Name.SECRETS].found


# one list


def test_readiness_and_a_run_ask_the_list_of_the_doctor(taken, monkeypatch):
    needs = checks.of_host(taken.app.ports)
    assert {need.name for need in needs if need.readiness} == {Name.REGISTER, Name.STORE}
    assert {need.name for need in needs if need.run} == {Name.STORE}
    asked: list[Name] = []
    usual = checks.Need.__init__

    def heard(self: checks.Need, **said) -> None:
        usual(self, **{**said, "ask": lambda: asked.append(said["name"]) or said["ask"]()})

    monkeypatch.setattr(checks.Need, "__init__", heard)
    taken.take()
    assert asked == [Name.STORE, Name.SOURCE, Name.SPACE]
    asked.clear()
    examined(taken)
    assert asked == [Name.REGISTER, Name.STORE, Name.SOURCE, Name.SPACE]
