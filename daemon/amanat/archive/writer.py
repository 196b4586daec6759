"""Writes a compressed custom archive into a seekable file, as ``pg_dump -Fc -f file`` would.

Header and table of contents are written twice, alike in length: first to keep their place, at the end with the
offset of each data block, by which ``pg_restore`` finds tables (``-t``, ``-L``) and shares them out (``-j``).
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, Self

from isal import isal_zlib

from amanat.archive import header, toc
from amanat.archive.blocks import Blocks
from amanat.archive.compression import Codec, stream_maker
from amanat.archive.header import CREATED_PARTS, Algorithm, Header, Version
from amanat.archive.toc import DataState, Entry
from amanat.archive.wire import ArchiveError

AGAIN_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Written:
    """The file as it lies there. ``contents`` with the offsets of the data."""

    header: Header
    contents: tuple[Entry, ...]
    sha256: str
    bytes: int


class Writer:
    """``file`` is empty, and can be read as well; ``blocks`` takes the data."""

    def __init__(
        self, file: BinaryIO, head: Header, contents: tuple[Entry, ...], codec: Codec, threads: int
    ) -> None:
        new_stream = stream_maker(codec, head)
        self._header = replace(head, algorithm=codec.algorithm)
        self._contents = contents
        self._file = file
        self._front = self._encoded(contents)
        self.blocks = Blocks(file, new_stream, threads, start=file.write(self._front))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.blocks.close()

    def finish(self, check: Callable[[], None]) -> Written:
        """ArchiveError when the file does not read back as it was written."""
        self.blocks.finish()
        contents = tuple(self._placed(entry) for entry in self._contents)
        self._front = self._encoded(contents)
        self._file.seek(0)
        self._file.write(self._front)
        self._file.flush()
        sha256 = self._read_back(check)
        return Written(header=self._header, contents=contents, sha256=sha256, bytes=self.blocks.end)

    def _encoded(self, contents: tuple[Entry, ...]) -> bytes:
        return header.encoded(self._header) + toc.encoded(contents, self._header.version)

    def _placed(self, entry: Entry) -> Entry:
        if not entry.has_data:
            return entry
        return replace(entry, data_state=DataState.AT_OFFSET, data_offset=self.blocks.offsets[entry.dump_id])

    def _read_back(self, check: Callable[[], None]) -> str:
        """SHA-256 of the whole file. A hash has to begin with what is known last, so it takes a second
        reading; the CRC-32 taken while writing shows that what is hashed is what was meant.
        """
        self._file.seek(0)
        sha256, crc32 = hashlib.sha256(front := self._file.read(len(self._front))), 0
        while data := self._file.read(AGAIN_BYTES):
            check()
            sha256.update(data)
            crc32 = isal_zlib.crc32(data, crc32)
        if front != self._front or crc32 != self.blocks.crc32 or self._file.tell() != self.blocks.end:
            raise ArchiveError("the archive does not read back as it was written", hint="check the disk")
        return sha256.hexdigest()


def empty(algorithm: Algorithm) -> bytes:
    """A whole archive without entries, of the first version that names its compression."""
    head = Header(
        version=Version.ALGORITHM,
        algorithm=algorithm,
        created=(0,) * CREATED_PARTS,
        database="",
        server="",
        client="",
    )
    return header.encoded(head) + toc.encoded((), head.version)
