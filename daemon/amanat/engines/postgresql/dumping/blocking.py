"""Whether others wait for a lock behind a dump while it runs; if so for too long, it stands back at once.

A dump's ACCESS SHARE locks hold up an ALTER TABLE, and that holds up every reader who comes after it. Who waits,
and since when, stands in pg_locks (``waitstart``: from 14 on), behind whom says pg_blocking_pids: any role may ask
both. From a plain role pg_stat_activity hides what other roles' sessions do and wait for (manual, "The Cumulative
Statistics System"), but neither their names nor their users.
"""

import contextlib
import textwrap
import threading
from collections.abc import Iterator
from datetime import timedelta

from psycopg.conninfo import conninfo_to_dict

from amanat.domain.errors import InterruptedRunError, SourceError, TimeoutExceededError, YieldedError
from amanat.domain.units import format_duration
from amanat.engines.postgresql.connection import Row, Session, Target, session
from amanat.engines.postgresql.symptoms import YIELD_HINT
from amanat.host import clock
from amanat.host.control import RunControl
from amanat.ports.run import Control, Progress

_PIECE_SECONDS = 0.1
_SLOWEST_SECONDS = 1.0
_SHOWN_OF_QUERY = 100
# All sessions of a dump, and the watcher's own, have one name that nobody else has: see connection.target.
_OURS = """
SELECT pid FROM pg_stat_activity
WHERE application_name = %s AND usename = session_user AND pid <> pg_backend_pid()
"""
# pg_blocking_pids stops all locking for a moment (manual), so it is asked about those alone who wait too long.
_WAITING = """
WITH waiting AS MATERIALIZED (
    SELECT pid, relation, clock_timestamp() - waitstart AS waited
    FROM pg_locks WHERE NOT granted AND clock_timestamp() - waitstart > %s)
SELECT pid, application_name, usename, query, relation::regclass::text, waited
FROM waiting LEFT JOIN pg_stat_activity USING (pid)
WHERE pg_blocking_pids(pid) && %s::int[]
ORDER BY waited DESC LIMIT 1
"""
_HIDDEN = "<insufficient privilege>"
_END = "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid"  # a role may end its own sessions


class Yielding:
    """Fulfils ``ports.Control``: the run's own reins, and YieldedError once somebody has waited too long."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self.verdict: YieldedError | None = None
        self.warnings: tuple[str, ...] = ()

    def check(self) -> None:
        self._control.check()
        if self.verdict:
            raise self.verdict

    def remaining(self) -> float:
        return self._control.remaining()

    def progress(self, progress: Progress) -> None:
        self._control.progress(progress)

    def wait(self, seconds: float) -> None:
        """In pieces: the verdict may come meanwhile."""
        until = clock.monotonic() + seconds
        while (left := until - clock.monotonic()) > 0:
            self._control.wait(min(left, _PIECE_SECONDS))
            self.check()


@contextlib.contextmanager
def yielding(reached: Target, after: timedelta | None, control: Control) -> Iterator[Yielding]:
    """The reins for what reads ``reached`` within; a session on it is open already, and outlasts this.

    When somebody has waited longer than ``after`` (None: no matter how long) behind any of its sessions, the
    server ends these, and what that breaks here becomes a YieldedError. A watcher that fails is a warning.
    """
    reins, over = Yielding(control), threading.Event()
    watcher = threading.Thread(target=_watch, args=(reached, after, reins, over), name="lock watcher", daemon=True)
    watcher.start()
    try:
        yield reins
    except (InterruptedRunError, TimeoutExceededError, YieldedError):
        raise
    except Exception as exc:
        if reins.verdict:
            raise reins.verdict from exc
        raise
    finally:
        over.set()
        watcher.join()


def _watch(reached: Target, after: timedelta | None, reins: Yielding, over: threading.Event) -> None:
    if after is None:
        return
    control = RunControl(stop=over)
    try:
        with session(reached, control) as asked:
            _attend(asked, reached, after, reins, control)
    except InterruptedRunError:
        pass  # the dump has ended
    except YieldedError as exc:
        reins.verdict = exc  # somebody has the catalog to himself, or waits for that
    except Exception as exc:  # noqa: BLE001 - whatever it is, the dump goes on
        reins.warnings = (f"nobody watched whether others wait behind the dump's locks: {exc}",)


def _attend(asked: Session, reached: Target, after: timedelta, reins: Yielding, control: Control) -> None:
    name = conninfo_to_dict(reached.conninfo)["application_name"]
    pause = min(max(after.total_seconds() / 10, _PIECE_SECONDS), _SLOWEST_SECONDS)
    while not reins.verdict:
        control.wait(pause)
        ours = [pid for (pid,) in asked.ask(_OURS, [name])]
        if not ours:
            raise SourceError("the server does not show the dump's sessions under their name")
        for row in asked.ask(_WAITING, [after, ours]):
            reins.verdict = _verdict(reached, row)
            asked.ask(_END, [ours])


def _verdict(reached: Target, row: Row) -> YieldedError:
    """Without a relation, it waits for our transaction to end, as CREATE INDEX CONCURRENTLY does."""
    pid, name, user, query, relation, waited = row
    text = "" if query == _HIDDEN else textwrap.shorten(query or "", _SHOWN_OF_QUERY)
    known = ", ".join(filter(None, (name, f"user {user}" if user else "", text)))
    what = f"a lock on {relation}" if relation else "the dump's transaction to end"
    return YieldedError(
        f"the dump of {reached.label} stood back: session {pid} ({known or 'unknown'}) had waited"
        f" {format_duration(waited)} for {what}",
        hint=YIELD_HINT,
        transient=True,
    )
