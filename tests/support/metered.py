"""What a register does, in SQLite's own steps: the same on every machine, however busy it is."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from amanat.register.register import Register

_EVERY = 10  # instructions of SQLite's virtual machine


@dataclass
class Work:
    statements: int = 0
    steps: int = 0

    def count_statement(self, _sql: str) -> None:
        self.statements += 1

    def count_step(self) -> int:
        self.steps += _EVERY
        return 0


@contextlib.contextmanager
def metered(register: Register) -> Iterator[Work]:
    """All it is asked meanwhile, by whichever thread."""
    work = Work()
    connections = (register._database._reader, register._database._writer)
    for connection in connections:
        connection.set_trace_callback(work.count_statement)
        connection.set_progress_handler(work.count_step, _EVERY)
    try:
        yield work
    finally:
        for connection in connections:
            connection.set_trace_callback(None)
            connection.set_progress_handler(None, _EVERY)
