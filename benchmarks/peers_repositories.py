"""borgmatic, restic and pgBackRest, each with a repository of its own; compression as they ship."""

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.figures import Sample
from benchmarks.processes import BenchmarkError, command
from tests.support.postgres_server import Server


@dataclass(frozen=True, kw_only=True)
class Source:
    """``folder``: to work in. ``tools``: more programs than PATH has."""

    server: Server
    dbname: str
    folder: Path
    tools: Path

    def pg_dump(self, *options: str) -> tuple[str, ...]:
        return (str(self.server.bin / "pg_dump"), *self.server.where, f"--dbname={self.dbname}", *options)


class Repository(ABC):
    """What keeps things in a form of its own."""

    programs: tuple[str, ...]

    def __init__(self, source: Source) -> None:
        self._source = source
        self._folder = source.folder / type(self).__name__.lower()
        self._path = self._folder / "repository"
        self._env = {**os.environ, "HOME": str(self._folder), "BORG_BASE_DIR": str(self._folder)}
        self._env["PATH"] = f"{source.tools}:{os.environ.get('PATH', '')}"

    def require(self) -> None:
        """BenchmarkError if it cannot be run here: it is tried."""
        for program in self.programs:
            if not shutil.which(program, path=self._env["PATH"]):
                raise BenchmarkError(f"{program} is not installed")
        self._folder.mkdir(exist_ok=True)
        self.first()

    def first(self) -> Sample:
        """Into an empty repository, which is made before the clock starts."""
        self._begin()
        return self._measured()

    def again(self) -> Sample:
        """The same into what ``first`` left."""
        return self._measured()

    def _begin(self) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        self._initialise()

    def _measured(self) -> Sample:
        """``size_bytes``: by how much the repository grew."""
        before = size(self._path)
        taken = self._take()
        return replace(taken, size_bytes=size(self._path) - before)

    @abstractmethod
    def _initialise(self) -> None: ...
    @abstractmethod
    def _take(self) -> Sample: ...


class Borgmatic(Repository):
    programs = ("borgmatic", "borg")

    def _initialise(self) -> None:
        command("borg", "init", "--encryption=none", self._path, env=self._env)
        (self._folder / "config.yaml").write_text(json.dumps(self._config()))

    def _take(self) -> Sample:
        return command("borgmatic", "--config", self._folder / "config.yaml", "create", env=self._env)

    def _config(self) -> Mapping[str, object]:
        """JSON is YAML. Its dump is custom format without compression, which is borg's then."""
        server = self._source.server
        database = {
            "name": self._source.dbname,
            "label": "bench",  # a socket's path as host name leads its dump astray
            "hostname": str(server.socket_dir),
            "port": server.port,
            "username": "postgres",
            "format": "custom",
            "pg_dump_command": str(server.bin / "pg_dump"),
            "psql_command": str(server.bin / "psql"),
        }
        return {
            "repositories": [{"path": str(self._path)}],
            "user_runtime_directory": str(self._folder),
            "user_state_directory": str(self._folder),
            "postgresql_databases": [database],
        }


class Restic(Repository):
    programs = ("restic",)

    def _initialise(self) -> None:
        self._env |= {"RESTIC_PASSWORD": "benchmark", "RESTIC_REPOSITORY": str(self._path)}  # it always encrypts
        command("restic", "init", env=self._env)

    def _take(self) -> Sample:
        piped = '"$0" "$@" --format=custom --compress=0 | restic backup --quiet --stdin --stdin-filename=dump'
        return command("bash", "-o", "pipefail", "-c", piped, *self._source.pg_dump(), env=self._env)


class Pgbackrest(Repository):
    """The whole cluster, as its own user. WAL goes to it from the moment it is set up."""

    programs = ("pgbackrest",)

    def _initialise(self) -> None:
        about = self._data.stat()
        for folder in (self._folder, self._path):
            folder.mkdir(exist_ok=True)
            os.chown(folder, about.st_uid, about.st_gid)
        (self._folder / "pgbackrest.conf").write_text(self._config())
        push = f"pgbackrest --config={self._folder}/pgbackrest.conf --stanza=bench archive-push %p"
        self._source.server.psql(f"ALTER SYSTEM SET archive_command = '{push}'")
        self._source.server.psql("SELECT pg_reload_conf()")
        self._run("stanza-create")

    def _take(self) -> Sample:
        return self._run("backup", "--type=full")

    @property
    def _data(self) -> Path:
        return self._source.server.socket_dir.with_name("data")

    def _run(self, *words: str) -> Sample:
        about = self._data.stat()
        as_server = ["setpriv", f"--reuid={about.st_uid}", f"--regid={about.st_gid}", "--clear-groups"]
        prefix = as_server if os.geteuid() == 0 else []
        config = f"--config={self._folder}/pgbackrest.conf"
        return command(*prefix, "pgbackrest", config, "--stanza=bench", *words, env=self._env)

    def _config(self) -> str:
        server, folder = self._source.server, self._folder
        options = {
            "repo1-path": self._path,
            "repo1-retention-full": 2,
            "log-path": folder,
            "lock-path": folder,
            "process-max": os.cpu_count() or 1,
            "start-fast": "y",
            "log-level-console": "off",
            "log-level-file": "off",
        }
        stanza = {"pg1-path": self._data, "pg1-socket-path": server.socket_dir, "pg1-port": server.port}
        lines = ["[global]", *_lines(options), "[bench]", *_lines(stanza), "pg1-user=postgres"]
        return "\n".join(lines) + "\n"


KINDS: tuple[type[Borgmatic], type[Restic], type[Pgbackrest]] = (Borgmatic, Restic, Pgbackrest)


def size(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(item.stat().st_size for item in path.rglob("*") if item.is_file())


def _lines(options: Mapping[str, object]) -> list[str]:
    return [f"{name}={value}" for name, value in options.items()]
