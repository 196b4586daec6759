"""Runs cases in batches, each batch in a child process: a crash, a hang or a leak ends a child and not the fuzzer.

A case is made from seed and number alone, and is bytes: what is found is kept as a file, with what was wrong beside
it, and examined again by ``--replay``.
"""

import json
import mmap
import os
import resource
import signal
import struct
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

_TICK_SECONDS = 0.02
_REPORT_SECONDS = 60
_MEBIBYTE = 1024 * 1024


class FindingError(AssertionError):
    """What a target raises when the product did not do as it promises; so does any exception it lets through."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """``examine`` returns how it ended, in a word. A batch may grow by ``mebibytes`` of resident memory."""

    make: Callable[[Random], bytes]
    examine: Callable[[bytes], str]
    batch: int = 1000
    seconds: float = 20
    mebibytes: int = 96


@dataclass(kw_only=True)
class Tally:
    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: int = 0


class Fuzzer:
    """``say`` takes lines of progress."""

    def __init__(self, target: Target, *, seed: int, findings: Path, say: Callable[[str], None]) -> None:
        self._target = target
        self._seed = seed
        self._findings = findings
        self._say = say
        self._current = mmap.mmap(-1, 8)
        self._started = self._said = time.monotonic()
        self.tally = Tally()

    def run(self, *, seconds: float, cases: int | None = None, first: int = 0) -> Tally:
        """Until the time is over or so many ``cases`` were examined, whichever comes first."""
        last = None if cases is None else first + cases
        while time.monotonic() - self._started < seconds and (last is None or first < last):
            end = first + self._target.batch if last is None else min(first + self._target.batch, last)
            first = self._batch(first, end)
            if time.monotonic() - self._said > _REPORT_SECONDS:
                self._report()
        self._report()
        return self.tally

    def case(self, number: int) -> bytes:
        return self._target.make(Random(f"{self._seed}:{number}"))

    def _batch(self, first: int, end: int) -> int:
        """Returns the case to go on with."""
        read, write = os.pipe()
        self._note(first)
        child = os.fork()
        if not child:
            os.close(read)
            self._be_child(first, end, write)
        os.close(write)
        with os.fdopen(read, "rb") as results:
            killed = self._watch(child)
            return self._take(results.read(), killed, os.waitpid(child, 0)[1], first, end)

    def _watch(self, child: int) -> bool:
        """True if it hung. Counted in ticks of ours in which the child could run: both may be stopped for a while."""
        ticks, seen = 0, self._noted()
        try:
            while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(_TICK_SECONDS)
                ticks = 0 if self._noted() != seen else ticks + (_state(child) != "T")
                seen = self._noted()
                if ticks * _TICK_SECONDS > self._target.seconds:
                    os.kill(child, signal.SIGKILL)
                    return True
        except BaseException:  # we are told to stop
            os.kill(child, signal.SIGKILL)
            raise
        return False

    def _take(self, results: bytes, killed: bool, status: int, first: int, end: int) -> int:
        """Of a child that did not end well only the number of its cases is known."""
        at = self._noted()
        if killed or status:
            self.tally.cases += at + 1 - first
            self._keep(at, "it hung" if killed else f"the process ended with wait status {status}")
            return at + 1
        told = json.loads(results)
        self.tally.cases += told["cases"]
        self.tally.outcomes.update(told["outcomes"])
        self.tally.findings += told["findings"]
        return end

    def _be_child(self, first: int, end: int, write: int) -> None:
        """Never returns."""
        try:
            tally = self._examined(first, end)
            os.write(write, json.dumps(vars(tally)).encode())
        except BaseException:  # noqa: BLE001 - in a child nobody else would show it
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    def _examined(self, first: int, end: int) -> Tally:
        tally, before = Tally(), _peak_mebibytes()
        _limit_memory()
        for number in range(first, end):
            self._note(number)
            self._examine(number, tally)
        if (grown := _peak_mebibytes() - before) > self._target.mebibytes:
            tally.findings += 1
            self._keep(first, f"memory grew by {grown} MiB in the cases {first} to {end}", count=False)
        return tally

    def _examine(self, number: int, tally: Tally) -> None:
        tally.cases += 1
        data = self.case(number)
        try:
            tally.outcomes[self._target.examine(data)] += 1
        except Exception:  # noqa: BLE001 - whatever comes out of the product is what is looked for
            tally.findings += 1
            self._keep(number, traceback.format_exc(), count=False)

    def _keep(self, number: int, what: str, *, count: bool = True) -> None:
        self.tally.findings += count
        self._findings.mkdir(parents=True, exist_ok=True)
        name = self._findings / f"{self._seed}-{number}"
        name.with_suffix(".input").write_bytes(self.case(number))
        name.with_suffix(".txt").write_text(what)
        self._say(f"FOUND {name}.input: {what.strip().splitlines()[-1]}")

    def _note(self, number: int) -> None:
        struct.pack_into("<Q", self._current, 0, number)

    def _noted(self) -> int:
        return int(struct.unpack_from("<Q", self._current)[0])

    def _report(self) -> None:
        self._said = time.monotonic()
        wall, cpu = self._said - self._started, resource.getrusage(resource.RUSAGE_CHILDREN)
        told = ", ".join(f"{count} {word}" for word, count in self.tally.outcomes.most_common())
        self._say(
            f"{wall:.0f} s, cpu {cpu.ru_utime + cpu.ru_stime:.0f} s: {self.tally.cases} cases "
            f"({told}), {self.tally.findings} findings"
        )


def _state(child: int) -> str:
    return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]


def _peak_mebibytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _limit_memory() -> None:
    """A huge allocation is a MemoryError at once. Threads reserve address space that they do not use."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * mmap.PAGESIZE + 2048 * _MEBIBYTE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
