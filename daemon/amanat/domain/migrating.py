"""What a migration made of a database, and what it runs with."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from amanat.domain.comparison import Content, Difference, Finding, compare
from amanat.domain.description import Description
from amanat.domain.gate import last_of

_WORDS = {Finding.MISSING: "removed", Finding.UNEXPECTED: "added", Finding.DIFFERS: "changed"}


@dataclass(frozen=True, kw_only=True)
class State:
    """``migrations``: as in ``gate.Live``."""

    description: Description
    migrations: Sequence[Mapping[str, object]] | None


def changes(before: State, after: State) -> tuple[str, ...]:
    """Such as ``column public.users.phone: added``; the migrations that were applied come first."""
    return (*_applied(before, after), *map(_told, _differences(before.description, after.description)))


def _applied(before: State, after: State) -> Iterator[str]:
    if before.migrations is None or after.migrations is None:
        yield "which migrations were applied is not known: others had their table to themselves"
    elif list(before.migrations) != list(after.migrations):
        yield f"migrations: {last_of(before.migrations)} before, {last_of(after.migrations)} now"


def _differences(before: Description, after: Description) -> tuple[Difference, ...]:
    """Values of sequences are the application's; who may do what counts."""
    ours, theirs = (_content(description) for description in (before, after))
    return compare(ours, theirs, roles=True).differences


def _content(description: Description) -> Content:
    return Content(description=replace(description, sequences={}, collations={}), rows=None)


def _told(difference: Difference) -> str:
    return f"{difference.kind} {difference.name}: {_WORDS[difference.finding]}"


def way_back(database: str, snapshot: str) -> str:
    """What to type."""
    return f"amanat rollback {database} --to {snapshot} --purpose …"


def session_options(
    known: str, *, lock_timeout: timedelta | None = None, statement_timeout: timedelta | None = None
) -> str:
    """For PGOPTIONS, behind what is there: of two settings the last one holds (libpq hands them on in order)."""
    wanted = {"lock_timeout": lock_timeout, "statement_timeout": statement_timeout}
    ours = [f"-c {name}={_milliseconds(limit)}ms" for name, limit in wanted.items() if limit is not None]
    return " ".join(filter(None, (known, *ours)))


def _milliseconds(limit: timedelta) -> int:
    return int(limit / timedelta(milliseconds=1))
