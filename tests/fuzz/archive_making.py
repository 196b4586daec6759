"""Archives made at random: any names and definitions, rows cut into chunks anyhow, data around the codec's sizes."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from amanat.archive import Entry, Section, Version
from tests.support.archive_streams import DATA, HEADER, MARK, OBJECTS, TABLE, chunks, front, integer, objects

_EDGES = (0, 1, 5, 6, 7, 255, 256, 65_535, 262_144, 1_048_576, 1_048_577)
_WORDS = (b"", b"\\.", b"\\.\\n", b"\\N", b"\t", b"\\\\", b"1", b"\xff\xfe", "表".encode(), b"x" * 300)


def random_archive(random: Random) -> bytes:
    header = replace(HEADER, version=random.choice(list(Version)), database=_name(random), client=_name(random))
    entries = _entries(random)
    with_data = [entry for entry in entries if entry.has_data]
    random.shuffle(with_data)
    return front(*entries, header=header) + b"".join(_block(random, entry) for entry in with_data)


def _entries(random: Random) -> list[Entry]:
    numbers = random.sample(range(1, 2**31), 12)
    chosen = random.choices(
        (TABLE, DATA, OBJECTS, replace(DATA, copy=None)), (5, 5, 2, 1), k=random.randint(0, 12)
    )
    return [
        _varied(random, replace(entry, dump_id=number)) for entry, number in zip(chosen, numbers, strict=False)
    ]


def _varied(random: Random, entry: Entry) -> Entry:
    return replace(
        entry,
        name=_name(random),
        schema=_name(random),
        owner=_name(random),
        definition=random.choice((None, b"", random.randbytes(random.choice((1, 300, 70_000))))),
        section=random.choice(list(Section)),
        dependencies=tuple(random.choices(range(1, 2**31), k=random.randrange(4))),
        oid=random.randrange(2**32),
        relkind=random.choice(("", "r", "p", "m")),
    )


def _name(random: Random) -> str | None:
    raw = random.choice((None, random.choice(_WORDS), random.randbytes(random.randrange(1, 64))))
    return raw if raw is None else raw.decode("utf-8", "surrogateescape")


def _block(random: Random, entry: Entry) -> bytes:
    if entry.has_large_objects:
        oids = random.sample(range(1, 2**32), random.choice((0, 1, 3, 200)))
        return objects({oid: _cut(random, _bytes(random)) for oid in oids}, entry.dump_id)
    data = b"".join(_rows(random)) + MARK if entry.copy else _bytes(random)
    return b"\x01" + integer(entry.dump_id) + chunks(_cut(random, data))


def _rows(random: Random) -> Iterator[bytes]:
    for _ in range(random.choice((0, 1, 2, 50))):
        yield b"\t".join(random.choices(_WORDS, k=random.randrange(5))) + b"\n"
    if random.random() < 0.1:
        yield b"y" * max(0, random.choice(_EDGES) - random.randrange(12)) + b"\n"


def _bytes(random: Random) -> bytes:
    return random.randbytes(random.choice((0, 0, 1, 5, 100)))


def _cut(random: Random, data: bytes) -> list[bytes]:
    """No piece is empty: an empty chunk would end the data."""
    size = random.choice((1, 2, 7, 100, 4096)) if len(data) < 10_000 else random.choice((4096, 262_144, len(data)))
    return [data[at : at + size] for at in range(0, len(data), size)]
