"""This very tree installed on a SystemdHost as deploy/systemd/README.md says: the shipped unit, unchanged.

The user ``amanat`` may not look into homes, where a developer's Python and tree often are; so what
/opt/amanat is made of is bound below /opt first.
"""

import re
import sys
import sysconfig
import tomllib
from pathlib import Path

from tests.support.systemd_host import SystemdHost

PROJECT = Path(__file__).parents[2]
UNIT = PROJECT / "deploy/systemd/amanat.service"
ADDRESS = "http://127.0.0.1:9847"
STORE = "/var/backups/amanat"
POLICIES = "/etc/amanat/policies.yaml"
_DROP_IN = "/etc/systemd/system/amanat.service.d/test.conf"
_BELOW = Path("/opt/amanat-test")
_SITE = Path(sysconfig.get_path("purelib"))
_SYSTEM_PYTHON = sys.base_prefix == "/usr"


class Service:
    """The installed service: what an operator does to it, and what Prometheus sees of it."""

    def __init__(self, host: SystemdHost) -> None:
        self.host = host

    def policies(self, text: str) -> None:
        self.host.write(POLICIES, text)

    def drop_in(self, text: str) -> None:
        self.host.write(_DROP_IN, f"[Service]\n{text}")
        self.host.run("systemctl", "daemon-reload")

    def start(self) -> int:
        """Returns the main PID, as seen inside."""
        self.host.run("systemctl", "start", "amanat", timeout=100)
        return self.main_pid()

    def stop(self) -> None:
        self.host.run("systemctl", "stop", "amanat", timeout=100)

    def reload(self) -> None:
        self.host.run("systemctl", "reload", "amanat")

    def reset(self) -> None:
        """Stopped, and as new."""
        self.stop()
        self.host.run("rm", "-rf", _DROP_IN, "/var/lib/amanat")
        self.host.run("find", STORE, "-mindepth", "1", "-delete")
        self.host.run("systemctl", "daemon-reload")
        self.host.run("systemctl", "reset-failed")

    def show(self, key: str) -> str:
        return self.host.run("systemctl", "show", "amanat", f"--property={key}", "--value").stdout.strip()

    def main_pid(self) -> int:
        return int(self.show("MainPID"))

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of the first sample with that name and (at least) those labels."""
        status, body = self.host.get(f"{ADDRESS}/metrics")
        for line in body.splitlines() if status == 200 else ():
            found = re.fullmatch(rf"{name}(?:{{(.*)}})? (\S+)", line)
            if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
                return float(found[2])
        return None

    def proven(self, database: str) -> bool:
        return bool(self.sample("amanat_last_proven_snapshot_timestamp_seconds", database=database))

    def stored(self) -> list[tuple[str, str, str]]:
        """(owner, mode, name) of each file in the store."""
        lines = self.host.run("find", STORE, "-type", "f", "-printf", "%u %m %f\\n").stdout.splitlines()
        return sorted((owner, mode, name) for owner, mode, name in (line.split(" ", 2) for line in lines))


def binds() -> dict[Path, Path]:
    """For ``SystemdHost(binds=…)``."""
    found = {_SITE: _BELOW / "site-packages", PROJECT / "daemon": _BELOW / "daemon"}
    return found if _SYSTEM_PYTHON else {**found, Path(sys.base_prefix): _BELOW / "python"}


def install(host: SystemdHost) -> Service:
    """Everything of the README's installation but the policy file."""
    _make_environment(host)
    host.run("useradd", "--system", "--user-group", "--home-dir", "/nonexistent", "--no-create-home", "amanat")
    host.run("install", "-d", "-m", "0755", "/etc/amanat")
    host.run("install", "-d", "-m", "0700", "-o", "amanat", "-g", "amanat", STORE)
    host.write("/etc/systemd/system/amanat.service", UNIT.read_text(encoding="utf-8"))
    host.run("systemctl", "daemon-reload")
    return Service(host)


def _make_environment(host: SystemdHost) -> None:
    host.run(_python(host), "-m", "venv", "--without-pip", "/opt/amanat")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    paths = f"{_BELOW / 'daemon'}\n{_BELOW / 'site-packages'}\n"
    host.write(f"/opt/amanat/lib/{version}/site-packages/amanat.pth", paths)
    host.write("/opt/amanat/bin/amanat", _console_script(), mode=0o755)


def _console_script() -> str:
    """What pip would write for the project's entry point."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, function = project["scripts"]["amanat"].split(":")
    return f"#!/opt/amanat/bin/python\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"


def _python(host: SystemdHost) -> str:
    name = Path(sys.executable).resolve().name
    if _SYSTEM_PYTHON:
        return f"/usr/bin/{name}"
    host.write("/etc/ld.so.conf.d/amanat-test.conf", f"{_BELOW / 'python/lib'}\n")
    host.run("ldconfig")
    return str(_BELOW / "python/bin" / name)
