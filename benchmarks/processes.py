"""The one place of the benchmarks that starts processes; what they take is measured from outside.

The product's own door (``amanat.host.process``) polls and drains, which would count as the stock tool's time.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

from benchmarks.figures import Sample, Series

_SAMPLE_SECONDS = 0.02
_STOP_SECONDS = 10.0
_RESET_PEAK = "5"  # proc(5), /proc/pid/clear_refs: the peak begins anew

Environment = Mapping[str, str] | None  # the whole of it; None: this process's own
Stream = IO[bytes] | int
Go = Callable[[], Sample]


class BenchmarkError(Exception):
    """Something that is compared did not work; there is no figure then."""


def command(*argv: str | Path, env: Environment = None, folder: Path | None = None) -> Sample:
    """Run it to its end, its output thrown away; BenchmarkError unless it exits with 0. ``folder``: to work in."""
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = _start(argv, env, folder, (subprocess.DEVNULL, subprocess.DEVNULL, errors))
        with watched(process.pid) as watch:
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            raise BenchmarkError(f"{_shown(argv)} ended with {process.returncode}: {_tail(errors.read())}")
    return Sample(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        own_bytes=watch.own_bytes,
        children_bytes=watch.children_bytes,
    )


def said(*argv: str | Path, env: Environment = None) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run([str(word) for word in argv], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{_shown(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def in_turn(contestants: Mapping[str, Go], rounds: int) -> tuple[Series, ...]:
    """Every contestant once a round, each second round backwards, so that none always runs after the same one."""
    names = list(contestants)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            os.sync()  # what the one before left to be written is not this one's work
            samples[name].append(contestants[name]())
            tell(f"  {name}: {samples[name][-1].seconds:.2f} s")
    return tuple(Series(name=name, samples=tuple(found)) for name, found in samples.items())


def tell(text: str) -> None:
    """Progress, for who waits; the figures go to stdout."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Watch:
    """Peak memory of a process, and of all below it together, looked at many times a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.own_bytes = 0
        self.children_bytes = 0
        self._known: set[int] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._done.set()
        self._thread.join()

    def _look_on(self) -> None:
        while True:
            self._look()
            if self._done.wait(_SAMPLE_SECONDS):
                return

    def _look(self) -> None:
        """The kernel keeps a peak for one process (VmHWM); for several only the sum at an instant makes sense.

        A child counts from the second look on: before its exec it has its parent's memory (vfork(2)).
        """
        self.own_bytes = max(self.own_bytes, memory(self._pid, "VmHWM"))
        below = set(_below(self._pid))
        self.children_bytes = max(self.children_bytes, sum(memory(pid, "VmRSS") for pid in below & self._known))
        self._known = below


@contextlib.contextmanager
def watched(pid: int) -> Iterator[Watch]:
    watch = Watch(pid)
    try:
        yield watch
    finally:
        watch.end()


def memory(pid: int, field: str) -> int:
    """A field of /proc/pid/status in bytes; 0 when the process is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK)


def cpu_seconds(pid: int) -> float:
    """Of a live process with all its threads, to the nanosecond: the clock of clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | 2)


def _below(pid: int) -> Iterator[int]:
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, tasks.read_text().split()):
                yield child
                yield from _below(child)


class Attendant:
    """A process that answers a JSON line with a JSON line, for what must not pay for its own start each time."""

    def __init__(self, *argv: str, env: Environment = None, log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = _start(argv, env, None, (subprocess.PIPE, subprocess.PIPE, errors))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin  # noqa: S101 - both are pipes
        assert self._process.stdout  # noqa: S101
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, **question: object) -> tuple[dict[str, Any], Watch]:
        """Its answer, and what memory it and its children took for that."""
        assert self._process.stdin  # noqa: S101 - both are pipes
        assert self._process.stdout  # noqa: S101
        forget_peak(self._process.pid)
        with watched(self._process.pid) as watch:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{question}: {_tail(self._log.read_bytes())}")
        return json.loads(line), watch


def _start(
    argv: Sequence[str | Path], env: Environment, folder: Path | None, streams: tuple[Stream, Stream, Stream]
) -> "subprocess.Popen[bytes]":
    stdin, stdout, stderr = streams
    try:
        return subprocess.Popen(
            [str(word) for word in argv], env=env, cwd=folder, stdin=stdin, stdout=stdout, stderr=stderr
        )
    except OSError as exc:
        raise BenchmarkError(f"{argv[0]} cannot be started: {exc.strerror}") from exc


def _shown(argv: Sequence[str | Path]) -> str:
    return " ".join([Path(argv[0]).name, *map(str, argv[1:])])


def _tail(errors: bytes) -> str:
    return "\n".join(errors.decode(errors="replace").strip().splitlines()[-5:])
