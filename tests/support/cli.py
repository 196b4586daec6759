"""Amanat as its users start it: commands and daemons as real processes, in a folder of their own.

For example::

    amanat = Amanat(tmp_path)
    amanat.policies("version: 1 ...")
    amanat.json("snapshot", "app")
    with amanat.daemon() as daemon:
        daemon.wait_for("a snapshot", lambda: amanat.json("list"))
"""

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client.parser import text_string_to_metric_families

COMMAND = (sys.executable, "-m", "amanat")
_OURS = re.compile(
    r"AMANAT_|PG|NOTIFY_SOCKET|WATCHDOG_|INVOCATION_ID|STATE_DIRECTORY|CREDENTIALS_DIRECTORY|_TYPER"
)
_READY_SECONDS = 20.0
_STOP_SECONDS = 15.0

T = TypeVar("T")


class Amanat:
    """``folder`` gets policies.yaml, store/ and state/. ``env``: for every process started here. ``around``: what
    runs each of them, such as ``unprivileged.around()``.
    """

    def __init__(self, folder: Path, *, around: Sequence[str] = (), **env: str) -> None:
        self.folder = folder
        self.file = folder / "policies.yaml"
        self.store = folder / "store"
        self.state = folder / "state"
        self.store.mkdir(mode=0o700, exist_ok=True)
        self._env = env
        self.around = tuple(around)

    def policies(self, text: str) -> None:
        self.file.write_text(textwrap.dedent(text), encoding="utf-8")

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's own, but for what Amanat and libpq would listen to."""
        inherited = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
        places = {"POLICIES": self.file, "STORE": self.store, "STATE": self.state}
        ours = {f"AMANAT_{name}": str(path) for name, path in places.items()}
        return {**inherited, **ours, **self._env, **(env or {})}

    def run(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        user: int | None = None,
        around: Sequence[str | Path] = (),
        timeout: float = 60,
    ) -> "subprocess.CompletedProcess[str]":
        """``user``: another uid (needs root). ``around``: a command that runs ours, such as strace."""
        return subprocess.run(
            [*self.around, *around, *COMMAND, *args],
            cwd=self.folder,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else (),
        )

    def ok(self, *args: str | Path, **options: Any) -> str:
        """What a command prints; it must succeed."""
        done = self.run(*args, **options)
        assert done.returncode == 0, f"{done.args}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *args: str | Path, **options: Any) -> Any:
        return json.loads(self.ok(*args, "--json", **options))

    def fails(self, code: int, *args: str | Path, **options: Any) -> str:
        """What a command says on stderr when it ends with this exit code; never a traceback."""
        done = self.run(*args, **options)
        assert done.returncode == code, f"{done.args}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stderr

    @contextlib.contextmanager
    def started(self, *args: str | Path, env: Mapping[str, str] | None = None) -> "Iterator[Background]":
        """A command in the background; it is killed at the end if it still runs."""
        with Background(self, args, env=env or {}) as process:
            yield process

    @contextlib.contextmanager
    def daemon(self, *, ready: bool = True, **env: str) -> "Iterator[Daemon]":
        """A running daemon. ``ready``: wait for it first. ``env``: such as ``AMANAT_HTTP="off"``."""
        with Daemon(self, env=env) as daemon:
            if ready:
                daemon.wait_ready()
            yield daemon

    def query(self, sql: str, *parameters: object) -> list[sqlite3.Row]:
        """Ask the register itself."""
        with contextlib.closing(sqlite3.connect(self.state / "register.sqlite", timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            with connection:
                return connection.execute(sql, parameters).fetchall()

    def files(self) -> list[str]:
        """All that lies in the store, staging included; folders do not count."""
        return sorted(str(path.relative_to(self.store)) for path in self.store.rglob("*") if not path.is_dir())


class Background:
    """A process whose output is kept, and shown with whatever fails while it runs."""

    def __init__(self, amanat: Amanat, args: Sequence[str | Path], *, env: Mapping[str, str]) -> None:
        self.amanat = amanat
        self._output = amanat.folder / f"output-{secrets.token_hex(4)}.log"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [*amanat.around, *COMMAND, *args],
                cwd=amanat.folder,
                env=amanat.environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, value: BaseException | None, trace: object) -> None:
        self._end()
        if value is not None:
            value.add_note(f"--- output of {self.process.args!r}, which ended with {self.process.returncode}:")
            value.add_note(self.output())

    @property
    def pid(self) -> int:
        return self.process.pid

    def output(self) -> str:
        """Both streams so far."""
        return self._output.read_text("utf-8", "replace")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = _STOP_SECONDS) -> int:
        """The exit code."""
        return self.process.wait(timeout)

    def stop(self, timeout: float = _STOP_SECONDS) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """As if by the kernel: no clean-up."""
        self.process.kill()
        self.process.wait()

    def wait_for(self, what: str, condition: Callable[[], T], *, timeout: float = 20) -> T:
        """What ``condition`` returned, once it is true."""
        return wait_for(what, condition, timeout=timeout)

    def _end(self) -> None:
        """Asked first, so that nothing it started outlives it; then killed."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(5)
        self.kill()


class Daemon(Background):
    """``amanat daemon``, on a free port and with a socket for what it tells systemd."""

    def __init__(self, amanat: Amanat, *, env: Mapping[str, str]) -> None:
        name = f"amanat-{secrets.token_hex(8)}"
        self._notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notifications.bind(f"\0{name}")
        self.address = env.get("AMANAT_HTTP") or f"127.0.0.1:{free_port()}"
        defaults = {"AMANAT_HTTP": self.address, "AMANAT_SHUTDOWN_GRACE": "1s", "NOTIFY_SOCKET": f"@{name}"}
        super().__init__(amanat, ["daemon"], env={**defaults, **env})

    def __exit__(self, kind: object, value: BaseException | None, trace: object) -> None:
        super().__exit__(kind, value, trace)
        self._notifications.close()

    def wait_ready(self, timeout: float = _READY_SECONDS) -> None:
        """Until it tells READY=1 (anew): after the start, and after each reload."""
        self._notifications.settimeout(0.1)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if b"READY=1" in self._notifications.recv(4096).splitlines():
                    return
            assert self.process.poll() is None, f"the daemon ended with {self.process.returncode}"
        raise AssertionError(f"the daemon was not ready within {timeout:g} s")

    def reload(self) -> None:
        """SIGHUP, and wait until it has been dealt with, well or badly."""
        self._forget_notifications()
        self.signal(signal.SIGHUP)
        self.wait_ready()

    def _forget_notifications(self) -> None:
        """Signs of life fill the socket, which keeps a few (unix(7), max_dgram_qlen)."""
        self._notifications.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._notifications.recv(4096)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{self.address}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def status(self) -> Any:
        return json.loads(self.get("/status")[1])

    def readiness(self) -> tuple[int, dict[str, dict[str, Any]]]:
        """Status of ``/readyz``, and its checks by name."""
        status, body = self.get("/readyz")
        return status, {check["name"]: check for check in json.loads(body)["checks"]}

    def metrics(self) -> dict[str, list[tuple[dict[str, str], float]]]:
        """Labels and value of each sample, by name; ``amanat_`` is left off."""
        found: dict[str, list[tuple[dict[str, str], float]]] = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                found.setdefault(sample.name.removeprefix("amanat_"), []).append((sample.labels, sample.value))
        return found

    def metric(self, name: str, **labels: str) -> float | None:
        """The one sample that has at least these labels; None where there is none."""
        samples = self.metrics().get(name, [])
        values = [value for found, value in samples if labels.items() <= found.items()]
        assert len(values) <= 1, f"{name} {labels}: {samples}"
        return values[0] if values else None


def wait_for(what: str, condition: Callable[[], T], *, timeout: float = 20) -> T:
    """What ``condition`` returned, once it is true; AssertionError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout:g} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
