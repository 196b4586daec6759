"""The kernel's lock on a file (flock(2)): taken or not, waited for, and released with or without its file."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from amanat.domain.errors import BusyError, RegisterError
from amanat.host import clock
from amanat.ports.run import Control

EXCLUSIVE = fcntl.LOCK_EX
SHARED = fcntl.LOCK_SH
_POLL_SECONDS = 0.1


def taken(path: Path, kind: int = EXCLUSIVE) -> int | None:
    """The descriptor that holds it; None: somebody else does, or has just removed the file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise RegisterError(
            f"lock file {path} cannot be opened: {exc.strerror}",
            hint="the state folder must be writable for the user of amanat",
        ) from exc
    if _locked(descriptor, kind) and _lies_at(path, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def wait_for(wanted: Mapping[str, Sequence[Path]], control: Control, *, wait: float, holder: str) -> list[int]:
    """One of the paths of each name, all at once: who waits holds none, so that no two wait for each other.

    BusyError after ``wait`` seconds. ``holder``: whom it names to others.
    """
    give_up = clock.monotonic() + wait
    while isinstance(got := _one_of_each(wanted), str):
        if clock.monotonic() >= give_up:
            raise _busy(got, wanted[got])
        control.check()
        time.sleep(_POLL_SECONDS)
    for descriptor in got:
        _sign(descriptor, holder)
    return got


def wait_for_share(path: Path, control: Control, *, wait: float, what: str) -> int:
    """BusyError after ``wait`` seconds."""
    give_up = clock.monotonic() + wait
    while (descriptor := taken(path, SHARED)) is None:
        if clock.monotonic() >= give_up:
            raise _busy(what, [path])
        control.check()
        time.sleep(_POLL_SECONDS)
    return descriptor


@contextlib.contextmanager
def held(descriptors: Sequence[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@contextlib.contextmanager
def held_with_file(path: Path, descriptor: int) -> Iterator[None]:
    """The last one to hold it removes the file."""
    try:
        yield
    finally:
        if _locked(descriptor, EXCLUSIVE) and _lies_at(path, descriptor):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lies_at(path: Path, descriptor: int) -> bool:
    """A lock on a file that somebody removed keeps nobody out."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _one_of_each(wanted: Mapping[str, Sequence[Path]]) -> list[int] | str:
    """Their descriptors; or, while none is held, the name of what could not be had."""
    got: list[int] = []
    with contextlib.ExitStack() as stack:
        for what, paths in wanted.items():
            descriptor = next((one for path in paths if (one := taken(path)) is not None), None)
            if descriptor is None:
                return what
            stack.callback(os.close, descriptor)
            got.append(descriptor)
        stack.pop_all()
    return got


def _sign(descriptor: int, holder: str) -> None:
    text = ", ".join(part for part in (holder, f"process {os.getpid()}") if part)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


def _busy(what: str, paths: Sequence[Path]) -> BusyError:
    told = "; ".join(filter(None, (signature(path) for path in paths)))
    who = f": {told}" if told else ""
    return BusyError(
        f"{what}: another run holds the lock{who}", hint="wait for it (amanat status), or try again later"
    )


def signature(path: Path) -> str:
    """Who signed it last; empty: nobody, or it is gone."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
