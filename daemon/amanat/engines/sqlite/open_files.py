"""Which other processes have a file open, as far as the kernel tells who we are."""

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_LOCKER, _LOCKED = 4, 5  # fields of a line of proc_locks(5)


def descriptor_of(path: Path) -> int:
    """The one that this process has; SQLite does not tell its own."""
    wanted = _identity(path)
    return next(int(item.name) for item in _open_in("self") if _identity(item) == wanted)


def is_only(descriptor: int) -> bool | None:
    """Whether no other descriptor of its file exists, whoever has it; None: the kernel does not say.

    A write lease is granted then alone, on a file of our own user's or with CAP_LEASE, and is given back at once
    (fcntl(2), "Leases"). Should somebody open the file in between, the kernel sends us a signal; one that ends
    no process.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        return False
    except OSError:
        return None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True


def others(descriptor: int) -> tuple[str, ...]:
    """Processes that have its file open or locked, such as ``process 123 (php)``; not all can be seen."""
    about = os.fstat(descriptor)
    found = {*_holders((about.st_dev, about.st_ino)), *_lockers(about)} - {os.getpid()}
    return tuple(f"process {process} ({_command(process)})" for process in sorted(found))


def _holders(wanted: tuple[int, int]) -> Iterator[int]:
    for process in _PROC.glob("[0-9]*"):
        if any(_identity(item) == wanted for item in _open_in(process.name)):
            yield int(process.name)


def _open_in(process: str) -> list[Path]:
    try:
        return list((_PROC / process / "fd").iterdir())
    except OSError:  # it has ended, or is another user's
        return []


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except OSError:  # closed meanwhile
        return None
    return about.st_dev, about.st_ino


def _lockers(about: os.stat_result) -> Iterator[int]:
    """Also those of other users, unless a sandbox hides the list (systemd.exec(5), ProcSubset)."""
    place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    for line in _told(_PROC / "locks").splitlines():
        fields = line.split()
        if "->" not in fields and fields[_LOCKED] == place and int(fields[_LOCKER]) > 0:
            yield int(fields[_LOCKER])


def _command(process: int) -> str:
    return _told(_PROC / str(process) / "comm").strip() or "not to be seen from here"


def _told(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
