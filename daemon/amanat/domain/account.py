"""What a restore, rollback, undo or migration did, step by step: for the register, and for people."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from amanat.domain.model import Outcome

_LONGEST_SECONDS = 1e9


@dataclass(frozen=True, kw_only=True)
class Account:
    """Told in whole sentences or lines. ``origin`` and ``result``: from what to what. ``steps``: commands and SQL
    that were executed. ``changes``: what of the database is another than before. ``checks``: each with its result.
    ``outage_seconds``: how long nobody could use the database; None: it was not touched. ``undo``: how to take it
    back; empty: there is nothing to take back.
    """

    origin: str = ""
    result: str = ""
    steps: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    outage_seconds: float | None = None
    undo: str = ""
    failure: str = ""

    def with_steps(self, *steps: str) -> "Account":
        return replace(self, steps=(*self.steps, *steps))

    def as_text(self) -> str:
        """JSON, for the detail of an entry."""
        told = {key: value for key, value in asdict(self).items() if value not in ("", (), None)}
        return json.dumps(told, ensure_ascii=False)


def told(detail: str) -> Account:
    """By an entry; what is no account is the result as it is."""
    try:
        return parse(detail)
    except (ValueError, RecursionError):
        return Account(result=detail)


def in_short(detail: str, outcome: str) -> str:
    """Of an entry, one line: from what to what, or why not."""
    account = told(detail)
    if account.failure and outcome != Outcome.SUCCEEDED:
        return account.failure
    way = " → ".join(filter(None, (account.origin, account.result)))
    return f"{way}; after it: {account.failure}" if account.failure else way


def parse(text: str) -> Account:
    """ValueError for what is no account."""
    told: Any = json.loads(text)
    if not isinstance(told, Mapping):
        raise ValueError("an account is an object")  # noqa: TRY004 - of the text, not of the code
    known = {field.name: told[field.name] for field in fields(Account) if field.name in told}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in known.items()
    }
    for key, value in values.items():
        if not _fits(value, getattr(Account, key)):
            raise ValueError(f"{key} of an account cannot be {value!r}")
    return Account(**values)


def _fits(value: Any, default: Any) -> bool:
    """Whether it is of the kind that the default shows; ``outage_seconds``, whose default is None, is a number."""
    if isinstance(default, tuple):
        return isinstance(value, tuple) and all(isinstance(line, str) for line in value)
    if isinstance(default, str):
        return isinstance(value, str)
    return isinstance(value, int | float) and 0 <= value < _LONGEST_SECONDS
