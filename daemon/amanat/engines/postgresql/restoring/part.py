"""Which entries of an archive some of its tables need, and which belong to them: by the archive's dependencies."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from amanat.archive import Entry

TABLES = frozenset({"TABLE", "FOREIGN TABLE"})
_RELATIONS = TABLES | {"VIEW", "MATERIALIZED VIEW"}
_BELONGING = frozenset(
    {
        *("TABLE DATA", "TABLE ATTACH", "INDEX", "INDEX ATTACH", "STATISTICS", "DEFAULT"),
        *("CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT", "TRIGGER", "RULE", "POLICY", "ROW SECURITY"),
        *("SEQUENCE", "SEQUENCE OWNED BY", "SEQUENCE SET", "COMMENT", "SECURITY LABEL", "ACL"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """``kept``: numbers of entries. ``leading_out``: what belongs to the tables and needs one that is not kept."""

    kept: frozenset[int]
    leading_out: tuple[Entry, ...]


def of(entries: Sequence[Entry], tables: Collection[int]) -> Part:
    """``tables``: numbers of the chosen ones. Another that these need comes too, without what belongs to it."""
    known = {entry.dump_id: entry for entry in entries}
    kept = _needed(tables, known)
    bare = _of_kinds(kept, known, _RELATIONS) - set(tables)
    while new := _belonging(known, kept, bare):
        kept |= new
    return Part(kept=frozenset(kept), leading_out=tuple(_hanging(known, kept, kept - bare)))


def ancestors(entries: Sequence[Entry]) -> Mapping[int, tuple[int, ...]]:
    """The partitioned tables above each partition."""
    attached = [entry.dependencies for entry in entries if entry.kind == "TABLE ATTACH"]
    parent = {
        which[0]: which[1] for which in attached if len(which) > 1
    }  # as ``getInherits`` of ``common.c`` adds
    return {child: _above(child, parent) for child in parent}


def _above(child: int, parent: Mapping[int, int]) -> tuple[int, ...]:
    found: list[int] = []
    while (above := parent.get(child)) is not None and above not in found:
        found.append(above)
        child = above
    return tuple(found)


def _belonging(known: Mapping[int, Entry], kept: set[int], bare: set[int]) -> set[int]:
    """What hangs on what is kept, with what it needs, as long as that is no further table."""
    needs = [_needed([entry.dump_id], known) for entry in _hanging(known, kept, kept - bare)]
    return {number for each in needs if not _of_kinds(each - kept, known, _RELATIONS) for number in each} - kept


def _hanging(known: Mapping[int, Entry], kept: set[int], on: set[int]) -> list[Entry]:
    return [
        entry
        for number, entry in known.items()
        if number not in kept and entry.kind in _BELONGING and not on.isdisjoint(entry.dependencies)
    ]


def _needed(numbers: Collection[int], known: Mapping[int, Entry]) -> set[int]:
    found, waiting = set(numbers), list(numbers)
    while waiting:
        new = [at for at in known[waiting.pop()].dependencies if at in known and at not in found]
        found.update(new)
        waiting += new
    return found


def _of_kinds(numbers: Collection[int], known: Mapping[int, Entry], kinds: Collection[str]) -> set[int]:
    return {number for number in numbers if known[number].kind in kinds}
