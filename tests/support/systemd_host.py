"""A machine with a real systemd for tests: this one's root, copy-on-write, in namespaces of its own (needs root).

There is no network but the loopback, and nothing that is written inside reaches the machine. Everything belongs to
the namespaces and goes with their first process, also when the test run is killed; then an empty control group and
an empty folder in /tmp may stay.
"""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_SCRIPT = Path(__file__).with_suffix(".sh")
_BOOT_SECONDS = 60.0


class SystemdHost:
    """``binds``: folders of this machine (keys) that are seen read-only inside, at the values."""

    def __init__(self, *, binds: Mapping[Path, Path] | None = None) -> None:
        self._binds = dict(binds or {})
        self._work = tempfile.TemporaryDirectory(prefix="amanat-systemd-")
        self._group = Path(self._work.name).name
        self._outer: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def __enter__(self) -> Self:
        try:
            self._boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def root(self) -> Path:
        """The inner root file system as seen from outside, for reading and writing files."""
        return Path(f"/proc/{self._pid}/root")

    def write(self, path: str, text: str, *, mode: int = 0o644) -> None:
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text), encoding="utf-8")
        target.chmod(mode)

    def run(self, *argv: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as root; its output in the error when it fails."""
        command = ["nsenter", "--target", str(self._pid), "--all", "--", *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(argv)} exited with {done.returncode}\n{done.stdout}{done.stderr}{self._journal()}"
            )
        return done

    def journal(self, unit: str) -> str:
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--unit", unit, "--output=short-monotonic", "--no-pager").stdout

    def get(self, url: str) -> tuple[int, str]:
        """Status and body of an HTTP answer on the inner loopback; status 0 when there was none."""
        code = textwrap.dedent("""
            import json, sys, urllib.error, urllib.request
            try:
                answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1], timeout=5)
            except urllib.error.HTTPError as error:
                answer = error
            except OSError as error:
                print(json.dumps([0, str(error)]))
                sys.exit()
            print(json.dumps([answer.status, answer.read().decode()]))
        """)
        command = ["nsenter", "--target", str(self._pid), "--net", "--", sys.executable, "-c", code, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        status, body = json.loads(done.stdout)
        return int(status), str(body)

    def wait_for(self, what: str, condition: Callable[[], Any], *, timeout: float = 30) -> Any:
        """What ``condition`` returned, once it is true; AssertionError with the journal after ``timeout`` s."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.1)
        raise AssertionError(f"not within {timeout:g} s: {what}\n{self._journal()}")

    def _boot(self) -> None:
        binds = [f"{source}:{target}" for source, target in self._binds.items()]
        script = ["/bin/sh", str(_SCRIPT), "outer", self._work.name, self._group, *binds]
        # should this process be killed, the kernel ends the namespaces
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            *script,
        ]
        with (Path(self._work.name) / "console").open("wb") as console:
            self._outer = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _BOOT_SECONDS
        while not self._is_up():
            if self._outer.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    f"systemd did not boot (it takes root, namespaces and cgroup2):\n{self._console()}"
                )
            time.sleep(0.05)

    def _is_up(self) -> bool:
        self._pid = self._pid or self._first_process()
        if not self._pid:
            return False
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    def _first_process(self) -> int:
        """The PID, seen from outside, of the inner systemd; 0 while the script is still at work."""
        assert self._outer
        try:
            child = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()[0]
            return int(child) if Path(f"/proc/{child}/comm").read_text() == "systemd\n" else 0
        except (OSError, IndexError):
            return 0

    def _end(self) -> None:
        if self._pid:
            os.kill(self._pid, 9)  # the first process of a PID namespace takes all others with it
        elif self._outer:
            self._outer.kill()
        if self._outer:
            self._outer.wait(timeout=30)
            self._remove_groups()
        self._work.cleanup()

    def _remove_groups(self) -> None:
        """The control groups are the one thing that outlives the namespaces."""
        script = 'mount -t cgroup2 cgroup2 "$1" && find "$1/$2" -depth -type d -exec rmdir {} +'
        unshare = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "remove"]
        subprocess.run([*unshare, self._work.name, self._group], check=True)

    def _journal(self) -> str:
        command = ["journalctl", "--lines=60", "--output=short-monotonic", "--no-pager"]
        return "\n" + self.run(*command, check=False).stdout

    def _console(self) -> str:
        return (Path(self._work.name) / "console").read_text(errors="replace")
