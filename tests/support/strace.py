"""Kills a command at a chosen system call, or has that call fail: strace's fault injection on real processes.

A point is said by what the call does ("the second fsync of the store's folder"); its number among all calls of
the process comes from a trace of the same command on an equal folder.
"""

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.support.cli import Amanat

CALLS = (
    "mkdir",
    "rmdir",
    "rename",
    "link",
    "unlink",
    "fsync",
    "fdatasync",
    "pwrite64",
    "write",
    "chmod",
    "copy_file_range",
)
_LINE = re.compile(r"(?P<process>\d+) +(?P<call>\w+)\((?P<arguments>.*)")
_STILL = {"PYTHONDONTWRITEBYTECODE": "1"}  # else the numbers would depend on what was compiled before


@dataclass(frozen=True, kw_only=True)
class Call:
    """``number``: counted from 1 among the calls of that name in the process's main thread, as strace does."""

    name: str
    number: int
    arguments: str


def copy(amanat: Amanat, folder: Path) -> Amanat:
    """An equal scene in another folder, for one fault."""
    shutil.copytree(amanat.folder, folder, dirs_exist_ok=True)
    return Amanat(folder)


def traced(amanat: Amanat, *args: str) -> list[Call]:
    """What a command that succeeds does to the files of its scene, in order."""
    output = amanat.folder.parent / f"{amanat.folder.name}.trace"
    amanat.ok(*args, env=_STILL, around=[*_strace(output), "-y", "-e", f"trace={','.join(CALLS)}"])
    lines = [found for line in output.read_text().splitlines() if (found := _LINE.match(line))]
    main, counts, calls = lines[0]["process"], Counter[str](), []
    for line in lines:
        if line["process"] == main:
            counts[line["call"]] += 1
            if str(amanat.folder) in line["arguments"]:
                arguments = line["arguments"].replace(str(amanat.folder), "")
                calls.append(Call(name=line["call"], number=counts[line["call"]], arguments=arguments))
    return calls


def left_after(amanat: Amanat, text: str, *args: str) -> Call:
    """Where a command that succeeds leaves a server after it sent the first message with this text: a statement
    may be sent by a thread of its own, the main one says good-bye.
    """
    output = amanat.folder.parent / f"{amanat.folder.name}.trace"
    amanat.ok(*args, env=_STILL, around=[*_strace(output), "-e", "trace=sendto"])
    lines = [found for line in output.read_text().splitlines() if (found := _LINE.match(line))]
    first = next(index for index, line in enumerate(lines) if text in line["arguments"])
    main = [index for index, line in enumerate(lines) if line["process"] == lines[-1]["process"]]
    number = next(number for number, index in enumerate(main, 1) if index > first)
    return Call(name="sendto", number=number, arguments=lines[main[number - 1]]["arguments"])


def find(calls: list[Call], name: str, pattern: str, nth: int = 0) -> Call:
    """The nth of the calls (negative: from the end) whose arguments match."""
    matching = [call for call in calls if call.name == name and re.search(pattern, call.arguments)]
    assert matching, f"no {name} of {pattern}: {calls}"
    return matching[nth]


def faulted(amanat: Amanat, call: Call, fault: str, *args: str) -> "subprocess.CompletedProcess[str]":
    """``fault``: ``signal=SIGKILL`` on entry, or such as ``error=ENOSPC``."""
    inject = f"inject={call.name}:{fault}:when={call.number}"
    output = amanat.folder.parent / f"{amanat.folder.name}.trace"
    return amanat.run(*args, env=_STILL, around=[*_strace(output), "-e", f"trace={call.name}", "-e", inject])


def _strace(output: Path) -> list[str | Path]:
    """Without --seccomp-bpf, which is faster and (as of strace 6.1) silently injects no signals."""
    return ["strace", "--follow-forks", "--quiet=all", "--output", output]
