"""Damage that any file can take, whatever is in it."""

from random import Random


def flipped(random: Random, data: bytes) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(random.choice((1, 1, 2, 8))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncated(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]
