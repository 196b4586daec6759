"""Damages archives knowingly: at the places of their fields, entries and blocks, and anywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.fuzz.damage import flipped, truncated
from tests.support.archive_judge import Span, judged

_LENGTHS = (0, 1, -1, -2, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**24, 2**24 + 1, 2**16, 255, 256)
_INTERESTING = (
    b"\\.\n",
    b"\\.\n\n\n",
    b"\n",
    b"\x00" * 5,
    b"\x01\x01\x00\x00\x00",
    b"PGDMP",
    b"false",
    b"\xff" * 9,
)


@dataclass(frozen=True)
class Seed:
    """``parts``: the places of each kind of field."""

    data: bytes
    parts: dict[str, list[Span]]

    def any(self, random: Random, *kinds: str) -> Span:
        """Of one of these kinds, or else an integer: the header has some."""
        there = [self.parts[kind] for kind in kinds if kind in self.parts]
        return random.choice(random.choice(there or [self.parts["integer"]]))


def seed(data: bytes) -> Seed:
    parts: dict[str, list[Span]] = {}
    for span in judged(data).spans:
        parts.setdefault(span.kind, []).append(span)
    return Seed(data, parts)


def damaged(random: Random, seeds: Sequence[Seed]) -> bytes:
    """One of the seeds, changed in one to four ways; the first knows the format."""
    chosen = random.choice(seeds)
    data = random.choice(_KNOWING)(random, chosen, seeds)
    for _ in range(random.choice((0, 0, 0, 1, 1, 2, 3))):
        data = random.choice(_BLIND)(random, data)
    return data


def _integer(value: int) -> bytes:
    return bytes([value < 0]) + (abs(value) % 2**32).to_bytes(4, "little")


def _replaced(data: bytes, span: Span, by: bytes) -> bytes:
    return data[: span.start] + by + data[span.end :]


def _number(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    """An integer, or the length before a string or a chunk."""
    span = chosen.any(random, "integer", "string", "chunk", "block", "entry")
    at = span.start + (span.kind == "block")
    old = int.from_bytes(chosen.data[at + 1 : at + 5], "little")
    new = random.choice(
        (*_LENGTHS, old + 1, old - 1, old * 2, -old, random.getrandbits(32), random.getrandbits(8))
    )
    return chosen.data[:at] + _integer(new) + chosen.data[at + 5 :]


def _sign(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    at = chosen.any(random, "integer", "string", "chunk").start
    return chosen.data[:at] + bytes([random.choice((1, 2, 255))]) + chosen.data[at + 1 :]


def _byte(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    at = chosen.any(random, "byte").start
    return chosen.data[:at] + bytes([random.randrange(256)]) + chosen.data[at + 1 :]


def _swapped(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    """Two fields of a kind change places."""
    kind = random.choice(
        [kind for kind in ("string", "chunk", "entry", "block") if len(chosen.parts.get(kind, ())) > 1]
    )
    first, second = sorted(random.sample(chosen.parts[kind], 2), key=lambda span: span.start)
    if first.end > second.start:
        return chosen.data
    data = chosen.data
    return (
        data[: first.start]
        + data[second.start : second.end]
        + data[first.end : second.start]
        + data[first.start : first.end]
        + data[second.end :]
    )


def _repeated(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    span = chosen.any(random, "string", "chunk", "entry", "block")
    return _replaced(chosen.data, span, chosen.data[span.start : span.end] * random.choice((2, 2, 3, 50)))


def _removed(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    return _replaced(chosen.data, chosen.any(random, "byte", "integer", "string", "chunk", "entry", "block"), b"")


def _text(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    """Another string or chunk, its length told as it is."""
    by = random.choice(
        (
            random.randbytes(random.choice((1, 7, 300))),
            random.choice(_INTERESTING),
            str(random.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**32, 10**30))).encode(),
            b"x" * random.choice((1000, 300_000)),
        )
    )
    return _replaced(chosen.data, chosen.any(random, "string", "chunk"), _integer(len(by)) + by)


def _cut_otherwise(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    """The same data in chunks of another size: no damage at all."""
    if "chunk" not in chosen.parts:
        return chosen.data
    data, size = chosen.data, random.choice((1, 2, 3, 7, 100))
    for span in reversed(chosen.parts["chunk"]):
        body = data[span.start + 5 : span.end]
        cuts = [body[at : at + size] for at in range(0, len(body), size)]
        data = _replaced(data, span, b"".join(_integer(len(cut)) + cut for cut in cuts))
    return data


def _spliced(random: Random, chosen: Seed, seeds: Sequence[Seed]) -> bytes:
    """The front of one archive and the rest of another, cut where a field of each begins or anywhere."""
    other = random.choice(seeds)
    if random.random() < 0.3:
        return chosen.data[: random.randrange(len(chosen.data))] + other.data[random.randrange(len(other.data)) :]
    kind = random.choice(("integer", "string", "entry", "block"))
    return (
        chosen.data[: chosen.any(random, kind, "integer").start]
        + other.data[other.any(random, kind, "integer").start :]
    )


def _whole(random: Random, chosen: Seed, _: Sequence[Seed]) -> bytes:
    return chosen.data


def _overwritten(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    by = random.choice((random.randbytes(random.randrange(9)), random.choice(_INTERESTING)))
    return data[:at] + by + data[at + random.choice((0, len(by), random.randrange(20))) :]


def _appended(random: Random, data: bytes) -> bytes:
    return data + random.choice((b"\0", b"\x01", random.randbytes(20), data[-30:]))


_KNOWING: Sequence[Callable[[Random, Seed, Sequence[Seed]], bytes]] = (
    _number,
    _number,
    _sign,
    _byte,
    _swapped,
    _repeated,
    _removed,
    _text,
    _text,
    _cut_otherwise,
    _spliced,
    _whole,
)
_BLIND: Sequence[Callable[[Random, bytes], bytes]] = (flipped, truncated, _overwritten, _appended)
