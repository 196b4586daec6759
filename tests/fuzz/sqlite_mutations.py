"""Damages SQLite's files knowingly: headers, b-tree pages, frames of the WAL (with good checksums too), journals.

File format: https://sqlite.org/fileformat.html; WAL checksums: section 4.2 of it.
"""

import struct
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.damage import flipped, truncated
from tests.fuzz.sqlite_corpus import Files

_WAL_HEADER, _FRAME_HEADER = 32, 24
_FIELDS = (
    (16, 2),
    (18, 1),
    (19, 1),
    (20, 1),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (40, 4),
    (44, 4),
    (52, 4),
    (56, 4),
    (92, 4),
)
_NUMBERS = (0, 1, 2, 3, 255, 256, 4096, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)


def damaged(random: Random, seeds: Sequence[Files]) -> bytes:
    parts = list(random.choice(seeds).parts)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        if not (there := [number for number, part in enumerate(parts) if part]):
            break
        at = random.choice(there)
        knowing = _MAIN if at == 0 else _WAL if at == 1 else _BLIND
        parts[at] = random.choice((*knowing, *_BLIND))(random, parts[at])
        if random.random() < 0.05:
            parts[random.randrange(1, 4)] = random.choice(seeds).parts[random.randrange(4)]
    return Files(tuple(parts)).packed()


def _put(data: bytes, at: int, by: bytes) -> bytes:
    return data[:at] + by + data[at + len(by) :]


def _number(random: Random, size: int) -> bytes:
    value = random.choice((*_NUMBERS, random.getrandbits(32), random.getrandbits(6)))
    return (value % 256**size).to_bytes(size, "big")


# the main file


def _page_size(data: bytes) -> int:
    size = int.from_bytes(data[16:18], "big")
    return 65536 if size == 1 else max(size, 512)


def _header_field(random: Random, data: bytes) -> bytes:
    at, size = random.choice(_FIELDS)
    return _put(data, at, _number(random, size))


def _page_header(random: Random, data: bytes) -> bytes:
    """Kind of page, first free block, cells, where they begin, or a cell's place."""
    page = random.randrange(max(1, len(data) // _page_size(data)))
    at = page * _page_size(data) + (100 if page == 0 else 0) + random.choice((0, 1, 3, 5, 7, 8, 12, 14))
    return _put(data, at, _number(random, 2))


def _pages_swapped(random: Random, data: bytes) -> bytes:
    size = _page_size(data)
    pages = [data[at : at + size] for at in range(0, len(data), size)]
    first, second = random.randrange(len(pages)), random.randrange(len(pages))
    pages[first] = pages[second]
    return b"".join(pages)


def _whole_pages_cut(random: Random, data: bytes) -> bytes:
    size = _page_size(data)
    return data[: size * random.randrange(len(data) // size + 1)]


def _longer(random: Random, data: bytes) -> bytes:
    return data + bytes(random.choice((1, _page_size(data), 3 * _page_size(data))))


# the WAL


def _frames(data: bytes) -> list[bytes]:
    size = _FRAME_HEADER + int.from_bytes(data[8:12], "big")
    return [data[at : at + size] for at in range(_WAL_HEADER, len(data), size)] if size < len(data) else []


def checksummed(data: bytes) -> bytes:
    """The same WAL with checksums that are right."""
    order = ">" if data[3] & 1 else "<"
    sums = _checksum(order, data[:24], (0, 0))
    parts = [data[:24] + struct.pack(">II", *sums)]
    for frame in _frames(data):
        if len(frame) < _FRAME_HEADER or len(frame) % 8:
            break
        sums = _checksum(order, frame[:8] + frame[_FRAME_HEADER:], sums)
        parts.append(frame[:8] + data[16:24] + struct.pack(">II", *sums) + frame[_FRAME_HEADER:])
    return b"".join(parts)


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _wal_field(random: Random, data: bytes) -> bytes:
    changed = _put(data, random.choice((0, 3, 4, 8, 12, 16, 20, 24, 28)), _number(random, 4))
    return checksummed(changed) if random.random() < 0.3 else changed


def _frame_field(random: Random, data: bytes) -> bytes:
    """Page number or size of the database after the commit."""
    frames = _frames(data) or [b""]
    at = _WAL_HEADER + random.randrange(len(frames)) * len(frames[0]) + random.choice((0, 4, 8, 16))
    return _maybe_checksummed(random, _put(data, at, _number(random, 4)))


def _frames_moved(random: Random, data: bytes) -> bytes:
    frames = _frames(data)
    if frames:
        frames[random.randrange(len(frames))] = random.choice(frames)
    return _maybe_checksummed(random, data[:_WAL_HEADER] + b"".join(frames))


def _frames_cut(random: Random, data: bytes) -> bytes:
    return data[:_WAL_HEADER] + b"".join(_frames(data)[: random.randrange(len(_frames(data)) + 1)])


def _frame_content(random: Random, data: bytes) -> bytes:
    return _maybe_checksummed(random, flipped(random, data))


def _maybe_checksummed(random: Random, data: bytes) -> bytes:
    return checksummed(data) if len(data) > _WAL_HEADER and random.random() < 0.7 else data


# anything


def _overwritten(random: Random, data: bytes) -> bytes:
    return _put(data, random.randrange(len(data) + 1), random.randbytes(random.choice((1, 4, 100))))


def _gone(_: Random, __: bytes) -> bytes:
    return b""


_Mutations = Sequence[Callable[[Random, bytes], bytes]]
_MAIN: _Mutations = (_header_field, _page_header, _page_header, _pages_swapped, _whole_pages_cut, _longer)
_WAL: _Mutations = (_wal_field, _frame_field, _frames_moved, _frames_cut, _frame_content, _frame_content)
_BLIND: _Mutations = (flipped, truncated, _overwritten, _gone)
