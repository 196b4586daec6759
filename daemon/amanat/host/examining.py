"""What the doctor asks of this host: modes, who listens, and how systemd has the service."""

import contextlib
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

from amanat.domain.doctor.host import Listening, Standing, Unit
from amanat.host import process
from amanat.ports.run import Control

_ANSWER_SECONDS = 5.0
_UNIT = "amanat.service"
_ENVIRONMENT_FILE = re.compile(r"^EnvironmentFiles?=(.+?)(?: \(ignore_errors=\w+\))?$", re.MULTILINE)


class ThisHost:
    """Fulfils ``ports.Host``."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._environment = environment

    def standing(self, path: Path) -> Standing | None:
        try:
            about = path.stat()
        except OSError:
            return None
        return Standing(mode=stat.S_IMODE(about.st_mode), device=about.st_dev)

    def listening(self, address: tuple[str, int]) -> Listening:
        store = _store_of_daemon(address)
        return Listening(store=store) if store else Listening(refusal=_refusal(address))

    def unit(self, control: Control) -> Unit | None:
        if "NOTIFY_SOCKET" in self._environment:
            microseconds = self._environment.get("WATCHDOG_USEC", "0")
            return Unit(watchdog=f"{int(microseconds) // 1_000_000}s" if int(microseconds) else "0")
        systemctl = shutil.which("systemctl", path=self._environment.get("PATH"))
        return _loaded(systemctl, control) if systemctl else None


def _store_of_daemon(address: tuple[str, int]) -> Path | None:
    """What its ``/status`` says; None: no daemon of ours answers."""
    from http import client  # noqa: PLC0415 - most commands ask nobody

    connection = client.HTTPConnection(*address, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/status")
        return Path(json.loads(connection.getresponse().read())["store"]["path"])
    except (OSError, client.HTTPException, ValueError, LookupError, TypeError):
        return None
    finally:
        connection.close()


def _refusal(address: tuple[str, int]) -> str:
    """Bound but never listened on: a daemon that starts at this moment gets it all the same (socket(7))."""
    try:
        family, *_, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        with contextlib.closing(socket.socket(family)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    except OSError as exc:
        return exc.strerror or str(exc)
    return ""


def _loaded(systemctl: str, control: Control) -> Unit | None:
    """None where systemd is not at work here, or has no such unit."""
    wanted = "--property=LoadState,WatchdogUSec,EnvironmentFiles"
    said = process.run([systemctl, "show", _UNIT, wanted], control=control)
    if said.returncode or "LoadState=loaded" not in said.stdout.splitlines():
        return None
    watchdog = re.search(r"^WatchdogUSec=(.*)$", said.stdout, re.MULTILINE)
    files = tuple(Path(name) for name in _ENVIRONMENT_FILE.findall(said.stdout))
    return Unit(watchdog=watchdog[1] if watchdog else "", environment_files=files)
