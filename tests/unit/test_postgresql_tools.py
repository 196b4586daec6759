"""The pure parts of the PostgreSQL engine: which client, which words, what a failure means."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from amanat.domain.errors import (
    ConfigurationError,
    ProofError,
    SourceError,
    SpaceError,
    StoreError,
    ToolError,
    YieldedError,
)
from amanat.domain.model import Facts, Scope
from amanat.domain.scope import Table, select
from amanat.engines.postgresql import proof
from amanat.engines.postgresql.access import require_readable
from amanat.engines.postgresql.archive import Contents, archive_version, contents
from amanat.engines.postgresql.catalog import Catalog, NumberSequence, Relation
from amanat.engines.postgresql.clients import Client, Places, choose
from amanat.engines.postgresql.connection import Target, pgpass_line, target
from amanat.engines.postgresql.dumping import dump
from amanat.engines.postgresql.symptoms import source_error
from amanat.host.process import Finished

TARGET = Target(conninfo="host=/run dbname=atis", label="PostgreSQL database atis")


def client(major, minor=0):
    return Client(folder=Path(f"/{major}.{minor}"), major=major, minor=minor)


@pytest.mark.parametrize(
    ("there", "server", "chosen"),
    [
        ([(15, 3), (15, 12), (17, 1)], 15, (15, 12)),
        ([(14, 9), (17, 1), (18, 0), (17, 4)], 15, (17, 4)),
        ([(18, 0)], 14, (18, 0)),
    ],
    ids=["own major, newest minor", "nearest above", "the only one"],
)
def test_the_client_that_fits(there, server, chosen):
    best = choose([client(*version) for version in there], server)
    assert (best.major, best.minor) == chosen


def test_no_client_fits():
    with pytest.raises(ToolError, match=r"PostgreSQL 16.*14\.9 in /14\.9, 15\.2 in /15\.2") as failure:
        choose([client(14, 9), client(15, 2)], 16)
    assert "postgresql-client-16" in failure.value.hint
    with pytest.raises(ToolError, match="no pg_dump on this machine"):
        choose([], 16)


def test_an_override_is_the_only_place(tmp_path):
    assert Places(override=tmp_path, extra=(Path("/x"),)).folders() == (tmp_path,)
    assert Places(extra=(tmp_path,)).folders()[0] == tmp_path


def test_command_line_of_a_whole_dump():
    tables = [Table(schema="public", name="users"), Table(schema="public", name="jobs")]
    selection = select(Scope(exclude=("jobs",)), tables)
    options = dump.selecting(Scope(exclude=("jobs",)), selection, tables)
    client = Client(folder=Path("/bin"), major=15)
    assert dump.Command(client=client, target=TARGET, snapshot="0-1", selection=options).argv == [
        Path("/bin/pg_dump"),
        "--format=custom",
        "--no-password",
        "--verbose",
        "--snapshot=0-1",
        "--lock-wait-timeout=2s",
        "--dbname=host=/run dbname=atis",
        '--exclude-table="public"."jobs"',
    ]


def test_quoting_leaves_nothing_special():
    assert dump.quoted("we.ird", 'a"*b?') == '"we.ird"."a""*b?"'


@pytest.mark.parametrize(
    ("password", "line"),
    [("plain", "*:*:*:*:plain\n"), (r"a:b\c", "*:*:*:*:a\\:b\\\\c\n"), ("", "*:*:*:*:\n")],
)
def test_pgpass_line(password, line):
    assert pgpass_line(password) == line


def test_a_password_that_pgpass_cannot_carry():
    with pytest.raises(ConfigurationError, match="line break") as failure:
        pgpass_line("sec\nret")
    assert "sec" not in failure.value.message


def test_a_password_is_in_a_private_file_and_nowhere_else(tmp_path):
    reached = target({"host": "db", "dbname": "atis"}, "s3cret", tmp_path)
    assert "s3cret" not in repr(reached) + reached.conninfo
    assert (tmp_path / "pgpass").stat().st_mode & 0o777 == 0o600
    assert "connect_timeout=15" in reached.conninfo
    assert "application_name=amanat" in reached.conninfo


def test_parameters_win_over_our_defaults_and_wrong_ones_are_named(tmp_path):
    assert "connect_timeout=3" in target({"connect_timeout": "3"}, None, tmp_path).conninfo
    with pytest.raises(ConfigurationError, match="sslmoed"):
        target({"sslmoed": "require"}, None, tmp_path)


@pytest.mark.parametrize(
    ("text", "transient"),
    [
        ('connection to server on socket "/x/.s.PGSQL.5432" failed: No such file or directory', True),
        ("connection refused", True),
        ("FATAL:  the database system is starting up", True),
        ("FATAL:  sorry, too many clients already", True),
        ("server closed the connection unexpectedly", True),
        ("terminating connection due to administrator command", True),
        ("canceling statement due to lock timeout", True),
        ('FATAL:  password authentication failed for user "amanat"', False),
        ("fe_sendauth: no password supplied", False),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', False),
        ('FATAL:  role "amanat" is not permitted to log in', False),
        ("ERROR:  permission denied for table users", False),
        ("something never seen", False),
    ],
)
def test_which_failures_are_worth_another_try(text, transient):
    error = source_error("it", text)
    assert error.transient is transient
    assert error.hint


def test_a_wrong_password_names_no_file_of_ours():
    """libpq's words where a passfile was given; one that the connection names itself stays."""
    said = 'FATAL:  password authentication failed for user "a"\npassword retrieved from file "{}"'
    ours = source_error("it", said.format("/var/lib/amanat/scratch/x/pgpass"), "28P01")
    assert ours.message == 'it: FATAL: password authentication failed for user "a"'
    assert "policy file" in ours.hint
    assert ".env" in ours.hint
    assert "/etc/atis/.pgpass" in source_error("it", said.format("/etc/atis/.pgpass")).message


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("canceling statement due to lock timeout", "55P03"),
        ("Zeitüberschreitung", "55P03"),
        ("deadlock detected", "40P01"),
        ("pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout", None),
        ('pg_dump: error: could not obtain lock on relation "public.users"', None),
    ],
)
def test_a_lock_of_somebody_else_is_stood_back_from(text, state):
    error = source_error("it", text, state)
    assert type(error) is YieldedError
    assert error.transient
    assert error.hint


def test_what_a_standby_cancels_is_a_failure_since_it_may_well_do_so_each_time():
    said = "canceling statement due to conflict with recovery"
    assert type(source_error("it", said, "40001")) is type(source_error("it", said)) is SourceError


def test_a_statement_that_names_all_tables_is_not_shown_whole():
    said = f"query failed; Query was: LOCK TABLE {', '.join(f'public.t{n}' for n in range(5000))}"
    assert len(source_error("it", said).message) < 700


@pytest.mark.parametrize(
    ("text", "state"), [("could not extend file: No space left on device", None), ("Platte voll", "53100")]
)
def test_a_full_disk_of_the_server(text, state):
    error = source_error("it", text, state)
    assert (type(error), error.transient) == (SpaceError, False)
    assert "database server" in error.hint


@pytest.mark.parametrize(
    ("said", "shown"),
    [("backup", "backup"), ("x" * 70, "x" * 50), ("yedək nüsxə", "yed?k n?sx?")],
    ids=["short", "long", "not ASCII"],
)
def test_the_sessions_of_each_target_have_a_name_that_the_server_keeps_as_it_is(tmp_path, said, shown):
    one, other = (
        conninfo_to_dict(target({"application_name": said}, None, tmp_path).conninfo)["application_name"]
        for _ in range(2)
    )
    assert one.rpartition("-")[0] == shown
    assert len(one) < 64
    assert one != other


@pytest.mark.parametrize(("state", "transient"), [("57P03", True), ("08006", True), ("28P01", False)])
def test_states_tell_where_the_text_is_in_another_language(state, transient):
    assert source_error("es", "Fehler", state).transient is transient


@pytest.mark.parametrize(
    ("code", "stderr", "kind"),
    [
        (1, "pg_dump: error: could not write to output file: No space left on device", SpaceError),
        (1, 'pg_dump: error: could not open output file "/s/x": Permission denied', StoreError),
        (1, "pg_dump: error: query failed: ERROR:  could not extend file: No space left on device", SpaceError),
        (1, "pg_dump: error: query failed: ERROR:  permission denied for sequence a", SourceError),
        (1, "pg_dump: error: query failed: server closed the connection unexpectedly", SourceError),
        (-9, "pg_dump: reading schemas", ToolError),
        (1, "", ToolError),
    ],
)
def test_what_a_failure_of_pg_dump_means(code, stderr, kind):
    error = dump.failure(Finished(argv=("/x/pg_dump",), returncode=code, stdout="", stderr=stderr), TARGET)
    assert type(error) is kind
    assert "pg_dump of PostgreSQL database atis" in error.message
    assert error.hint


def test_the_error_is_found_among_verbose_lines():
    stderr = (
        "pg_dump: reading schemas\npg_dump: error: query failed: ERROR:  gone\npg_dump: detail: Query was: X\n"
    )
    assert dump.complaint(stderr) == "pg_dump: error: query failed: ERROR: gone; pg_dump: detail: Query was: X"
    assert dump.complaint("one\ntwo\n") == "one; two"


def test_contents_are_read_by_oid_not_by_name():
    listing = (
        ";\n; Archive created at 2026-11-23\n;\n"
        "215; 1259 16386 TABLE public users postgres\n"
        "216; 1259 16390 VIEW public TABLE postgres\n"
        "217; 1259 16391 FOREIGN TABLE public remote postgres\n"
        "218; 1259 16392 TABLE DATA users postgres\n"  # the table "users" of the schema "DATA"
        "3345; 0 16386 TABLE DATA public users postgres\n"
        "3346; 0 0 TABLE ATTACH public part postgres\n"
        "3347; 0 16400 COMMENT public TABLE users postgres\n"
    )
    there = contents(listing)
    assert there.tables == {16386, 16391, 16392}
    assert there.data == {16386}


def test_an_archive_tells_its_version(tmp_path):
    file = tmp_path / "x.dump"
    file.write_bytes(b"PGDMP\x01\x0e\x00rest")
    assert archive_version(file) == "1.14.0"
    for content in (b"", b"PGDM", b"-- plain SQL text"):
        file.write_bytes(content)
        with pytest.raises(ProofError, match=r"x\.dump"):
            archive_version(file)


USERS = Relation(oid=1, table=Table(schema="s", name="users"))


@pytest.mark.parametrize(
    ("scope", "sequence", "needed"),
    [
        (Scope(), {}, True),
        (Scope(tables=("users",)), {}, False),
        (Scope(tables=("users",)), {"owner": 1}, True),
        (Scope(exclude=("other",)), {"owner": 2}, True),
        (Scope(exclude=("other",)), {"owner": 2, "is_identity": True}, False),
    ],
    ids=["free", "free, tables", "of a table taken", "serial of one left out", "identity of one left out"],
)
def test_which_sequences_the_role_must_read(scope, sequence, needed):
    """As pg_dump 14 to 18 do."""
    other = Relation(oid=2, table=Table(schema="s", name="other"))
    unreadable = NumberSequence(name=Table(schema="s", name="seq"), readable=False, **sequence)
    known = Catalog(role="amanat", relations=(USERS, other), sequences=(unreadable,))
    with pytest.raises(SourceError, match=r"s\.seq") if needed else nullcontext():
        require_readable(known, scope, select(scope, known.tables))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"table_oids": {}},
        {"table_oids": [16400]},
        {"table_oids": {"public.users": "16400"}},
        {"table_oids": {"public.users": None}},
        {"table_oids": {"public.users": 16400}, "data_oids": [[]]},
        {"table_oids": {"public.users": 16400}, "data_oids": "16400"},
        {"table_oids": {"public.users": 16400}, "data_oids": [16400], "extension_data_oids": [True]},
    ],
    ids=str,
)
def test_facts_of_an_edited_manifest_prove_nothing(extra):
    facts = Facts(engine_version="15", source_bytes=1, tables=("public.users",), extra=extra)
    there = Contents(tables=frozenset({16400}), data=frozenset({16400}))
    with pytest.raises(ProofError, match="OIDs"):
        proof._compare(Path("a.dump"), there, facts)
