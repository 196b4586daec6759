"""Two streams that are to become one archive, one of them damaged: an error, or all that both of them hold, once."""

import io
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from amanat.archive import ArchiveError, Other, UnknownArchiveError, merge
from tests.fuzz.archive_mutations import Seed, damaged
from tests.fuzz.archives import Dribble, any_codec, judge, require_as_told
from tests.fuzz.harness import FindingError, Target
from tests.support.archive_judge import Entry, Judged

_LENGTH_BYTES = 4


def damaged_pairs(pairs: Sequence[tuple[Seed, Seed]]) -> Target:
    known = [seed for pair in pairs for seed in pair]

    def make(random: Random) -> bytes:
        streams = [seed.data for seed in random.choice(pairs)]
        if random.random() < 0.9:
            streams[random.randrange(2)] = damaged(random, known)
        return len(streams[0]).to_bytes(_LENGTH_BYTES, "big") + b"".join(streams)

    return Target(make=make, examine=examine)


def examine(data: bytes) -> str:
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
    lead, other = data[_LENGTH_BYTES:end], data[end:]
    random, target = Random(zlib.crc32(data)), io.BytesIO()
    try:
        archive = merge(
            Dribble(lead, random),
            [Other(source=Dribble(other, random), file=io.BytesIO())],
            target,
            codec=any_codec(random, lead),
            threads=random.randint(1, 4),
            check=lambda: None,
            on_progress=lambda _: None,
            together=_one_after_the_other,
        )
    except UnknownArchiveError:
        return "unknown"
    except ArchiveError:
        return "refused"
    written = judge(target.getvalue())
    _compare(judge(lead), judge(other), written)
    require_as_told(written, target.getvalue(), archive)
    return "accepted"


def _one_after_the_other(works: Sequence[Callable[[], None]]) -> None:
    for work in works:
        work()


def _compare(lead: Judged, other: Judged, written: Judged) -> None:
    if (written.version, written.head) != (lead.version, lead.head):
        raise FindingError("the head is not that of the leading stream")
    numbers = {entry.number for entry in lead.entries}
    if [_all(entry) for entry in written.entries if entry.number in numbers] != list(map(_all, lead.entries)):
        raise FindingError("entries of the leading stream are missing or changed")
    if [block.data for block in written.blocks] != [block.data for block in (*lead.blocks, *other.blocks)]:
        raise FindingError("the data are not those of both")
    tables = Counter(entry.fields[1] for entry in written.entries if entry.fields[3] == b"TABLE DATA")
    if tables and tables.most_common(1)[0][1] > 1:
        raise FindingError("a table's rows stand there twice")


def _all(entry: Entry) -> tuple[object, ...]:
    return entry.number, entry.fields, entry.copy, entry.has_data
