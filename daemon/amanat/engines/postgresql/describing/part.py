"""Which objects a dump of a part of the database brings: not those that need something left out.

A restore reports these and goes on (see ``restoring.passes``), so they are no part of what was taken.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from amanat.domain.model import Scope
from amanat.domain.scope import Selection
from amanat.engines.postgresql.catalog import Catalog
from amanat.engines.postgresql.connection import Session

Address = tuple[int, int]
"""The catalogue's OID and the object's."""

# OIDs of catalogues never change (``catalog/pg_*.h``).
_PG_CLASS, _PG_NAMESPACE, _PG_REWRITE = 1259, 2615, 2618
_OF_ITS_OWNER = frozenset("aiPS")
_DEPENDENCIES = """
SELECT classid::bigint, objid::bigint, refclassid::bigint, refobjid::bigint, deptype::text FROM pg_depend
WHERE deptype IN ('n', 'a', 'i', 'P', 'S') AND objid >= 16384 AND refobjid >= 16384
"""

# pg_dump brings them without their tables too (``getOwnedSeqs`` of ``pg_dump.c``).
_SERIALS = """
SELECT d.objid::bigint FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
WHERE d.classid = 'pg_class'::regclass AND c.relkind = 'S' AND d.deptype = 'a'
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """``only``: what it is made of; None: all but what is ``without``."""

    only: frozenset[Address] | None = None
    without: frozenset[Address] = frozenset()

    @property
    def is_database(self) -> bool:
        """It brings what is no table too: types, functions, extensions."""
        return self.only is None

    def holds(self, catalog: int, oid: int) -> bool:
        address = (catalog, oid)
        return address not in self.without if self.only is None else address in self.only


WHOLE = Part()


@dataclass(frozen=True, kw_only=True)
class _Dependency:
    who: Address
    on: Address
    kind: str


def of_scope(asked: Session, scope: Scope, known: Catalog, selection: Selection) -> Part:
    if not scope.tables and not scope.exclude:
        return WHOLE
    dependencies = [
        _Dependency(who=(row[0], row[1]), on=(row[2], row[3]), kind=row[4]) for row in asked.ask(_DEPENDENCIES)
    ]
    tables = {(_PG_CLASS, entry.oid) for entry in known.relations}
    kept = {(_PG_CLASS, entry.oid) for entry in known.of(selection.kept)}
    if scope.tables:
        return Part(only=_chosen(kept, tables - kept, dependencies))
    staying = kept | {(_PG_CLASS, oid) for (oid,) in asked.ask(_SERIALS)}
    return Part(without=_lost(tables - kept, staying, dependencies))


def _chosen(
    kept: set[Address], left_out: Collection[Address], dependencies: Collection[_Dependency]
) -> frozenset[Address]:
    """With ``--table`` pg_dump brings tables and what belongs to them; the recipe makes their schemas."""
    own = [(edge.on, edge.who) for edge in dependencies if edge.kind in _OF_ITS_OWNER and edge.who not in left_out]
    inside = _closure(kept, own)
    schemas = {edge.on for edge in dependencies if edge.who in kept and edge.on[0] == _PG_NAMESPACE}
    there = inside | schemas
    leading_out = {edge.who for edge in dependencies if edge.who in inside and edge.on not in there}
    return frozenset(there - _lost(leading_out - kept, kept, dependencies))


def _lost(
    roots: set[Address], kept: Collection[Address], dependencies: Iterable[_Dependency]
) -> frozenset[Address]:
    """With all that needs one of them. A view needs what its rule needs."""
    edges = [(edge.on, edge.who) for edge in dependencies if edge.who not in kept]
    edges += [(edge.who, edge.on) for edge in dependencies if edge.kind == "i" and edge.who[0] == _PG_REWRITE]
    return frozenset(_closure(roots, edges))


def _closure(roots: set[Address], edges: Iterable[tuple[Address, Address]]) -> set[Address]:
    """Whatever can be reached."""
    following: dict[Address, list[Address]] = {}
    for start, end in edges:
        following.setdefault(start, []).append(end)
    found, waiting = set(roots), list(roots)
    while waiting:
        new = [end for end in following.get(waiting.pop(), ()) if end not in found]
        found.update(new)
        waiting += new
    return found
