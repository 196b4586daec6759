"""Copies bytes between files the fastest way that the kernel has for them: reflink, in the kernel, or by hand."""

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable

from amanat.engines.sqlite.way import CopiedBy

CHUNK_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024  # stays in the processor's cache between reading and writing
_FICLONE = 0x40049409  # linux/fs.h
_STATFS_BYTES = 256  # more than any struct statfs; its first word is f_type
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_libc = ctypes.CDLL(None, use_errno=True)

Done = Callable[[int], None]


class WritingError(OSError):
    """It was the target that failed; any other OSError is the source's."""


def file_system(descriptor: int) -> int:
    """Its number of linux/magic.h (statfs(2))."""
    buffer = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
    if _libc.fstatfs(descriptor, buffer):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(buffer[0]) & 0xFFFFFFFF


def copy(source: int, target: int, size: int, done: Done) -> CopiedBy:
    """The first ``size`` bytes of ``source`` into ``target``, which is empty; less if there are less.

    ``done`` gets the number of bytes that lie in the target, after each chunk; what it raises ends the copy.
    """
    if _cloned(source, target, size):
        done(size)
        return CopiedBy.REFLINK
    copied = _copied_in_kernel(source, target, size, done)
    if copied == size:
        return CopiedBy.COPY_FILE_RANGE
    _copy_by_hand(source, target, (copied, size), done)
    return CopiedBy.PLAIN


def _cloned(source: int, target: int, size: int) -> bool:
    """Whether the target now shares the source's blocks; other file systems and devices know no such thing."""
    if os.fstat(source).st_size < size:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
        os.ftruncate(target, size)
    except OSError as exc:
        if exc.errno in _DISK_FULL:
            raise WritingError(exc.errno, exc.strerror) from exc
        return False
    return True


def _copied_in_kernel(source: int, target: int, size: int, done: Done) -> int:
    """How far it came; where the kernel refuses, or old ones stop for no reason, the rest is copied by hand."""
    copied = 0
    while copied < size:
        try:
            count = os.copy_file_range(source, target, min(CHUNK_BYTES, size - copied), copied, copied)
        except OSError as exc:
            if exc.errno in _DISK_FULL:
                raise WritingError(exc.errno, exc.strerror) from exc
            break
        if not count:
            break
        copied += count
        done(copied)
    return copied


def _copy_by_hand(source: int, target: int, part: tuple[int, int], done: Done) -> None:
    copied, size = part
    buffer = memoryview(bytearray(_PIECE_BYTES))
    while copied < size and (count := os.preadv(source, [buffer[: size - copied]], copied)):
        write_at(target, buffer[:count], copied)
        copied += count
        if copied % CHUNK_BYTES < count or copied == size:
            done(copied)


def write_at(target: int, data: bytes | memoryview, offset: int) -> None:
    """All of it. WritingError."""
    piece = memoryview(data)
    while piece:
        try:
            written = os.pwrite(target, piece, offset)
        except OSError as exc:
            raise WritingError(exc.errno, exc.strerror) from exc
        piece, offset = piece[written:], offset + written
