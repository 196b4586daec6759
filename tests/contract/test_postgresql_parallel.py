"""Several readers of one snapshot leave one archive, as good as that of one."""

import contextlib
import subprocess
import threading
import time
from datetime import timedelta

import psycopg
import pytest

from amanat.archive import DataState, header, toc
from amanat.archive.wire import Source
from amanat.domain.errors import TimeoutExceededError, ToolError
from amanat.domain.model import Scope
from amanat.engines.postgresql import PostgresqlProver
from amanat.engines.postgresql.dumping import parallel
from amanat.host.control import RunControl
from amanat.ports.engine import Order
from tests.contract.engine_contract import Recording, make_order
from tests.support.postgres import MAJORS
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import clients_with, engine_for, restored_rows

SQL = """
CREATE SCHEMA "other one";
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE answers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id int REFERENCES users,
    answer jsonb, length int GENERATED ALWAYS AS (length(answer::text)) STORED);
CREATE TABLE "other one"."we ""ird.\ntable" (id int, "ə" text);
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE parted_25 PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE parted_26 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE nothing (); CREATE TABLE empty (id int);
CREATE MATERIALIZED VIEW long_ones AS SELECT id FROM answers WHERE length > 30;
CREATE INDEX ON answers USING gin (answer);
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 2000) n;
INSERT INTO answers (user_id, answer) SELECT 1 + n % 2000, jsonb_build_object('n', n) FROM generate_series(1, 9000) n;
INSERT INTO "other one"."we ""ird.\ntable" SELECT n, E'\\\\\\t' || n FROM generate_series(1, 3000) n;
INSERT INTO parted SELECT n, date '2025-06-01' + n % 400 FROM generate_series(1, 3000) n;
SELECT lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex')) FROM generate_series(1, 3);
REFRESH MATERIALIZED VIEW long_ones;
"""
SLOW_OTHERS = 'case "$*" in *--section=data*) {what} ;; esac\nexec "$real" "$@"'


@pytest.fixture
def control():
    return RunControl(timeout=timedelta(seconds=60))


@pytest.fixture(autouse=True)
def every_table_is_worth_a_connection(monkeypatch):
    monkeypatch.setattr(parallel, "_WORTH_A_CONNECTION", 1)


def dump_of(postgres, dbname):
    """As text; what pg_dump puts there anew each time left out."""
    command = [postgres.bin / "pg_dump", *postgres.server.where, "-d", dbname]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


def offsets(path):
    """Of the data, in the order of the contents."""
    with path.open("rb") as file:
        source = Source(file, lambda: None)
        entries = toc.read(source, header.read(source).version)
    return [entry.data_offset for entry in entries if entry.data_state is DataState.AT_OFFSET]


@pytest.mark.parametrize("jobs", [1, 3])
@pytest.mark.parametrize("major", [MAJORS[0], 16, MAJORS[-1]])
def test_the_archive_is_that_of_one_reader(postgres_workspace, tmp_path, control, major, jobs):
    postgres = Postgres(postgres_workspace.server(major))
    database = postgres.database(sql=SQL)
    artefact = engine_for(postgres, database).take(make_order(tmp_path, parallel=3), control)
    again = postgres.database()["dbname"]
    restore = [postgres.bin / "pg_restore", "--exit-on-error", f"--jobs={jobs}", *postgres.server.where]
    subprocess.run([*restore, "-d", again, artefact.path], check=True, capture_output=True)
    assert dump_of(postgres, again) == dump_of(postgres, database["dbname"])
    assert offsets(artefact.path) == sorted(offsets(artefact.path))
    assert set(tmp_path.glob("staging/*")) == {artefact.path, *artefact.companions.values()}
    PostgresqlProver(extra_client_folders=(postgres.bin,)).prove_readable(
        artefact.path, artefact.facts, Scope(), control
    )
    postgres.close()


def test_rows_and_hashes_are_those_of_one_reader(postgres, tmp_path, control):
    database = postgres.database(sql=SQL)
    taken = []
    for count in (1, 2, 4):
        (base := tmp_path / str(count)).mkdir()
        facts = engine_for(postgres, database).take(make_order(base, parallel=count), control).facts
        taken.append((sorted(facts.rows, key=lambda table: table.name), facts.extra["large_objects"]))
    assert taken[0] == taken[1] == taken[2]
    assert len(taken[0][0]) == 7


def test_all_readers_see_one_instant(postgres, tmp_path, control):
    """A writer adds a pair of rows in each transaction; the others may begin later, and see no more of them."""
    database = postgres.database(sql="CREATE TABLE a (n int); CREATE TABLE b (n int);")
    done = threading.Event()

    def write():
        while not done.is_set():
            postgres.psql("BEGIN; INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); COMMIT", database["dbname"])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        late = clients_with(tmp_path / "late", postgres.bin, pg_dump=SLOW_OTHERS.format(what="sleep 0.7"))
        for number in range(3):
            (base := tmp_path / str(number)).mkdir()
            engine = engine_for(postgres, database, client=late)
            rows = engine.take(make_order(base, parallel=3), control).facts.rows
            assert len({table.rows for table in rows}) == 1
    finally:
        done.set()
        writer.join()


def test_a_part_of_the_database(postgres, tmp_path, control):
    database = postgres.database(sql=SQL)
    scope = Scope(tables=("users", "answers", "parted"), exclude_data=("parted_26",))
    artefact = engine_for(postgres, database).take(make_order(tmp_path, scope, parallel=4), control)
    rows = restored_rows(postgres, artefact)
    assert (rows["users"], rows["answers"]) == (2000, 9000)
    assert 0 < rows["parted_25"] == rows["parted"] < 3000


def test_progress_is_the_sum_of_all(postgres, tmp_path):
    control = Recording()
    artefact = engine_for(postgres, postgres.database(sql=SQL)).take(make_order(tmp_path, parallel=3), control)
    done = [progress.bytes_done for progress in control.told]
    assert done == sorted(done)
    assert done[-1] >= sum(table.bytes for table in artefact.facts.rows)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ('"$real" "$@" | head -c 9000; kill -KILL $$', "was killed by SIGKILL"),
        ('echo "pg_dump: error: no luck" >&2; exit 1', "no luck"),
    ],
    ids=["killed", "fails"],
)
def test_one_that_fails_fails_the_run(postgres, tmp_path, control, what, message):
    client = clients_with(tmp_path / "client", postgres.bin, pg_dump=SLOW_OTHERS.format(what=what))
    engine = engine_for(postgres, postgres.database(sql=SQL), client=client)
    with pytest.raises(ToolError, match=message):
        engine.take(make_order(tmp_path, parallel=3), control)


def test_one_that_hangs_ends_with_the_timeout(postgres, tmp_path):
    hanging = '"$real" "$@" | head -c 9000; exec sleep 60'
    client = clients_with(tmp_path / "client", postgres.bin, pg_dump=SLOW_OTHERS.format(what=hanging))
    engine = engine_for(postgres, postgres.database(sql=SQL), client=client)
    began = time.monotonic()
    with pytest.raises(TimeoutExceededError):
        engine.take(make_order(tmp_path, parallel=2), RunControl(timeout=timedelta(seconds=3)))
    assert time.monotonic() - began < 10


def test_one_that_writes_what_nobody_knows_falls_back(postgres, tmp_path, control):
    unknown = '"$real" "$@" | LC_ALL=C sed -b \'1s/^PGDMP\\x01./PGDMP\\x01\\x11/\'; exit'
    client = clients_with(tmp_path / "client", postgres.bin, pg_dump=SLOW_OTHERS.format(what=unknown))
    engine = engine_for(postgres, postgres.database(sql=SQL), client=client)
    artefact = engine.take(make_order(tmp_path, parallel=2), control)
    assert artefact.fallback
    assert restored_rows(postgres, artefact)["answers"] == 9000


def test_the_space_it_needs_meanwhile_is_told(postgres, tmp_path):
    engine = engine_for(postgres, postgres.server.conninfo("postgres"))
    orders = [Order(folder=tmp_path, scratch=tmp_path, parallel=count) for count in (1, 2)]
    assert [engine.staging_bytes(order, 100, 30) for order in orders] == [0, 30]


@pytest.fixture
def limited(postgres):
    """A database, and a role that may read it; a function lets each have so many connections."""
    database = postgres.database(sql=SQL)
    role = postgres.role()
    postgres.psql(f"ALTER DATABASE {database['dbname']} OWNER TO {role}; GRANT pg_read_all_data TO {role}")
    postgres.psql(f"ALTER ROLE {role} SET lo_compat_privileges = on")

    def engine(limit_of, limit):
        name = role if limit_of == "ROLE" else database["dbname"]
        postgres.psql(f"ALTER {limit_of} {name} CONNECTION LIMIT {limit}")
        return engine_for(postgres, {**database, "user": role})

    return engine


@pytest.mark.parametrize(
    ("limit_of", "said"),
    [("ROLE", "the role's CONNECTION LIMIT"), ("DATABASE", "the database's CONNECTION LIMIT")],
)
@pytest.mark.parametrize(
    ("limit", "readers"), [(3, "1 connection"), (4, "2 connections"), (5, None)], ids=["one", "two", "enough"]
)
def test_it_reads_over_as_many_connections_as_there_are(
    postgres, limited, tmp_path, control, limit_of, said, limit, readers
):
    order = make_order(tmp_path, globals=False, parallel=3, yield_after=timedelta(seconds=5))
    artefact = limited(limit_of, limit).take(order, control)
    shown = [f"{readers} instead of 3" in text and said in text for text in artefact.warnings]
    assert shown == ([True] if readers else [])
    assert restored_rows(postgres, artefact)["answers"] == 9000


def test_other_sessions_on_the_server_are_counted(postgres, limited, tmp_path, control):
    """Of 40, 3 are reserved for superusers; what these take of the others, a plain role can count too."""
    engine = limited("ROLE", -1)
    with contextlib.ExitStack() as stack:
        for _ in range(34):
            stack.enter_context(psycopg.connect(**postgres.server.conninfo("postgres")))
        artefact = engine.take(make_order(tmp_path, parallel=3), control)
    assert [text for text in artefact.warnings if "2 connections" in text and "max_connections" in text]
    assert restored_rows(postgres, artefact)["answers"] == 9000


def test_nothing_is_said_where_fewer_were_enough_anyway(limited, tmp_path, control, monkeypatch):
    monkeypatch.setattr(parallel, "_WORTH_A_CONNECTION", 2**30)
    assert not limited("ROLE", 2).take(make_order(tmp_path, globals=False, parallel=3), control).warnings
