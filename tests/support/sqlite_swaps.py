"""What tests of swaps share: a restorer and its place, processes that use the live file, and killed children."""

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteRestorer
from amanat.engines.sqlite.rows import read
from amanat.ports.engine import Place

HERE = Path(__file__).parent
RUN, DEAD = "0123456789ab", "dead00000000"
CALLS = ("link", "linkat", "rename", "unlink", "fsync", "fdatasync", "pwrite64", "chmod", "chown")
_LINE = re.compile(r"(?P<process>\d+) +(?P<call>\w+)\((?P<arguments>.*)")
# what SQLite writes beside a database counts once it is synced, which is a call of its own
_WITHOUT_EFFECT = re.compile(r"ENOENT|-(shm|journal)>, \"")
_IDLE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[2]))
for line in sys.stdin:
    try:
        print(connection.execute(line).fetchall(), flush=True)
    except sqlite3.Error as exc:
        print(exc.sqlite_errorname, flush=True)
"""
_WRITER = """
import contextlib, sqlite3, sys
number = 0
while True:
    number += 1
    try:
        with contextlib.closing(sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0.5)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("INSERT INTO written VALUES (?)", (number,))
    except sqlite3.Error as exc:
        print("failed", exc, flush=True)
    else:
        print(number, flush=True)
"""


class Workplace:
    """A folder with a live database, and who restores beside it."""

    def __init__(self, live: Path) -> None:
        self.live = live
        self.restorer = SqliteRestorer(SqliteSource(path=live))
        self.warnings: list[str] = []

    def place(self, run: str = RUN) -> Place:
        folder = self.live.parent
        return Place(run=run, folder=folder, scratch=folder, is_dead=DEAD.__eq__, warn=self.warnings.append)

    def beside(self, run: str = RUN) -> Path:
        return self.live.with_name(f"{self.live.name}.amanat-{run}")

    def before(self, run: str = RUN) -> Path:
        return self.live.with_name(f"{self.live.name}.before-{run}")


class Session:
    """A process that has the database open and does as it is told."""

    def __init__(self, path: Path, timeout: float) -> None:
        argv = [sys.executable, "-c", _IDLE, str(path), str(timeout)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, sql: str) -> str:
        self.process.stdin.write(f"{sql}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextlib.contextmanager
def session(path: Path, *, timeout: float = 0.1) -> Iterator[Session]:
    opened = Session(path, timeout)
    try:
        yield opened
    finally:
        opened.process.communicate(timeout=30)


class Writer:
    """A process that opens the database anew for each row of the table ``written``; what it was told."""

    def __init__(self, path: Path) -> None:
        argv = [sys.executable, "-c", _WRITER, str(path)]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        self.lines.extend(line.strip() for line in self._process.stdout)

    def wait_for(self, rows: int) -> None:
        wanted, until = self.written + rows, time.monotonic() + 30
        while self.written < wanted:
            assert time.monotonic() < until, self.lines[-5:]
            time.sleep(0.01)

    @property
    def written(self) -> int:
        return len(self.acknowledged)

    @property
    def acknowledged(self) -> list[int]:
        return [int(line) for line in tuple(self.lines) if line.isdigit()]

    def stop(self) -> None:
        """Killed in the middle of something: all that it had told is read."""
        self._process.kill()
        self._reader.join()
        self._process.communicate(timeout=30)


def digests(path: Path) -> dict[str, str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {each.name: each.sha256 for each in read(connection)}


def mode(path: Path) -> str:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA journal_mode").fetchone()[0]


def child(live: Path, *arguments: object, around: Sequence[str] = ()) -> "subprocess.CompletedProcess[str]":
    """``sqlite_swap_child.py`` has the arguments."""
    argv = [*around, sys.executable, "-B", str(HERE / "sqlite_swap_child.py"), str(live), *map(str, arguments)]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


def told(done: "subprocess.CompletedProcess[str]") -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def strace(output: Path, *options: str) -> list[str]:
    return ["strace", "--follow-forks", "--quiet=all", "--output", str(output), *options]


def changing_calls(folder: Path, live: str, *arguments: str) -> list[tuple[str, int]]:
    """What the child does to the files of a copy of ``folder``, in order: the call, and its number."""
    scene, output = copied(folder, "traced"), folder.with_name("trace")
    options = ["-y", "-e", f"trace={','.join(CALLS)}"]
    told(child(scene / live, *_within(scene, arguments), around=strace(output, *options)))
    found = [line for text in output.read_text().splitlines() if (line := _LINE.match(text))]
    counts, calls = Counter[str](), []
    for line in (line for line in found if line["process"] == found[0]["process"]):
        counts[line["call"]] += 1
        if str(scene) in line["arguments"] and not _WITHOUT_EFFECT.search(line["arguments"]):
            calls.append((line["call"], counts[line["call"]]))
    return calls


def killed(scene: Path, call: tuple[str, int], live: str, *arguments: str) -> None:
    """SIGKILL on entry to that call."""
    name, number = call
    inject = ["-e", f"trace={name}", "-e", f"inject={name}:signal=SIGKILL:when={number}"]
    done = child(scene / live, *_within(scene, arguments), around=strace(scene.with_name("trace"), *inject))
    assert done.returncode < 0 or done.returncode > 128, done


def copied(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(folder, folder.with_name(name)))


def _within(scene: Path, arguments: Sequence[str]) -> list[str]:
    """Names of files are those in the scene."""
    first, *names = arguments
    return [first, *(str(scene / name) for name in names)]
