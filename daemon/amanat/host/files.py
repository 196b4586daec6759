"""Files that survive a crash: written beside, synced, renamed; hashed as they lie on the disk."""

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from amanat.domain.errors import SpaceError, StoreError
from amanat.ports.run import Control

_CHUNK = 4 * 1024 * 1024
_HASHED_AT_ONCE = 256 * 1024  # stays in the processor's cache: twice as fast as with megabytes
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40  # as Linux has it
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an OSError inside into a StoreError (SpaceError when the disk is full) that names ``what``."""
    try:
        yield
    except OSError as exc:
        raise store_error(what, exc) from exc


def store_error(what: str, exc: OSError) -> StoreError:
    """The error for a failed file operation, with the remedy that fits its errno."""
    reason = exc.strerror or str(exc)
    if exc.errno in _FULL:
        return SpaceError(f"{what}: {reason}", hint="make room on that file system, or prune")
    hints = {
        errno.EROFS: "mount it read-write",
        errno.EACCES: "let the user of amanat write there (owner and mode of the folder)",
        errno.EPERM: "let the user of amanat write there (owner and mode of the folder)",
        errno.ENXIO: "start first what reads from it",
        errno.ENOENT: "create the folder, or mount what should lie there",
    }
    return StoreError(f"{what}: {reason}", hint=hints.get(exc.errno or 0, "see the system log for the device"))


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write ``text`` so that a reader sees the old file or the whole new one, also after a power cut.

    ``mode`` holds whatever the umask is. A link at ``path`` is followed (see ``_followed``); a device, pipe or
    socket there is opened and written to.
    The caller sees to it that nobody else replaces ``path`` meanwhile; what a kill left beside it, the next
    call removes.
    """
    write_pieces(path, (text,), mode=mode)


def write_pieces(path: Path, pieces: Iterable[str], *, mode: int = 0o600) -> None:
    """The same for a text that comes piece by piece."""
    path = _followed(path)
    if not _is_special(path):
        _sweep_beside(path)
    with _opened(path) if _is_special(path) else _replacing(path, mode=mode) as file:
        for piece in pieces:
            file.write(piece.encode())


def _followed(path: Path) -> Path:
    """Where links lead that we or root made; one of somebody else is replaced.

    It may lead to what we may write and he may not, such as the register.
    """
    for _ in range(_MOST_LINKS):
        if not path.is_symlink() or path.lstat().st_uid not in {0, os.geteuid()} or _is_special(path):
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_special(path: Path) -> bool:
    """Whether something is there that cannot be replaced by a file, as it is no file; links followed."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _opened(path: Path) -> BinaryIO:
    """Not waiting for who reads from a pipe, who may never come: ENXIO."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    os.set_blocking(descriptor, True)
    return open(descriptor, "wb")  # noqa: PTH123 - takes a descriptor; the caller closes it


def created(path: Path) -> BinaryIO:
    """A new private file, to write and to read back; FileExistsError if there is one."""
    descriptor = os.open(path, os.O_RDWR | _NEW, 0o600)
    return open(descriptor, "w+b")  # noqa: PTH123 - takes a descriptor; the caller closes it


def copy(source: Path, target: Path) -> None:
    """Copy the bytes, private (0600) and synced; ``target`` appears whole or not at all."""
    with source.open("rb") as original, _replacing(target, mode=0o600) as file:
        shutil.copyfileobj(original, file, _CHUNK)


@contextlib.contextmanager
def _replacing(path: Path, *, mode: int) -> Iterator[BinaryIO]:
    """A new file that takes the place of ``path`` at the end; its name cannot be foreseen and led elsewhere."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(beside, os.O_WRONLY | _NEW, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - takes a descriptor
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _sweep_beside(path: Path) -> None:
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):  # tidying up is not worth failing for
        for item in path.parent.iterdir():
            if ours.fullmatch(item.name) and _is_own_file(item):
                item.unlink()


def _is_own_file(path: Path) -> bool:
    about = path.lstat()
    return stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid()


def sha256(path: Path, control: Control, *, from_disk: bool = False) -> str:
    """Hex digest. ``from_disk``: ask the kernel to forget its cached pages first, so that the device answers."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        if from_disk:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(_HASHED_AT_ONCE):
            control.check()
            digest.update(chunk)
    return digest.hexdigest()


def free_bytes(folder: Path) -> int:
    """What an unprivileged user may still write there."""
    return shutil.disk_usage(folder).free
