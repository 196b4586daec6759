"""Tells how far a restore is: the items that are done, and what the server says of each COPY within."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Self

from amanat.domain.errors import AmanatError, InterruptedRunError, TimeoutExceededError, YieldedError
from amanat.domain.model import Facts
from amanat.domain.scope import Table
from amanat.engines.postgresql.connection import Row, Session, Target, session
from amanat.engines.postgresql.restoring.order import Item, rows_by_table
from amanat.engines.postgresql.restoring.steps import Steps
from amanat.host import clock
from amanat.ports.run import Control, Progress

_ASK_EVERY_SECONDS = 1.0
_COPYING = """
SELECT n.nspname, c.relname, p.tuples_processed, p.bytes_processed
FROM pg_stat_progress_copy p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.datname = current_database() ORDER BY p.bytes_processed DESC
"""


class Watch:
    """Hears of the steps, and asks how far those are. Holds a connection of its own, or goes on without one."""

    def __init__(
        self, items: Mapping[int, Item], facts: Facts, jobs: int, target: Target, control: Control
    ) -> None:
        self._steps = Steps(items, jobs=jobs)
        self.hear, self.sections = self._steps.hear, self._steps.sections
        self._rows = rows_by_table(facts)
        self._total = sum(item.bytes for item in items.values())
        self._target = target
        self._control = control
        self._stack = contextlib.ExitStack()
        self._session: Session | None = None
        self._refused = False
        self._asked = clock.monotonic()
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def poll(self) -> None:
        """Tell, now and then; raises what ``control`` says, and nothing else."""
        if clock.monotonic() - self._asked < _ASK_EVERY_SECONDS:
            return
        self._tell(self._copying())
        self._asked = clock.monotonic()

    def finish(self) -> None:
        """All is done."""
        self._control.progress(Progress(bytes_done=self._total, bytes_total=self._total))

    def _copying(self) -> Sequence[Row]:
        if self._refused:
            return []
        try:
            if self._session is None:
                self._session = self._stack.enter_context(session(self._target, self._control))
            return self._session.ask(_COPYING)
        except (InterruptedRunError, TimeoutExceededError, YieldedError):
            raise
        except AmanatError:  # pg_restore will tell what is wrong, if it is
            self._refused = True
            return []

    def _tell(self, copying: Sequence[Row]) -> None:
        done, running = self._steps.running()
        within = min(sum(row[3] for row in copying), sum(item.bytes for item in running))
        self._told = max(self._told, done + within)
        here = {"bytes_done": self._told, "bytes_total": self._total}
        self._control.progress(self._table(here, copying[0]) if copying else _other(here, running))

    def _table(self, here: Mapping[str, int], row: Row) -> Progress:
        schema, name, rows_done, _ = row
        table = Table(schema=schema, name=name).qualified
        expected = self._rows.get(table)
        return Progress(**here, table=table, rows_done=rows_done, rows_total=expected.rows if expected else None)


def _other(here: Mapping[str, int], running: Sequence[Item]) -> Progress:
    return Progress(**here, table=running[0].label if running else "")
