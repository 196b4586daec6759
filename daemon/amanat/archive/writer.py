"""Writes a compressed custom archive into a seekable file, as ``pg_dump -Fc -f file`` would.

Header and table of contents are written twice, alike in length: first to keep their place, at the end with the
offset of each data block, by which ``pg_restore`` finds tables (``-t``, ``-L``) and shares them out (``-j``).
"""

from dataclasses import dataclass, replace
from typing import BinaryIO, Self

from isal import isal_zlib

from amanat.archive import header, toc
from amanat.archive.blocks import Blocks
from amanat.archive.compression import Codec, stream_maker
from amanat.archive.header import CREATED_PARTS, Algorithm, Header, Version
from amanat.archive.toc import DataState, Entry


@dataclass(frozen=True, kw_only=True)
class Written:
    """The file as it should lie there. ``contents`` with the offsets of the data."""

    header: Header
    contents: tuple[Entry, ...]
    crc32: int
    bytes: int


class Writer:
    """``file`` is empty; ``blocks`` takes the data."""

    def __init__(
        self, file: BinaryIO, head: Header, contents: tuple[Entry, ...], codec: Codec, threads: int
    ) -> None:
        new_stream = stream_maker(codec, head)
        self._header = replace(head, algorithm=codec.algorithm)
        self._contents = contents
        self._file = file
        self.blocks = Blocks(file, new_stream, threads, start=file.write(self._encoded(contents)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.blocks.close()

    def finish(self) -> Written:
        self.blocks.finish()
        contents = tuple(self._placed(entry) for entry in self._contents)
        front = self._encoded(contents)
        self._file.seek(0)
        self._file.write(front)
        self._file.flush()
        end = self.blocks.end
        crc32 = isal_zlib.crc32_combine(isal_zlib.crc32(front), self.blocks.crc32, end - len(front))
        return Written(header=self._header, contents=contents, crc32=crc32, bytes=end)

    def _encoded(self, contents: tuple[Entry, ...]) -> bytes:
        return header.encoded(self._header) + toc.encoded(contents, self._header.version)

    def _placed(self, entry: Entry) -> Entry:
        if not entry.has_data:
            return entry
        return replace(entry, data_state=DataState.AT_OFFSET, data_offset=self.blocks.offsets[entry.dump_id])


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
