"""Files that survive a crash: written beside, synced, renamed; hashed as they lie on the disk."""

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from amanat.domain.errors import SpaceError, StoreError
from amanat.ports import Control

_CHUNK = 4 * 1024 * 1024
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

    ``mode`` holds whatever the umask is. The caller sees to it that nobody else replaces ``path`` meanwhile;
    what a crash leaves beside it, the next call replaces.
    """
    beside = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - takes a descriptor
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(path.parent)


def copy(source: Path, target: Path) -> None:
    """Copy the bytes, private (0600) and synced; ``target`` appears whole or not at all."""
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.close(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        shutil.copyfile(source, beside)
        sync(beside)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(target.parent)


def sha256(path: Path, control: Control, *, from_disk: bool = False) -> str:
    """Hex digest. ``from_disk``: ask the kernel to forget its cached pages first, so that the device answers."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        if from_disk:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while chunk := file.read(_CHUNK):
            control.check()
            digest.update(chunk)
    return digest.hexdigest()


def free_bytes(folder: Path) -> int:
    """What an unprivileged user may still write there."""
    return shutil.disk_usage(folder).free
