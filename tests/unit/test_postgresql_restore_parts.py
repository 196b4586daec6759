"""The pure parts of a restore: the list, the steps, what errors mean, the settings."""

import pytest

from amanat.archive import DataState, Entry, Section
from amanat.domain.errors import IntegrityError, SourceError, SpaceError, ToolError
from amanat.domain.model import Facts, TableRows
from amanat.engines.postgresql.connection import Target
from amanat.engines.postgresql.restoring import order, sessions
from amanat.engines.postgresql.restoring.failure import Complaints, judged
from amanat.engines.postgresql.restoring.order import Item
from amanat.engines.postgresql.restoring.passes import Pass
from amanat.engines.postgresql.restoring.steps import Steps
from amanat.host.process import Finished

TARGET = Target(conninfo="dbname=copy", label="PostgreSQL database copy")


def entry(number, kind, name, *, at=0, section=Section.DATA, schema="public", oid=0):
    return Entry(
        dump_id=number,
        has_data=bool(at),
        catalog=0,
        oid=oid,
        name=name,
        kind=kind,
        section=section,
        definition=None,
        drop=None,
        copy=None,
        schema=schema,
        tablespace=None,
        access_method=None,
        relkind="",
        owner=None,
        dependencies=(),
        data_state=DataState.AT_OFFSET if at else DataState.NONE,
        data_offset=at,
    )


CONTENTS = [
    entry(1, "TABLE", "a", section=Section.PRE_DATA),
    entry(2, "COMMENT", "TABLE a", section=Section.NONE),
    entry(9, "TABLE DATA", "late", at=700, oid=90),
    entry(3, "TABLE DATA", "a", at=100),
    entry(4, "SEQUENCE SET", "a_id_seq"),
    entry(5, "BLOBS", "BLOBS", at=300),
    entry(6, "INDEX", "i\n7; forged", section=Section.POST_DATA),
]


def test_the_list_has_the_rows_in_the_order_of_the_file():
    assert order.use_list(CONTENTS).split(";\n") == ["1", "2", "3", "5", "4", "9", "6", ""]


def test_sizes_are_those_of_the_facts_or_of_the_archive():
    rows = (TableRows(schema="public", name="lätе", rows=5, bytes=5000, sha256=""),)
    facts = Facts(
        engine_version="", source_bytes=0, tables=(), rows=rows, extra={"table_oids": {"public.lätе": 90}}
    )
    items = order.items(CONTENTS, facts, 1000)
    assert {number: item.bytes for number, item in items.items() if item.has_data} == {3: 200, 5: 400, 9: 5000}
    assert (items[9].table, items[3].table, items[5].table) == ("public.lätе", "public.a", "")


ITEMS = {
    1: Item(label="TABLE a", has_data=False),
    2: Item(label="rows of a", has_data=True, bytes=10, table="a"),
    3: Item(label="rows of b", has_data=True, bytes=5, table="b"),
    4: Item(label="INDEX i", has_data=False),
}


def test_steps_of_jobs_go_by_numbers():
    steps = Steps(ITEMS, jobs=2)
    for line in (
        'pg_restore: creating TABLE "public.a"',
        "pg_restore: launching item 2 TABLE DATA a",
        "pg_restore: pg_restore: launching item 3 TABLE DATA b",  # a worker began a line before
        'pg_restore: processing data for table "public.finished item 2 x"',
        "pg_restore: finished item 3 TABLE DATA b",
        "pg_restore: launching item 77 unheard of",
    ):
        steps.hear(line)
    assert steps.running() == (5, [ITEMS[2]])
    steps.hear("pg_restore: finished item 2 TABLE DATA a")
    steps.hear("pg_restore: launching item 4 INDEX i")
    assert steps.running() == (15, [ITEMS[4]])


def test_steps_without_jobs_go_by_the_order():
    steps = Steps(ITEMS, jobs=1)
    steps.hear('pg_restore: creating TABLE "public.a"')
    assert steps.running() == (0, [])
    steps.hear('pg_restore: processing data for table "public.a"')
    assert steps.running() == (0, [ITEMS[2]])
    steps.hear('pg_restore: processing data for table "public.b')
    steps.hear('with a line"')
    assert steps.running() == (10, [ITEMS[3]])
    steps.hear("pg_restore: executing SEQUENCE SET a_id_seq")
    assert steps.running() == (15, [])


def heard(text):
    complaints = Complaints()
    for line in text.splitlines():
        complaints.hear(line)
    return complaints.all()


def ended(stderr, returncode=1):
    return Finished(argv=("pg_restore",), returncode=returncode, stdout="", stderr=stderr)


def test_a_worker_speaks_before_its_leader():
    found = heard(
        "pg_restore: from TOC entry 5; 0 7 TABLE DATA users me\n"
        'pg_restore: error: COPY failed for table "users": ERROR:  duplicate key\n'
        "DETAIL:  Key (id)=(1)\n"
        "pg_restore: launching item 6 INDEX i\n"
        "not of the error\n"
        "pg_restore: error: a worker process died unexpectedly\n"
    )
    assert [str(one) for one in found] == [
        'at TABLE DATA users me: COPY failed for table "users": ERROR: duplicate key DETAIL: Key (id)=(1)'
    ]
    assert len(heard("pg_restore: error: a worker process died unexpectedly")) == 1


LOST = 'pg_restore: error: could not execute query: ERROR:  relation "users" does not exist'
WENT_ON = "pg_restore: warning: errors ignored on restore: 1"


def test_a_lenient_pass_that_stopped_is_no_success():
    lenient = Pass(section="post-data", strict=False)
    assert len(judged(ended(WENT_ON), lenient, heard(LOST), TARGET)) == 1
    no_database = 'pg_restore: error: connection failed: FATAL:  database "copy" does not exist'
    for stderr, code, said in ((LOST, 1, LOST), (WENT_ON, -9, LOST), (no_database, 1, no_database), ("", 1, "")):
        with pytest.raises((SourceError, ToolError)):
            judged(ended(stderr, code), lenient, heard(said), TARGET)
    with pytest.raises(SourceError):
        judged(ended(WENT_ON), Pass(), heard(LOST), TARGET)


@pytest.mark.parametrize(
    ("said", "kind", "hint", "transient"),
    [
        ('could not execute query: ERROR:  role "app" does not exist', SourceError, "globals", False),
        ('ERROR:  could not open extension control file "/x": No such file', SourceError, "extension", False),
        ('ERROR:  extension "postgis" is not available', SourceError, "extension", False),
        ('ERROR:  could not extend file "base/1": No space left on device', SpaceError, "room", False),
        ("ERROR:  permission denied to create extension", SourceError, "superuser", False),
        ('connection to server at "x" failed: Connection refused', SourceError, "runs there", True),
        ("could not uncompress data: invalid block type", IntegrityError, "another snapshot", False),
        ('ERROR:  invalid input: "could not uncompress"', SourceError, "server's log", False),
        ("unsupported version (1.16) in file header", ToolError, "client as new", False),
        ("a worker process died unexpectedly", ToolError, "memory", False),
    ],
)
def test_what_failures_mean(said, kind, hint, transient):
    with pytest.raises(kind) as failure:
        judged(ended(""), Pass(), heard(f"pg_restore: error: {said}"), TARGET)
    assert hint in failure.value.hint
    assert failure.value.transient is transient
    assert "PostgreSQL database copy" in failure.value.message


def test_own_options_of_the_user_win():
    plain = Target(conninfo="dbname=x options='-c role=app'", label="x")
    own = sessions.with_settings({"synchronous_commit": "off"}, plain, "-c role=app")
    assert "options='-c synchronous_commit=off -c role=app'" in own.conninfo
