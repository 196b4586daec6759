"""The user's own questions to a restored file."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from amanat.domain.comparison import Difference, answered, unanswered
from amanat.domain.errors import TimeoutExceededError
from amanat.domain.sql_check import SqlCheck
from amanat.engines.sqlite.connection import Access, attended, connect
from amanat.host.control import Limited
from amanat.ports.run import Control

_FETCHED = 2  # enough to tell that there is more than one


def differences(copy: Path, checks: Sequence[SqlCheck], control: Control) -> list[Difference]:
    """Of the answers that were not as expected. ``copy``: a file that nobody changes."""
    found = (_asked(copy, check, control) for check in checks)
    return [difference for difference in found if difference]


def _allowed(action: int, *_: object) -> int:
    """Another file that is attached would be made if it is not there."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH else sqlite3.SQLITE_OK


def _asked(copy: Path, check: SqlCheck, control: Control) -> Difference | None:
    with contextlib.closing(connect(copy, Access.FROZEN)) as connection:
        connection.execute("PRAGMA query_only = ON")
        connection.set_authorizer(_allowed)
        connection.text_factory = lambda text: text.decode(errors="replace")
        try:
            rows = attended(
                connection,
                Limited(control, check.timeout),
                lambda: connection.execute(check.sql).fetchmany(_FETCHED),
            )
        except (sqlite3.Error, sqlite3.Warning) as exc:
            return unanswered(check, str(exc))
        except TimeoutExceededError as exc:
            control.check()  # it may be the whole drill whose time is over
            return unanswered(check, f"no answer: it {exc.message}")
    return answered(check, rows)
