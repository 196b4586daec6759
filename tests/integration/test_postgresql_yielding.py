"""A dump never holds a migration up: it stands back from who waits behind it, and waits for nobody for long."""

import contextlib
import os
import signal
import threading
import time
from datetime import timedelta

import psycopg
import pytest

from amanat.domain.errors import InterruptedRunError, YieldedError
from amanat.domain.model import Scope
from amanat.engines.postgresql.connection import session, target
from amanat.engines.postgresql.dumping.blocking import Yielding, yielding
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.cli import wait_for
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import clients_with, engine_for

AFTER = timedelta(seconds=0.6)
TABLES = """
CREATE TABLE big AS SELECT n AS id, repeat(md5(n::text), 40) AS body FROM generate_series(1, 10000) n;
CREATE TABLE aside (id integer);
"""
STUCK = 'sh -c \'echo $$ > "$0.pid"; exec "$real" "$@"\' {folder}/dump "$@" | {{ sleep {seconds}; cat; }}'
"""A pg_dump whose reader does not read for a while: it has its locks, and stands still in the middle of ``big``."""


class Stage:
    """A database, an engine whose pg_dump gets stuck for ``seconds`` (0: it does not), and who comes in its way."""

    def __init__(self, postgres, folder, *, user="postgres", seconds=30):
        self.postgres = postgres
        self.conninfo = postgres.database(sql=TABLES)
        self._folder = folder
        script = f"export real; {STUCK.format(folder=folder, seconds=seconds)}"
        clients = clients_with(folder / "bin", postgres.bin, pg_dump=script) if seconds else None
        self.engine = engine_for(postgres, {**self.conninfo, "user": user}, client=clients)

    def take(self, **order):
        order = make_order(self._folder, **{"yield_after": AFTER, "scope": Scope(exclude=("aside",)), **order})
        return self.engine.take(order, RunControl(timeout=timedelta(seconds=30)))

    def sessions(self, condition="true"):
        ours = f"datname = '{self.conninfo['dbname']}' AND application_name LIKE 'amanat-%'"
        return self.postgres.psql(f"SELECT pid FROM pg_stat_activity WHERE {ours} AND {condition}").split()

    def wait_until_it_reads(self):
        held = """SELECT 1 FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'amanat-%'
            AND locktype = 'relation' AND relation = 'big'::regclass AND granted AND query LIKE 'COPY%'"""
        wait_for("pg_dump reads", lambda: self.postgres.psql(held, self.conninfo["dbname"]))

    def migrate(self, statement, **options):
        """Seconds that a migration takes; ``options`` of its session."""
        with psycopg.connect(
            **self.conninfo, application_name="artisan migrate", autocommit=True, **options
        ) as other:
            began = time.monotonic()
            with contextlib.suppress(psycopg.errors.LockNotAvailable):
                other.execute(statement)
            return time.monotonic() - began

    def hang(self):
        os.kill(int((self._folder / "dump.pid").read_text()), signal.SIGSTOP)


@contextlib.contextmanager
def meanwhile(act):
    """``act`` goes on beside what is inside; its failure is the test's."""
    failures = []

    def run():
        try:
            act()
        except BaseException as exc:  # noqa: BLE001 - raised on below
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(30)
    for failure in failures:
        raise failure


def migration(stage, statement, *, before=lambda: None, **options):
    """Comes once the dump reads; what it took is in the list."""
    took = []

    def run():
        stage.wait_until_it_reads()
        before()
        took.append(stage.migrate(statement, **options))

    return took, run


@pytest.mark.parametrize("hangs", [False, True], ids=["pg_dump runs", "pg_dump hangs"])
@pytest.mark.parametrize("major", [14, 18], ids=["pg14", "pg18"])
def test_a_dump_stands_back_from_who_has_waited_too_long(postgres_workspace, tmp_path, major, hangs):
    """As a role that may not see what other roles' sessions do."""
    postgres = Postgres(postgres_workspace.server(major))
    role = postgres.role()
    stage = Stage(postgres, tmp_path, user=role)
    postgres.psql(f"GRANT SELECT ON big TO {role}", stage.conninfo["dbname"])
    took, migrate = migration(stage, "ALTER TABLE big ADD note text", before=stage.hang if hangs else lambda: None)
    with meanwhile(migrate), pytest.raises(YieldedError) as failure:
        stage.take()
    assert AFTER.total_seconds() <= took[0] < AFTER.total_seconds() + 1.5
    assert stage.sessions() == []
    assert "(artisan migrate, user postgres) had waited" in failure.value.message
    assert failure.value.message.endswith("a lock on public.big")
    assert failure.value.transient
    assert failure.value.hint
    postgres.psql(f"DROP OWNED BY {role}", stage.conninfo["dbname"])
    postgres.close()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("ALTER TABLE big ADD note text", "a lock on public.big"),
        ("CREATE INDEX CONCURRENTLY ON aside (id)", "the dump's transaction to end"),
    ],
)
def test_a_role_that_may_know_is_told_who_waited_and_with_what(postgres, tmp_path, statement, what):
    stage = Stage(postgres, tmp_path)
    _, migrate = migration(stage, statement)
    with meanwhile(migrate), pytest.raises(YieldedError) as failure:
        stage.take()
    assert f"(artisan migrate, user postgres, {statement}) had waited" in failure.value.message
    assert failure.value.message.endswith(what)


def test_all_who_read_at_once_stand_back(postgres, tmp_path):
    stage = Stage(postgres, tmp_path)
    took, migrate = migration(stage, "ALTER TABLE big ADD note text")
    with meanwhile(migrate), pytest.raises(YieldedError, match=r"public\.big"):
        stage.take(parallel=2, scope=Scope())
    assert took[0] < AFTER.total_seconds() + 1.5
    assert stage.sessions() == []


def test_nobody_who_waits_for_a_short_time_or_for_somebody_else_disturbs_a_dump(postgres, tmp_path):
    stage = Stage(postgres, tmp_path, seconds=2)
    given_up, short = migration(stage, "ALTER TABLE big ADD note text", options="-c lock_timeout=100ms")
    waited, other = migration(stage, "ALTER TABLE aside ADD note text")
    with psycopg.connect(**stage.conninfo) as somebody:
        somebody.execute("LOCK TABLE aside")
        with meanwhile(short), meanwhile(other):
            artefact = stage.take()
            somebody.rollback()
    assert given_up[0] < AFTER.total_seconds() < 1 < waited[0]
    assert artefact.facts.tables == ("public.big",)
    assert artefact.warnings == ()


def test_without_a_limit_nobody_watches(postgres, tmp_path):
    stage = Stage(postgres, tmp_path, seconds=1)
    seen = []

    def look():
        stage.wait_until_it_reads()
        seen.extend(stage.sessions())

    with meanwhile(look):
        stage.take(yield_after=None)
    assert len(seen) == 2  # who asks, and pg_dump


def test_a_watcher_that_is_lost_is_a_warning(postgres, tmp_path):
    stage = Stage(postgres, tmp_path, seconds=1)

    def end_it():
        watcher = wait_for("the watcher asks", lambda: stage.sessions("query LIKE '%waitstart%'"))
        postgres.psql(f"SELECT pg_terminate_backend({watcher[0]})")

    with meanwhile(end_it):
        artefact = stage.take()
    (warning,) = artefact.warnings
    assert warning.startswith("nobody watched whether others wait behind the dump's locks: ")
    assert "terminating connection" in warning


def test_a_watcher_that_gets_no_connection_is_a_warning(postgres, tmp_path):
    nowhere = target({**postgres.server.conninfo("nowhere")}, None, tmp_path)
    with yielding(nowhere, AFTER, RunControl()) as reins:
        time.sleep(0.3)
        reins.check()
    assert 'database "nowhere" does not exist' in reins.warnings[0]


def test_a_watcher_that_cannot_tell_whose_sessions_are_ours_is_a_warning(postgres, tmp_path):
    """As behind a connection pool that drops the name: to end others' sessions would be worse."""
    with yielding(target(postgres.database(), None, tmp_path), AFTER, RunControl()) as reins:
        time.sleep(0.5)
    assert "does not show the dump's sessions" in reins.warnings[0]


@pytest.mark.parametrize("counts", [(), ("big",)], ids=["pg_dump waits", "our question waits"])
def test_a_dump_that_waits_for_a_migration_stands_back_too(postgres, tmp_path, counts):
    stage = Stage(postgres, tmp_path, seconds=0)
    with psycopg.connect(**stage.conninfo) as somebody:
        somebody.execute("LOCK TABLE big")
        began = time.monotonic()
        with pytest.raises(YieldedError, match="big"):
            stage.take(counts=counts, yield_after=None)
        assert 2 <= time.monotonic() - began < 10
    assert stage.sessions() == []


def test_a_migration_that_comes_to_wait_for_us_while_we_wait_for_it_is_not_the_deadlocks_victim(
    postgres, tmp_path
):
    """It holds ``aside``, for which pg_dump waits, and then wants ``big``, which pg_dump has locked already."""
    stage = Stage(postgres, tmp_path, seconds=0)
    waiting = "wait_event_type = 'Lock'"

    def migrate():
        wait_for("pg_dump waits", lambda: stage.sessions(waiting))
        time.sleep(1.1)  # pg_dump's own check for deadlocks is over
        somebody.execute("ALTER TABLE big ADD note text")

    with psycopg.connect(**stage.conninfo) as somebody:
        somebody.execute("LOCK TABLE aside")
        with meanwhile(migrate), pytest.raises(YieldedError):
            stage.take(scope=Scope(), yield_after=timedelta(seconds=5))


def test_the_reins_end_a_pause_when_the_verdict_comes():
    reins = Yielding(RunControl())
    threading.Timer(0.2, lambda: setattr(reins, "verdict", YieldedError("somebody waits"))).start()
    began = time.monotonic()
    with pytest.raises(YieldedError):
        reins.wait(30)
    assert time.monotonic() - began < 2


def test_a_stop_goes_before_a_verdict(postgres, tmp_path):
    stop = threading.Event()
    reached = target(postgres.database(), None, tmp_path)
    control = RunControl(stop=stop)
    with session(reached, RunControl()), pytest.raises(InterruptedRunError):  # noqa: SIM117
        with yielding(reached, AFTER, control) as reins:
            reins.verdict = YieldedError("somebody waits")
            stop.set()
            reins.check()
