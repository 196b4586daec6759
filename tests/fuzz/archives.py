"""The archive codec, given archives that were damaged, and archives that were made at random."""

import hashlib
import io
import subprocess
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from random import Random

from amanat.archive import Algorithm, Archive, ArchiveError, Codec, UnknownArchiveError, Version, rewrite
from tests.fuzz.archive_making import random_archive
from tests.fuzz.archive_mutations import Seed, damaged
from tests.fuzz.harness import FindingError, Target
from tests.support.archive_judge import END_OF_ROWS, Judged, NotAnArchiveError, judged

_PG_RESTORE_SECONDS = 60
_AT_VERSION = 6


class Dribble(io.RawIOBase):
    """A pipe: a read brings what there is."""

    def __init__(self, data: bytes, random: Random) -> None:
        self._data, self._random, self._at = data, random, 0
        self._most = len(data) // random.choice((1, 1, 10, 100, 1000)) + 1

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        start = self._at
        self._at += min(size, self._random.randint(1, self._most))
        return self._data[start : self._at]


def damaged_archives(seeds: Iterable[Seed], pg_restore: Path | None, share: float) -> Target:
    """``share``: of the accepted ones that ``pg_restore`` is asked about too."""
    known = list(seeds)
    return Target(make=lambda random: damaged(random, known), examine=Examiner(pg_restore, share).examine)


class Examiner:
    def __init__(self, pg_restore: Path | None, share: float) -> None:
        self._pg_restore = pg_restore
        self._share = share

    def examine(self, data: bytes) -> str:
        """Refused, or carried over with its meaning as it was; codec, threads and reads follow from the data."""
        random, target = Random(zlib.crc32(data)), io.BytesIO()
        try:
            archive = rewrite(
                Dribble(data, random),
                target,
                codec=any_codec(random, data),
                threads=random.randint(1, 4),
                check=lambda: None,
                on_progress=lambda _: None,
            )
        except UnknownArchiveError:
            return "unknown"
        except ArchiveError:
            return "refused"
        compare(data, target.getvalue(), archive)
        if self._pg_restore and random.random() < self._share:
            self._ask_pg_restore(data, target.getvalue())
        return "accepted"

    def _ask_pg_restore(self, before: bytes, after: bytes) -> None:
        if (said := self._script(before)) != (now := self._script(after)):
            raise FindingError(f"pg_restore says {said[0]} and {now[0]}: {said[1][-300:]!r} and {now[1][-300:]!r}")

    def _script(self, archive: bytes) -> tuple[int, bytes]:
        """Exit status, and the restored SQL without its random key."""
        with tempfile.NamedTemporaryFile(dir="/tmp", prefix="amanat-fuzz-") as file:
            file.write(archive)
            file.flush()
            command = [str(self._pg_restore), "--restrict-key=k", "-f-", file.name]
            done = subprocess.run(command, capture_output=True, check=False, timeout=_PG_RESTORE_SECONDS)
        return done.returncode, done.stdout


def random_archives() -> Target:
    """Whole archives, to be carried over every one."""
    return Target(make=random_archive, examine=_require_accepted, mebibytes=160)


def _require_accepted(data: bytes) -> str:
    if (outcome := Examiner(None, 0).examine(data)) != "accepted":
        raise FindingError(f"a whole archive was {outcome}")
    return outcome


def compare(before: bytes, after: bytes, archive: Archive) -> None:
    """FindingError when the archive written is not the one read, or not the one told of."""
    read, written = judge(before), judge(after)
    if read.meaning != written.meaning:
        raise FindingError("what was written means something else")
    require_as_told(written, after, archive)


def judge(data: bytes) -> Judged:
    try:
        return judged(data)
    except NotAnArchiveError as exc:
        raise FindingError(f"an archive was accepted or written that is none: {exc}") from exc


def require_as_told(written: Judged, after: bytes, archive: Archive) -> None:
    if misplaced := written.misplaced():
        raise FindingError(f"the data of {misplaced[0]} lie elsewhere")
    if (archive.crc32, archive.bytes) != (zlib.crc32(after), len(after)):
        raise FindingError("the file's checksum or size is another")
    told = [(data.entry.dump_id, data.rows, data.bytes, data.sha256) for data in archive.tables]
    if told != _tables(written) or archive.large_objects != _large_objects(written):
        raise FindingError(f"told of {told}, written {_tables(written)}")


def _tables(archive: Judged) -> list[tuple[int, int, int, str]]:
    copies = {entry.number for entry in archive.entries if entry.copy}
    rows = {block.number: block.data for block in archive.blocks if block.number in copies}
    return [_told(number, data) for number, data in rows.items() if isinstance(data, bytes)]


def _told(number: int, data: bytes) -> tuple[int, int, int, str]:
    rows = data.removesuffix(END_OF_ROWS)
    return number, rows.count(b"\n"), len(rows), hashlib.sha256(rows).hexdigest()


def _large_objects(archive: Judged) -> int:
    return sum(len(block.data) for block in archive.blocks if isinstance(block.data, list))


def any_codec(random: Random, data: bytes) -> Codec:
    algorithms = [Algorithm.NONE, Algorithm.GZIP]
    if data[_AT_VERSION : _AT_VERSION + 1] > bytes([Version.TABLE_ACCESS_METHOD]):
        algorithms.append(Algorithm.ZSTD)
    return Codec(algorithm=random.choice(algorithms), level=random.choice((1, 1, 1, 2, 3, 4, 9)))
