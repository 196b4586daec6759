"""What pg_restore has under way and what it has done, by the lines it writes with ``--verbose``."""

import re
import threading
from collections.abc import Mapping

from amanat.engines.postgresql.restoring.order import Item
from amanat.host import clock

# With jobs the leader names items by number; its workers write to the same stderr, and half a line of theirs may
# come to stand before. Without jobs, rows come in the order of the contents, and end where the next item begins.
# A line break in a name could forge a line: it would spoil the progress, nothing else.
_LEADER = re.compile(r"(?:.*pg_restore: )?(launching|finished) item (\d+) ")
_SERIAL = re.compile(r"pg_restore: (?:(processing)|creating|executing) ")


class Steps:
    """``hear`` is called in a thread of its own."""

    def __init__(self, items: Mapping[int, Item], *, jobs: int) -> None:
        self._items = items
        self._take = self._from_leader if jobs > 1 else self._in_order
        self._to_come = [number for number, item in items.items() if item.has_data][::-1]
        self._lock = threading.Lock()
        self._running: dict[int, Item] = {}
        self._done_bytes = 0
        self._began = clock.monotonic()
        self._rows_began = self._rows_ended = 0.0

    def hear(self, line: str) -> None:
        with self._lock:
            self._take(line)

    def running(self) -> tuple[int, list[Item]]:
        """The bytes that are done, and what is under way, the oldest first."""
        with self._lock:
            return self._done_bytes, list(self._running.values())

    def sections(self) -> dict[str, float]:
        """Seconds until the first rows began, until the last were in, and until now."""
        now = clock.monotonic()
        began = self._rows_began or now
        ended = self._rows_ended or began
        return {"pre-data": began - self._began, "data": ended - began, "post-data": now - ended}

    def _from_leader(self, line: str) -> None:
        if match := _LEADER.match(line):
            (self._begin if match[1] == "launching" else self._end)(int(match[2]))

    def _in_order(self, line: str) -> None:
        if match := _SERIAL.match(line):
            for number in list(self._running):
                self._end(number)
            if match[1] and self._to_come:
                self._begin(self._to_come.pop())

    def _begin(self, number: int) -> None:
        if item := self._items.get(number):
            self._running[number] = item
            if item.has_data:
                self._rows_began = self._rows_began or clock.monotonic()

    def _end(self, number: int) -> None:
        item = self._running.pop(number, None)
        if item and item.has_data:
            self._done_bytes += item.bytes
            self._rows_ended = clock.monotonic()
