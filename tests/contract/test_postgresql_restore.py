"""Restore into an empty database, on the oldest and the newest server: what comes back, in which order, and what
is said when it does not.
"""

import io
import re
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from amanat.archive import DataState, header, toc
from amanat.archive.wire import Source
from amanat.domain.errors import (
    IntegrityError,
    InterruptedRunError,
    ProofError,
    RefusedError,
    SourceError,
    ToolError,
)
from amanat.domain.model import Facts, Scope
from amanat.engines.postgresql.clients import Client
from amanat.engines.postgresql.connection import session, target
from amanat.engines.postgresql.restoring import sessions
from amanat.engines.postgresql.restoring.restore import Restored, restore
from amanat.host.control import RunControl
from amanat.ports.engine import Artefact
from amanat.ports.run import Progress
from tests.contract.engine_contract import make_order
from tests.support import archives
from tests.support.archives import AWKWARD
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import clients_with, engine_for

NOTHING = Facts(engine_version="", source_bytes=0, tables=())
OLDEST_AND_NEWEST = pytest.mark.parametrize("postgres_matrix", [14, 18], indirect=True, ids=["pg14", "pg18"])
MANY = """
CREATE EXTENSION hstore;
CREATE TABLE tagged (id int PRIMARY KEY, tags hstore);
INSERT INTO tagged VALUES (1, 'a=>1');
CREATE SCHEMA many;
DO $$ BEGIN FOR n IN 1..200 LOOP
  EXECUTE format('CREATE TABLE many.t%s (id int PRIMARY KEY, other int REFERENCES tagged)', n);
  EXECUTE format('INSERT INTO many.t%s SELECT g, 1 FROM generate_series(1, %s) g', n, n);
END LOOP; END $$;
"""
# A row takes 2 ms to come in: its check sees to that. The source has no such check while it is filled.
SLOW = """
CREATE FUNCTION slowly(n int) RETURNS boolean LANGUAGE sql AS 'SELECT pg_sleep(0.002) IS NOT NULL';
CREATE TABLE slow (n int, filler text);
INSERT INTO slow SELECT n, repeat('x', 1000) FROM generate_series(1, 3000) n;
ALTER TABLE slow ADD CHECK (slowly(n)) NOT VALID;
UPDATE pg_constraint SET convalidated = true WHERE contype = 'c';
"""


class Scene:
    """One server: a source, an archive of it, and an empty database to restore into."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.postgres = postgres
        self.folder = folder
        self.told: list[Progress] = []
        self.client = Client(folder=postgres.bin, major=postgres.major)
        self.control = RunControl(timeout=timedelta(seconds=60), on_progress=self.told.append)

    def taken(self, sql: str, scope: Scope | None = None, **order: object) -> Artefact:
        self.source = self.postgres.database(sql=sql)
        return self.take(scope, **order)

    def take(self, scope: Scope | None = None, **order: object) -> Artefact:
        return engine_for(self.postgres, self.source).take(
            make_order(self.folder, scope or Scope(), **order), self.control
        )

    def restore(self, archive: Path, *, facts: Facts = NOTHING, jobs: int = 2, **more: object) -> Restored:
        self.copy = self.postgres.database()
        self.client = more.pop("client", self.client)
        reached = target({**self.copy, **more.pop("where", {})}, None, self.folder)
        return restore(self.client, archive, reached, facts=facts, jobs=jobs, control=self.control, **more)

    def ask(self, query: str) -> str:
        return self.postgres.psql(query, self.copy["dbname"])

    def sessions(self) -> str:
        query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{self.copy['dbname']}'"
        return self.postgres.psql(query)


@pytest.fixture
def scene(postgres, tmp_path):
    return Scene(postgres, tmp_path)


@pytest.fixture
def matrix_scene(postgres_matrix, tmp_path):
    return Scene(postgres_matrix, tmp_path)


@OLDEST_AND_NEWEST
@pytest.mark.parametrize("jobs", [1, 3])
def test_the_copy_is_the_source(matrix_scene, jobs):
    artefact = matrix_scene.taken(AWKWARD + MANY)
    restored = matrix_scene.restore(artefact.path, facts=artefact.facts, jobs=jobs)
    postgres = matrix_scene.postgres
    assert archives.script(postgres, matrix_scene.copy) == archives.script(postgres, matrix_scene.source)
    assert restored.warnings == ()
    expected = {table.name: table.rows for table in artefact.facts.rows}
    assert sorted(restored.tables.values()) == sorted(expected.values())
    assert (restored.tables["many.t200"], restored.tables["public.wide"]) == (200, 3000)
    assert set(restored.tables) == set(artefact.facts.extra["table_oids"]) - {"public.parted"}
    assert all(seconds > 0 for seconds in restored.sections.values())
    assert matrix_scene.sessions() == "0"
    total = sum(table.bytes for table in artefact.facts.rows)
    assert matrix_scene.told[-1].bytes_done == matrix_scene.told[-1].bytes_total >= total


def reordered(path: Path, order: Callable[[list[toc.Entry]], list[toc.Entry]]) -> None:
    """Put the rows into another order in the contents, and leave them where they are in the file."""
    source = Source(io.BytesIO(path.read_bytes()), lambda: None)
    front = header.read(source)
    at = source.position
    entries = toc.read(source, front.version)
    moved = iter(order([entry for entry in entries if entry.data_state is DataState.AT_OFFSET]))
    changed = [next(moved) if entry.data_state is DataState.AT_OFFSET else entry for entry in entries]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(toc.encoded(changed, front.version))


SIZES = (10, 20000, 500, 5000, 80000, 1, 40000)
BY_SIZE = ["t4", "t6", "t1", "t3", "t2", "t0", "t5"]


@OLDEST_AND_NEWEST
def test_the_largest_rows_come_first_whatever_the_order_of_the_contents(matrix_scene):
    """The stock tool alone goes wrong here, which shows what the list is for."""
    sql = "".join(
        f"CREATE TABLE t{n} AS SELECT md5(i::text) FROM generate_series(1, {size}) i;"
        for n, size in enumerate(SIZES)
    )
    archive = matrix_scene.taken(sql).path
    reordered(archive, lambda blocks: blocks[::-1])
    real, log = matrix_scene.postgres.bin, matrix_scene.folder / "log"
    talking = clients_with(matrix_scene.folder / "bin", real, pg_restore=f'exec "$real" "$@" 2> {log}')
    matrix_scene.restore(archive, client=Client(folder=talking, major=matrix_scene.postgres.major))
    launched = r"launching item \d+ TABLE DATA (\S+)"
    assert re.findall(launched, log.read_text()) == BY_SIZE
    alone = [real / "pg_restore", "-v", "-j2", *matrix_scene.postgres.server.where, "-d"]
    done = subprocess.run(
        [*alone, matrix_scene.postgres.database()["dbname"], archive], check=True, capture_output=True, text=True
    )
    assert sorted(re.findall(launched, done.stderr)) == sorted(BY_SIZE)
    assert re.findall(launched, done.stderr) != BY_SIZE


def test_an_archive_of_several_readers(scene, monkeypatch):
    monkeypatch.setattr("amanat.engines.postgresql.dumping.parallel._WORTH_A_CONNECTION", 1)
    artefact = scene.taken(AWKWARD, parallel=3)
    scene.restore(artefact.path, facts=artefact.facts)
    assert archives.script(scene.postgres, scene.copy) == archives.script(scene.postgres, scene.source)


@OLDEST_AND_NEWEST
def test_an_interrupt_leaves_nothing_at_work(matrix_scene):
    """And until then progress was told, by rows of the table that was under way."""
    artefact = matrix_scene.taken(SLOW)
    stop = threading.Event()

    def heard(progress: Progress) -> None:
        matrix_scene.told.append(progress)
        if progress.rows_done:
            stop.set()

    matrix_scene.control = RunControl(timeout=timedelta(seconds=60), stop=stop, on_progress=heard)
    with pytest.raises(InterruptedRunError):
        matrix_scene.restore(artefact.path, facts=artefact.facts)
    last = matrix_scene.told[-1]
    assert (last.table, last.rows_total) == ("public.slow", 3000)
    assert 0 < last.rows_done < 3000
    assert 0 < last.bytes_done < last.bytes_total
    assert not running(matrix_scene.copy["dbname"])
    deadline = time.monotonic() + 5
    while matrix_scene.sessions() != "0" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert matrix_scene.sessions() == "0"


def running(dbname: str) -> list[str]:
    """Command lines of clients at work on that database."""
    found = subprocess.run(["pgrep", "-fa", f"pg_restore.*{dbname}"], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_a_server_that_ends_the_sessions(scene):
    artefact = scene.taken(SLOW)

    def cut(progress: Progress) -> None:
        if progress.rows_done:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            scene.postgres.psql(f"{others} AND datname = '{scene.copy['dbname']}'")

    scene.control = RunControl(timeout=timedelta(seconds=60), on_progress=cut)
    with pytest.raises(SourceError, match="the server ended the connection") as failure:
        scene.restore(artefact.path, facts=artefact.facts)
    assert failure.value.transient
    assert not running(scene.copy["dbname"])


@pytest.mark.parametrize("jobs", [1, 2])
def test_rows_that_do_not_fit_are_named(scene, jobs):
    """A check that looks at another table: what was let in once is not let in again."""
    sql = """
    CREATE TABLE allowed (n int); INSERT INTO allowed VALUES (1);
    CREATE FUNCTION is_allowed(int) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM public.allowed WHERE n = $1)';
    CREATE TABLE "odd ""rows"" x" (n int CHECK (is_allowed(n))); INSERT INTO "odd ""rows"" x" VALUES (1);
    DELETE FROM allowed;
    """
    archive = scene.taken(sql).path
    with pytest.raises(ProofError, match=r'at TABLE DATA odd "rows" x .*violates check constraint') as failure:
        scene.restore(archive, jobs=jobs)
    assert "never right" in failure.value.hint
    assert scene.copy["dbname"] in str(failure.value)
    assert not running(scene.copy["dbname"])


def test_roles_that_are_not_there(scene):
    owner = scene.postgres.role()
    archive = scene.taken(f"CREATE TABLE t AS SELECT 1 AS n; ALTER TABLE t OWNER TO {owner}").path
    scene.postgres.psql(f"DROP DATABASE {scene.source['dbname']}; ALTER ROLE {owner} RENAME TO {owner}_gone")
    try:
        with pytest.raises(SourceError, match=rf'at TABLE t .*role "{owner}" does not exist') as failure:
            scene.restore(archive)
        assert "without owners" in failure.value.hint
        scene.restore(archive, owners=False)
        assert scene.ask("SELECT n FROM t") == "1"
    finally:
        scene.postgres.psql(f"ALTER ROLE {owner}_gone RENAME TO {owner}")


@OLDEST_AND_NEWEST
def test_grants_of_grantees_come_when_these_may_give_them(matrix_scene):
    """Among jobs the schema's USAGE, without which they may give nothing, could come after."""
    grantee, reader = matrix_scene.postgres.role(), matrix_scene.postgres.role()
    tables = "".join(
        f"CREATE TABLE inner.t{n} (id int); GRANT SELECT ON inner.t{n} TO {grantee} WITH GRANT OPTION;"
        f"SET SESSION AUTHORIZATION {grantee}; GRANT SELECT ON inner.t{n} TO {reader}; RESET SESSION AUTHORIZATION;"
        for n in range(20)
    )
    schema = f'CREATE SCHEMA "inner"; GRANT USAGE ON SCHEMA "inner" TO {grantee};'
    artefact = matrix_scene.taken(schema + tables.replace("inner.", '"inner".'))
    matrix_scene.restore(artefact.path, facts=artefact.facts, jobs=4)
    granted = "SELECT count(*) FROM pg_class, aclexplode(relacl) WHERE relname ~ '^t[0-9]+$'"
    assert (
        matrix_scene.ask(f"{granted} AND grantor = '{grantee}'::regrole AND grantee = '{reader}'::regrole") == "20"
    )


@OLDEST_AND_NEWEST
def test_an_ordinary_role_with_limits_of_its_own(matrix_scene):
    """One of two jobs is idle for longer than the role may be, while the other builds an index."""
    sql = """
    CREATE TABLE t AS SELECT n FROM generate_series(1, 4) n;
    CREATE FUNCTION doubled(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
      $$ BEGIN
        IF current_setting('application_name') ~ '^amanat' THEN
          PERFORM pg_sleep(0.2);
          IF current_setting('synchronous_commit') <> 'off' THEN RAISE 'each commit waits for the disk'; END IF;
        END IF;
        RETURN 2 * n;
      END $$;
    CREATE INDEX ON t (doubled(n));
    """
    artefact = matrix_scene.taken(sql)
    role = matrix_scene.postgres.role()
    for limit in ("default_transaction_read_only = on", "idle_session_timeout = 300", "synchronous_commit = on"):
        matrix_scene.postgres.psql(f"ALTER ROLE {role} SET {limit}")
    copy = matrix_scene.postgres.database()
    matrix_scene.postgres.psql(f"ALTER DATABASE {copy['dbname']} OWNER TO {role}")
    matrix_scene.postgres.psql(f"ALTER SCHEMA public OWNER TO {role}", copy["dbname"])
    reached = target({**copy, "user": role}, None, matrix_scene.folder)
    try:
        restore(
            matrix_scene.client,
            artefact.path,
            reached,
            facts=replace(artefact.facts, extra={"schemas": ["extra"]}),
            jobs=2,
            control=matrix_scene.control,
            owners=False,
        )
        assert matrix_scene.postgres.psql("SELECT count(*) FROM t", copy["dbname"]) == "4"
    finally:
        matrix_scene.postgres.psql(f"DROP DATABASE {copy['dbname']}")


@pytest.mark.parametrize(
    ("megabytes", "jobs", "chosen"), [(64_000, 2, "256MB"), (8_000, 4, "125MB"), (1_000, 2, None)]
)
def test_memory_for_indexes_is_a_share_of_the_machine_s(scene, monkeypatch, megabytes, jobs, chosen):
    monkeypatch.setattr(sessions, "_memory_megabytes", lambda: megabytes)
    with session(target(scene.postgres.database(), None, scene.folder), scene.control) as asked:
        assert sessions.chosen(asked, jobs).get("maintenance_work_mem") == chosen


LEADING_OUT = """
CREATE SCHEMA "odd schema";
CREATE TABLE users (id int PRIMARY KEY);
CREATE TABLE "odd schema".surveys (id int PRIMARY KEY, user_id int CONSTRAINT of_user REFERENCES users);
CREATE INDEX surveys_of_user ON "odd schema".surveys (user_id);
CREATE VIEW authors AS SELECT count(*) FROM users;
INSERT INTO users SELECT generate_series(1, 5);
INSERT INTO "odd schema".surveys SELECT n, n FROM generate_series(1, 5) n;
"""


@pytest.mark.parametrize(
    ("scope", "left_out"),
    [
        (Scope(tables=("surveys",)), ["of_user"]),
        (Scope(tables=("surveys", "users")), []),
        (Scope(exclude=("users",)), ["authors", "of_user"]),
        (Scope(exclude_data=("users",)), ["of_user"]),
    ],
    ids=["tables", "tables that are complete", "exclude", "exclude_data"],
)
def test_a_part_says_what_it_leaves_out(scene, scope, left_out):
    artefact = scene.taken(LEADING_OUT, scope)
    restored = scene.restore(artefact.path, facts=artefact.facts)
    assert scene.ask('SELECT count(*) FROM "odd schema".surveys') == "5"
    assert restored.tables["odd schema.surveys"] == 5
    assert scene.ask("SELECT count(*) FROM pg_indexes WHERE indexname = 'surveys_of_user'") == "1"
    named = {name for name in ("authors", "of_user") for warning in restored.warnings if name in warning}
    assert (sorted(named), len(restored.warnings)) == (left_out, len(left_out))


def test_a_part_whose_table_cannot_be_made(scene):
    sql = "CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE users AS SELECT 'glad'::mood"
    artefact = scene.taken(sql, Scope(tables=("users",)))
    with pytest.raises(SourceError, match=r"TABLE DATA users .*does not exist"):
        scene.restore(artefact.path, facts=artefact.facts)


def test_a_part_is_no_excuse_for_other_errors(scene):
    """What leads out is left out; an index that the server cannot build is a failure."""
    sql = """
    CREATE TABLE t AS SELECT 0 AS n;
    CREATE FUNCTION inverse(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
      $$ BEGIN IF current_setting('application_name') ~ '^amanat' THEN RETURN 1 / n; END IF; RETURN n; END $$;
    CREATE INDEX of_inverse ON t (inverse(n)); CREATE TABLE other (n int);
    """
    artefact = scene.taken(sql, Scope(exclude=("other",)))
    with pytest.raises(SourceError, match=r"INDEX of_inverse .*division by zero"):
        scene.restore(artefact.path, facts=artefact.facts)


def test_a_database_with_tables_is_refused(scene):
    archive = scene.taken("CREATE TABLE t AS SELECT 1 AS n").path
    full = target(scene.postgres.database(sql="CREATE TABLE precious (n int)"), None, scene.folder)
    with pytest.raises(RefusedError, match=r"public\.precious"):
        restore(scene.client, archive, full, facts=NOTHING, jobs=2, control=scene.control)


@pytest.mark.parametrize("jobs", [1, 2])
def test_damaged_archives(scene, jobs):
    archive = scene.taken("CREATE TABLE t AS SELECT md5(n::text) FROM generate_series(1, 50000) n").path
    content = archive.read_bytes()
    at = len(content) // 2
    for damaged in (
        content[:100],
        content[:at],
        content[:at] + b"\0" * 3000 + content[at + 3000 :],
        b"no archive",
    ):
        archive.write_bytes(damaged)
        with pytest.raises(IntegrityError) as failure:
            scene.restore(archive, jobs=jobs)
        assert "another snapshot" in failure.value.hint


def test_a_client_that_is_killed(scene):
    archive = scene.taken("CREATE TABLE t AS SELECT 1 AS n").path
    folder = clients_with(scene.folder / "bin", scene.postgres.bin, pg_restore="kill -9 $$")
    with pytest.raises(ToolError, match="was killed by SIGKILL"):
        scene.restore(archive, client=Client(folder=folder, major=15))


def test_an_archive_of_a_later_client(scene, postgres_workspace):
    archive = scene.taken("CREATE TABLE t AS SELECT 1 AS n").path
    content = bytearray(archive.read_bytes())
    content[6] = 99
    archive.write_bytes(content)
    with pytest.raises(ToolError, match=r"unsupported version \(1\.99\)"):
        scene.restore(archive)


def test_an_archive_that_only_pg_restore_knows(scene):
    """Nobody here reads its contents; it is restored all the same."""
    source = scene.postgres.database(sql="CREATE TABLE t AS SELECT 1 AS n")
    archive = scene.folder / "t.tar"
    archive.write_bytes(archives.dump(scene.postgres, source, "-Ft"))
    scene.restore(archive, jobs=1)
    assert scene.ask("SELECT n FROM t") == "1"


def test_all_of_it_is_on_the_disk_at_the_end(scene):
    """The sessions did not wait for it, so that a crash right after could lose the last indexes."""
    archive = scene.taken("CREATE TABLE t AS SELECT 1 AS n; CREATE INDEX ON t (n)").path
    scene.restore(archive)
    with psycopg.connect(**scene.copy) as asked:
        query = "SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn()"
        (unwritten,) = asked.execute(query).fetchone()
    assert unwritten < 500  # an index leaves 2 kB; the server itself notes some 50 bytes now and then
