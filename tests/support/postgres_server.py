"""Throw-away PostgreSQL servers: own data folder, Unix socket in a short temporary folder, gone with the session.

The server refuses to run as root, so root starts it as ``postgres`` or else ``nobody``. It is told to stop
when its parent dies: a killed test run leaves no server behind either.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.postgres import binaries, template

_START_SECONDS = 30
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "max_prepared_transactions": "2",
    "logging_collector": "off",
}
_INITDB = ["--username=postgres", "--auth=trust", "--no-sync", "--no-instructions", "--encoding=UTF8"]


class Workspace:
    """The servers of one test session, started when first asked for.

    ``folder``: where their data lie; a socket's path must stay under 108 bytes, so not too deep.
    """

    def __init__(self, folder: Path = Path("/tmp"), settings: Mapping[str, str] = SETTINGS) -> None:
        self._account = _account()
        self._settings = settings
        self._folder = Path(tempfile.mkdtemp(prefix="amanat-pg-", dir=folder))
        self._folder.chmod(0o755)
        self._servers: dict[tuple[int, bool], Server] = {}

    def server(self, major: int, *, tcp: bool = False) -> "Server":
        """``tcp``: on a free port of 127.0.0.1 as well, where it asks for passwords (scram-sha-256)."""
        if (major, tcp) not in self._servers:
            self._servers[major, tcp] = self._start(major, tcp=tcp)
        return self._servers[major, tcp]

    def standby(self, major: int) -> "Server":
        """``server`` from now on: in recovery, and waiting for a primary that there is not."""
        server = self.server(major)
        server.psql("CHECKPOINT")
        server.stop()
        server.become_standby()
        server.start(self._as_server())
        return server

    def close(self) -> None:
        for server in self._servers.values():
            server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, major: int, *, tcp: bool) -> "Server":
        bin_folder = self._readable(binaries(major), major)
        base = self._folder / f"{major}{'t' if tcp else ''}"
        for folder in (base, base / "data", base / "socket"):
            self._make_folder(folder)
        packed = template(major, lambda target: self._pack_template(bin_folder, base / "template", target))
        with packed.open("rb") as file:
            subprocess.run(self._as_server("tar", "-xzf-", "-C", base / "data"), stdin=file, check=True)
        server = Server(major=major, bin_folder=bin_folder, base=base, tcp=tcp, settings=self._settings)
        server.start(self._as_server())
        return server

    def _pack_template(self, bin_folder: Path, data: Path, target: Path) -> None:
        self._make_folder(data)
        initdb = self._as_server(bin_folder / "initdb", *_INITDB, "--locale=C", "-D", data)
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["tar", "-czf", target, "-C", data, "."], check=True)
        shutil.rmtree(data)

    def _as_server(self, *command: object) -> list[str]:
        words = [str(word) for word in command]
        if not self._account:
            return words
        ids = [f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, *words]

    def _make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o755 if folder.name == "socket" else 0o700)
        if self._account:
            os.chown(folder, self._account.pw_uid, self._account.pw_gid)

    def _readable(self, bin_folder: Path, major: int) -> Path:
        """The project may lie below a folder that the server's user cannot enter: then use a copy."""
        probe = self._as_server("test", "-x", bin_folder / "postgres")
        if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
            return bin_folder
        copy = self._folder / f"binaries-{major}"
        if not copy.exists():
            shutil.copytree(bin_folder.parent, copy)
            subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
        return copy / "bin"


class Server:
    """One running server."""

    def __init__(
        self, *, major: int, bin_folder: Path, base: Path, tcp: bool, settings: Mapping[str, str]
    ) -> None:
        self.major = major
        self._settings = settings
        self.bin = bin_folder
        self.socket_dir = base / "socket"
        self.port = _free_port() if tcp else 5432
        self._tcp = tcp
        self._data = base / "data"
        self._log = base / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, prefix: list[str]) -> None:
        """``prefix``: what makes the command run as the server's user."""
        if self._tcp:
            (self._data / "pg_hba.conf").write_text(
                "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
            )
        # The order matters: the death signal is forgotten when the user changes.
        command = [*prefix, "setpriv", "--pdeathsig=QUIT", str(self.bin / "postgres"), *self._options()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._wait_until_ready()

    def stop(self) -> None:
        if self._process:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=_START_SECONDS)

    def become_standby(self) -> None:
        """From the next start on (manual, standby.signal)."""
        (self._data / "standby.signal").touch()

    def psql(self, sql: str, dbname: str = "postgres") -> str:
        """Run SQL by the stock psql as superuser; returns the bare values, a line a row."""
        done = subprocess.run(
            [self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *self.where, "-d", dbname, "-f", "-"],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.rstrip("\n")

    @property
    def where(self) -> list[str]:
        """Options by which any PostgreSQL tool reaches this server as superuser."""
        return ["-h", str(self.socket_dir), "-p", str(self.port), "-U", "postgres"]

    def conninfo(self, dbname: str, user: str = "postgres") -> dict[str, str]:
        return {"host": str(self.socket_dir), "port": str(self.port), "dbname": dbname, "user": user}

    def tcp_conninfo(self, dbname: str, user: str) -> dict[str, str]:
        return {**self.conninfo(dbname, user), "host": "127.0.0.1"}

    def _options(self) -> list[str]:
        addresses = "127.0.0.1" if self._tcp else ""
        settings = {
            **self._settings,
            "unix_socket_directories": self.socket_dir,
            "port": self.port,
            "listen_addresses": addresses,
        }
        return ["-D", str(self._data), *(f"--{name}={value}" for name, value in settings.items())]

    def _wait_until_ready(self) -> None:
        """As pg_ctl does: the eighth line of the server's pid file says when it takes connections."""
        give_up = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up and self._process and self._process.poll() is None:
            lines = _lines(self._data / "postmaster.pid")
            if len(lines) > 7 and lines[7].strip() == "ready":
                return
            time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL {self.major} did not start:\n{self._log.read_text()}")


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as, when we are root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return names.get("postgres") or names["nobody"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []
