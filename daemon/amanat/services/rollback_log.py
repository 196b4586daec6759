"""The Markdown log of what was done to databases: restores, rollbacks, migrations, each with what it executed."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, timedelta

from amanat.domain import account
from amanat.domain.account import Account
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.model import Outcome
from amanat.domain.units import format_duration
from amanat.ports import Ports
from amanat.services.markdown import cell, fenced, item

KINDS = (EntryKind.RESTORE, EntryKind.ROLLBACK, EntryKind.UNDO, EntryKind.DROP, EntryKind.MIGRATION)
_TITLE = """# Rollback log

Written by Amanat after each change; edits are overwritten. Newest first; times are UTC.
"""
_NOTHING = "\nNothing was restored, rolled back or migrated so far.\n"
_FACTS = "\n| | |\n| --- | --- |\n"
_PRECISE_SECONDS = 60


def read(ports: Ports, databases: Sequence[str]) -> str:
    return render(ports.register.entries_of(databases, KINDS))


def render(entries: Iterable[Entry]) -> str:
    """A section each, in the order in which they come."""
    return _TITLE + ("".join(_section(entry) for entry in entries) or _NOTHING)


def _section(entry: Entry) -> str:
    told = account.told(entry.detail)
    heading = f"\n## {entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}: {entry.kind} of {cell(entry.database)}\n"
    lists = (
        _list("Changed by it", told.changes),
        _list("Checks", told.checks),
        _list("Lost by it", told.lost),
        _list("Warnings", told.warnings),
    )
    return heading + _FACTS + "".join(_facts(entry, told)) + _executed(told.steps) + "".join(lists)


def _facts(entry: Entry, told: Account) -> Iterator[str]:
    is_done = entry.outcome == Outcome.SUCCEEDED  # then it is a hook after it that failed
    facts = {
        "Who": entry.by,
        "Why": entry.purpose,
        "Environment": entry.environment,
        "Outcome": entry.outcome,
        "Failed because": "" if is_done else told.failure,
        "From": told.origin,
        "To": told.result,
        "After it": told.failure if is_done else "",
        "Snapshot": entry.snapshot or "",
        "Run": entry.run or "",
        "Took": _seconds(told.seconds) if told.seconds else "",
        "Outage": "" if told.outage_seconds is None else _seconds(told.outage_seconds),
        "To take it back": told.undo,
    }
    return (f"| {name} | {cell(value)} |\n" for name, value in facts.items() if value)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}s" if seconds < _PRECISE_SECONDS else format_duration(timedelta(seconds=seconds))


def _executed(steps: Sequence[str]) -> str:
    return f"\nCommands and SQL that were executed:\n\n{fenced(chr(10).join(steps))}" if steps else ""


def _list(title: str, lines: Sequence[str]) -> str:
    return f"\n{title}:\n\n{''.join(map(item, lines))}" if lines else ""
