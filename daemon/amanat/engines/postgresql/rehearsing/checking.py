"""The user's own questions to a restored database."""

from collections.abc import Sequence

from amanat.domain.comparison import Difference, answered, unanswered
from amanat.domain.sql_check import SqlCheck
from amanat.engines.postgresql.connection import Session, StatementError, Target, session
from amanat.ports.run import Control

_FETCHED = 2  # enough to tell that there is more than one


def differences(own: Target, checks: Sequence[SqlCheck], control: Control) -> list[Difference]:
    """Of the answers that were not as expected; a connection for each, so that none disturbs the next."""
    found = []
    for check in checks:
        with session(own, control) as asked:
            found.append(_asked(asked, check))
    return [difference for difference in found if difference]


def _asked(asked: Session, check: SqlCheck) -> Difference | None:
    milliseconds = int(check.timeout.total_seconds() * 1000)
    asked.ask("SELECT set_config('statement_timeout', %s, false)", [str(milliseconds)])
    asked.ask("RESET search_path")
    asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        rows = asked.first_rows(check.sql, _FETCHED)
    except StatementError as exc:
        return unanswered(check, str(exc))
    return answered(check, rows)
