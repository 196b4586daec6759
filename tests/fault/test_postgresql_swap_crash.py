"""Whatever becomes of the process that swaps, the live database's name is on the old one or on the new one, whole."""

import json
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from amanat.domain.errors import BusyError
from amanat.engines.postgresql.swapping import swap as swapping
from tests.support.cli import wait_for
from tests.support.postgres_swap import ON_BOTH_ENDS, connected, major, pair, postgres, writing
from tests.support.rehearsal_place import place

__all__ = ["major", "pair", "place", "postgres"]

SWAP = """
import json, os, pathlib, sys
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.engines.postgresql.swapping.swap import swap
from amanat.host.control import RunControl
from amanat.ports.engine import Place
parameters, incoming, outgoing, folder = json.loads(sys.argv[1])
place = Place(run="0123456789ab", folder=pathlib.Path(folder), scratch=pathlib.Path(folder), is_dead=lambda _: False)
swap(Server(parameters=parameters), incoming, outgoing, place, RunControl())
os.kill(os.getpid(), 9)
"""
LOCKED = """
SELECT count(*) FROM pg_locks WHERE locktype = 'object' AND classid = 'pg_database'::regclass
AND mode = 'AccessExclusiveLock' AND granted = {}
"""


def started(pair):
    arguments = json.dumps([pair.live, pair.beside, pair.before, str(pair.place.scratch)])
    return subprocess.Popen([sys.executable, "-c", SWAP, arguments], stderr=subprocess.DEVNULL)


def locks(pair, granted):
    return int(pair.postgres.psql(LOCKED.format(granted)))


def stopped_at(pair, name, held, number):
    """Within the swap, as it waits for a lock on ``name``, holding ``held`` already; ``number``: of the signal."""
    process = started(pair)
    wait_for("the swap", lambda: locks(pair, "false") == 1 and locks(pair, "true") == held, timeout=20)
    process.send_signal(number)
    return process


@pytest.mark.slow
@pytest.mark.parametrize("step", ["before the first rename", "between the two"])
@ON_BOTH_ENDS
def test_one_killed_before_its_commit_was_never_there(pair, step):
    name, held = (pair.name, 0) if step == "before the first rename" else (pair.beside, 1)
    with connected({**pair.live, "dbname": "postgres"}) as holder:
        holder.execute("BEGIN")
        holder.execute(f'COMMENT ON DATABASE "{name}" IS NULL')
        with writing(pair.live, 1):
            stopped_at(pair, name, held, signal.SIGKILL).wait()
            assert not pair.is_swapped()
        holder.execute("ROLLBACK")
    assert pair.is_unchanged()
    pair.swap()
    assert pair.content() == "-2" and pair.is_swapped()


def test_one_killed_after_its_commit_is_done(pair):
    assert started(pair).wait() == -signal.SIGKILL
    assert pair.is_swapped() and pair.content() == "-2"


def test_what_a_dead_process_sent_last_is_waited_for(pair):
    with connected({**pair.live, "dbname": "postgres"}) as other:
        other.execute("BEGIN")
        other.execute(f'ALTER DATABASE "{pair.name}" RENAME TO "{pair.before}"')
        other.execute(f'ALTER DATABASE "{pair.beside}" RENAME TO "{pair.name}"')
        timer = threading.Timer(1, lambda: other.execute("COMMIT"))
        timer.start()
        assert pair.is_swapped()
        timer.join()
    assert pair.content() == "-2"


def test_one_that_does_not_end_is_told(pair, monkeypatch):
    monkeypatch.setattr(swapping, "_ENDING_SECONDS", 0.3)
    with connected({**pair.live, "dbname": "postgres"}) as other:
        other.execute("BEGIN")
        other.execute(f'ALTER DATABASE "{pair.beside}" RENAME TO "{pair.before}"')
        with pytest.raises(BusyError, match="is being renamed by another session"):
            pair.is_swapped()


@pytest.mark.slow
def test_a_process_that_stands_still_in_the_middle_keeps_others_out_for_some_seconds_only(pair):
    with connected({**pair.live, "dbname": "postgres"}) as holder:
        holder.execute("BEGIN")
        holder.execute(f'COMMENT ON DATABASE "{pair.beside}" IS NULL')
        process = stopped_at(pair, pair.beside, 1, signal.SIGSTOP)
        holder.execute("ROLLBACK")
    began = time.monotonic()
    try:
        assert locks(pair, "true") == 2
        with psycopg.connect(**pair.live) as waited:
            assert waited.execute("SELECT min(n) FROM writes").fetchone() == (-1,)
        assert time.monotonic() - began < 10
    finally:
        process.send_signal(signal.SIGCONT)
    assert process.wait() == 1
    assert pair.is_unchanged()
