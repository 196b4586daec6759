"""zstd in the seekable format: frames that decode by themselves, and a table of them at the end.

Format 0.1.0 (facebook/zstd, contrib/seekable_format/zstd_seekable_compression_format.md). The table stands in a
skippable frame, so that stock ``zstd -d`` reads the file as any other.
"""

import os
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import zstandard

FRAME_BYTES = 1024 * 1024
_THREADS = 2
_LEVEL = 3
_SKIPPABLE = struct.Struct("<II")  # magic, bytes that follow
_ENTRY = struct.Struct("<II")  # compressed, plain
_FOOTER = struct.Struct("<IBI")  # frames, descriptor, magic
_SKIPPABLE_MAGIC = 0x184D2A5E
_SEEKABLE_MAGIC = 0x8F92EAB1
_PLAIN_TABLE = 0  # descriptor: no checksums in the table; each frame has its own

Given = TypeVar("Given")


class SeekableError(Exception):
    """The file is not what ``pack`` writes, or damaged."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where it lies in the packed and in the plain file."""

    offset: int
    packed: int
    start: int
    plain: int


def pack(source: int, target: int, level: int | None, done: Callable[[int, int], None]) -> None:
    """Compress one descriptor's file into another's; ``done`` gets the bytes read and written after each frame."""
    entries: list[tuple[int, int]] = []
    read = written = 0
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        for plain, frame in _in_order(pool, partial(_compressed, level=level or _LEVEL), _pieces(source)):
            _write(target, frame)
            entries.append((len(frame), len(plain)))
            read, written = read + len(plain), written + len(frame)
            done(read, written)
    _write(target, _table(entries))


def frames(descriptor: int) -> list[Frame]:
    """The table; SeekableError unless it accounts for every byte of the file."""
    size = os.fstat(descriptor).st_size
    found, offset, start = list[Frame](), 0, 0
    for packed, plain in _entries(descriptor, size):
        if not 0 < plain <= FRAME_BYTES:
            raise SeekableError(f"a frame claims {plain} bytes")
        found.append(Frame(offset=offset, packed=packed, start=start, plain=plain))
        offset, start = offset + packed, start + plain
    if not found or offset + _table_bytes(len(found)) != size:
        raise SeekableError("its table of frames does not fit its size")
    return found


def unpacked(descriptor: int, wanted: Iterable[Frame]) -> Iterator[tuple[Frame, bytes]]:
    """With their plain bytes, in order. SeekableError."""
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        yield from _in_order(pool, partial(_decompressed, descriptor), wanted)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Given], bytes], given: Iterable[Given]
) -> Iterator[tuple[Given, bytes]]:
    """What comes of each, with a few under way at any time: never more of the file in memory."""
    pending = deque[tuple[Given, Future[bytes]]]()
    for item in given:
        pending.append((item, pool.submit(work, item)))
        if len(pending) > 2 * _THREADS:
            first, future = pending.popleft()
            yield first, future.result()
    for first, future in pending:
        yield first, future.result()


def _pieces(source: int) -> Iterator[bytes]:
    offset = 0
    while piece := os.pread(source, FRAME_BYTES, offset):
        yield piece
        offset += len(piece)


def _compressed(piece: bytes, level: int) -> bytes:
    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress(piece)


def _decompressed(descriptor: int, frame: Frame) -> bytes:
    try:
        plain = zstandard.ZstdDecompressor().decompress(
            os.pread(descriptor, frame.packed, frame.offset), max_output_size=frame.plain, allow_extra_data=False
        )
    except zstandard.ZstdError as exc:
        raise SeekableError(f"the frame at byte {frame.offset} cannot be decoded: {exc}") from exc
    if len(plain) != frame.plain:
        raise SeekableError(f"the frame at byte {frame.offset} holds {len(plain)} bytes, not {frame.plain}")
    return plain


def _table(entries: list[tuple[int, int]]) -> bytes:
    rows = b"".join(_ENTRY.pack(*entry) for entry in entries)
    footer = _FOOTER.pack(len(entries), _PLAIN_TABLE, _SEEKABLE_MAGIC)
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(rows) + len(footer)) + rows + footer


def _table_bytes(count: int) -> int:
    return _SKIPPABLE.size + count * _ENTRY.size + _FOOTER.size


def _entries(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    footer = os.pread(descriptor, _FOOTER.size, max(0, size - _FOOTER.size))
    if len(footer) < _FOOTER.size:
        raise SeekableError("it is too short")
    count, described, magic = _FOOTER.unpack(footer)
    length = _table_bytes(count)
    if magic != _SEEKABLE_MAGIC or described != _PLAIN_TABLE or length > size:
        raise SeekableError("it has no table of frames at its end")
    table = os.pread(descriptor, length, size - length)
    if _SKIPPABLE.unpack_from(table) != (_SKIPPABLE_MAGIC, length - _SKIPPABLE.size):
        raise SeekableError("its table of frames has no proper head")
    return _ENTRY.iter_unpack(table[_SKIPPABLE.size : -_FOOTER.size])


def _write(target: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]
