"""Reading snapshots, newest first: all of them in pages, or the first one of a kind.

Pages, and not one long read: who lists may stop for hours (a pager), and until he has ended SQLite could not
reset its write-ahead log.
"""

from collections.abc import Iterator

from amanat.domain.model import ProofLevel, Scope, Snapshot
from amanat.register import rows
from amanat.register.connection import RegisterDatabase

_PAGE = 1000
_KEPT = "state <> 'pruned'"  # word for word as in the partial indexes, or SQLite does not use them
_RANK = " ".join(f"WHEN '{level}' THEN {rank}" for rank, level in enumerate(ProofLevel))
_PROVEN = f"state = 'present' AND proof <> 'none' AND CASE proof {_RANK} END >= CASE required_proof {_RANK} END"
_AFTER = "taken_at <= :at AND (taken_at < :at OR id > :id)"


def each(register: RegisterDatabase, *, database: str | None, gone: bool) -> Iterator[Snapshot]:
    """``gone``: also those that were pruned."""
    named: dict[str, object] = {"database": database}
    wanted = [*_equal(named), *(() if gone else (_KEPT,))]
    page = _read(register, wanted, named, limit=_PAGE)
    while page:
        yield from page
        named |= {"at": rows.time_text(page[-1].taken_at), "id": page[-1].id}
        page = _read(register, [*wanted, _AFTER], named, limit=_PAGE) if len(page) == _PAGE else []


def newest(
    register: RegisterDatabase, *, database: str | None, policy: str | None, scope: Scope | None, proven: bool
) -> Snapshot | None:
    named: dict[str, object] = {
        "database": database,
        "policy": policy,
        "scope": rows.scope_text(scope) if scope else None,
    }
    wanted = [*_equal(named), *((_KEPT, _PROVEN) if proven else ())]
    return next(iter(_read(register, wanted, named, limit=1)), None)


def where(register: RegisterDatabase, condition: str, *values: object) -> list[Snapshot]:
    """``condition``: ours, never user text."""
    with rows.understood():
        return [rows.snapshot_of(row) for row in register.query(f"{rows.SNAPSHOTS} {condition}", values)]


def _equal(named: dict[str, object]) -> list[str]:
    return [f"{column} = :{column}" for column, value in named.items() if value is not None]


def _read(
    register: RegisterDatabase, wanted: list[str], named: dict[str, object], *, limit: int
) -> list[Snapshot]:
    condition = " AND ".join(wanted) or "true"
    found = register.query(f"{rows.SNAPSHOTS} {condition} ORDER BY taken_at DESC, id LIMIT {limit}", named)
    with rows.understood():
        return [rows.snapshot_of(row) for row in found]
