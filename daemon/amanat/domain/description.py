"""What a database is made of, as values that can be compared: for each object its kind, name and definition.

A definition of some length is kept as its digest, so that a manifest stays small with thousands of tables; a
difference is told by object all the same.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

INFORMATIONAL = frozenset({"access", "user mapping"})
"""Kinds that tell of roles, which not every restore brings: kept, but no part of the fingerprint."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST = len("sha256:") + 64  # a longer definition is longer than its digest


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseObject:
    """``within``: what it belongs to, such as the table of a column. ``definition``: itself, or its mark."""

    kind: str
    within: str
    name: str
    definition: str

    @property
    def qualified(self) -> str:
        return f"{self.within}.{self.name}" if self.within else self.name

    @property
    def mark(self) -> str:
        """Stands for the definition where two are compared: a short one for itself, a long one by its SHA-256."""
        if len(self.definition) <= _LONGEST:
            return self.definition
        return f"sha256:{hashlib.sha256(self.definition.encode()).hexdigest()}"

    @property
    def is_marked(self) -> bool:
        """Only the digest is known."""
        return _DIGEST.fullmatch(self.definition) is not None

    @property
    def place(self) -> tuple[str, str, str]:
        """No two objects of a database have the same."""
        return self.kind, self.within, self.name


@dataclass(frozen=True, kw_only=True)
class Description:
    """``dialect``: who printed the definitions, such as ``PostgreSQL 16``; those of two compare by name alone.

    ``sequences``: the number that each gives out next, by qualified name; ``descending``: those that count down.
    ``collations``: their versions, as the database has noted them.
    """

    dialect: str
    objects: tuple[DatabaseObject, ...]
    sequences: Mapping[str, int] = field(default_factory=dict)
    descending: tuple[str, ...] = ()
    collations: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over kind, place, name and mark of every object, in order; values of sequences are not in it."""
        digest = hashlib.sha256()
        for item in in_order(self.objects):
            if item.kind not in INFORMATIONAL:
                line = json.dumps([*item.place, item.mark], ensure_ascii=False, separators=(",", ":"))
                digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    @property
    def compact(self) -> "Description":
        """As a manifest keeps it: in order, with marks for definitions."""
        return replace(self, objects=tuple(replace(item, definition=item.mark) for item in in_order(self.objects)))


@dataclass(frozen=True, kw_only=True)
class LargeObjects:
    """``sha256``: see ``archive.LargeObjectsDigest``; empty where nobody has taken it."""

    count: int
    sha256: str = ""


def in_order(objects: Iterable[DatabaseObject]) -> list[DatabaseObject]:
    return sorted(objects, key=lambda item: item.place)
