"""What only PostgreSQL has: partitions, odd names, extensions, foreign tables, roles, services, archive versions."""

from datetime import timedelta

import pytest

from amanat.domain.errors import ProofError, SourceError, ToolError
from amanat.domain.model import Facts, Scope
from amanat.engines.postgresql import PostgresqlProver
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.postgres_subject import clients_with, engine_for, restored_rows

PARTITIONED = """
CREATE TABLE measured (at date NOT NULL, value int) PARTITION BY RANGE (at);
CREATE TABLE measured_2025 PARTITION OF measured FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE measured_2026 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
  PARTITION BY RANGE (at);
CREATE TABLE late PARTITION OF measured_2026 DEFAULT;
CREATE TABLE other (id serial PRIMARY KEY);
INSERT INTO measured SELECT date '2025-06-01' + n, n FROM generate_series(1, 300) n;
INSERT INTO other SELECT FROM generate_series(1, 7);
"""
IN_2025, IN_2026 = 213, 87
ODD = [
    'quo"te',
    "new\nline",
    "Mixed Case",
    "$1",
    "sta*r?",
    "br[a]c",
    "back\\slash",
    "a.b",
    "DATA x",
    "ÅÇ",
    "--",
    "%s",
]


@pytest.fixture
def control():
    return RunControl(timeout=timedelta(seconds=60))


@pytest.fixture
def prover(postgres):
    return PostgresqlProver(extra_client_folders=(postgres.bin,))


def take(postgres, conninfo, base, control, scope=Scope(), **fields):  # noqa: B008 - frozen
    return engine_for(postgres, conninfo).take(make_order(base, scope, **fields), control)


@pytest.mark.parametrize(
    ("scope", "rows"),
    [
        (
            Scope(tables=("measured",)),
            {"measured": 300, "measured_2025": IN_2025, "measured_2026": IN_2026, "late": IN_2026},
        ),
        (Scope(exclude=("measured",)), {"other": 7}),
        (
            Scope(exclude=("other",), exclude_data=("measured_2026",)),
            {"measured": IN_2025, "measured_2025": IN_2025, "measured_2026": 0, "late": 0},
        ),
        (
            Scope(exclude_data=("public.measured",)),
            {"measured": 0, "measured_2025": 0, "measured_2026": 0, "late": 0, "other": 7},
        ),
    ],
    ids=["tables", "exclude", "data of one branch", "data of all"],
)
def test_a_partitioned_table_brings_its_partitions(postgres, prover, tmp_path, scope, rows):
    control = RunControl(timeout=timedelta(seconds=60))
    artefact = take(postgres, postgres.database(sql=PARTITIONED), tmp_path, control, scope)
    prover.prove_readable(artefact.path, artefact.facts, scope, control)
    assert restored_rows(postgres, artefact) == rows


def test_rows_of_a_partitioned_table_are_counted_once(postgres, control, tmp_path):
    artefact = take(postgres, postgres.database(sql=PARTITIONED), tmp_path, control, counts=("measured",))
    assert artefact.facts.counts == {"measured": 300}


def _odd_tables(schema):
    quoted = ['"' + name.replace('"', '""') + '"' for name in (*ODD, "stairs", "braced")]
    return f'CREATE SCHEMA "{schema}";' + "".join(
        f'CREATE TABLE "{schema}".{name} (id serial); INSERT INTO "{schema}".{name} DEFAULT VALUES;'
        for name in quoted
    )


def _literally(name):
    """As a pattern that only this name fits."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


@pytest.mark.parametrize("part", ["tables", "exclude", "exclude_data"])
def test_names_survive_whatever_is_in_them(postgres_matrix, control, tmp_path, part):
    """pg_dump has patterns of its own; ours must reach it as exactly the tables they mean."""
    database = postgres_matrix.database(sql=_odd_tables("we.ird DATA") + "CREATE TABLE plain ();")
    scope = Scope(**{part: tuple(_literally(name) for name in ODD)})
    artefact = take(postgres_matrix, database, tmp_path, control, scope)
    prover = PostgresqlProver(extra_client_folders=(postgres_matrix.bin,))
    prover.prove_readable(artefact.path, artefact.facts, scope, control)
    others = {"stairs": 1, "braced": 1, "plain": 0}
    expected = {
        "tables": dict.fromkeys(ODD, 1),
        "exclude": others,
        "exclude_data": {**others, **dict.fromkeys(ODD, 0)},
    }
    schema = 'CREATE SCHEMA "we.ird DATA"' if part == "tables" else ""
    assert restored_rows(postgres_matrix, artefact, before=schema) == {
        name.replace("\n", " "): rows for name, rows in expected[part].items()
    }


def test_a_schema_is_chosen_by_pattern_and_a_doubtful_count_is_refused(postgres, control, tmp_path):
    database = postgres.database(sql="CREATE SCHEMA old; CREATE TABLE old.users (); CREATE TABLE users ();")
    (tmp_path / "chosen").mkdir()
    artefact = take(postgres, database, tmp_path / "chosen", control, Scope(tables=("old.*",)))
    assert artefact.facts.tables == ("old.users",)
    with pytest.raises(SourceError, match=r"old\.users, public\.users"):
        take(postgres, database, tmp_path, control, counts=("users",))


def test_rows_that_an_extension_wants_dumped_are_no_surprise(postgres, prover, control, tmp_path):
    database = postgres.database(
        sql="CREATE EXTENSION citext; CREATE TABLE settings (k text); CREATE TABLE users ();"
        "ALTER EXTENSION citext ADD TABLE settings;"
        "UPDATE pg_extension SET extconfig = ARRAY['settings'::regclass], extcondition = ARRAY['']"
        " WHERE extname = 'citext'"
    )
    artefact = take(postgres, database, tmp_path, control)
    assert artefact.facts.tables == ("public.users",)
    prover.prove_readable(artefact.path, artefact.facts, Scope(), control)


def test_foreign_tables_are_kept_without_rows_and_that_is_said(postgres, prover, control, tmp_path):
    database = postgres.database(
        sql="CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw;"
        "CREATE FOREIGN TABLE remote (id int) SERVER far; CREATE TABLE users ()"
    )
    artefact = take(postgres, database, tmp_path, control)
    assert any("public.remote" in warning for warning in artefact.warnings)
    prover.prove_readable(artefact.path, artefact.facts, Scope(), control)


def test_an_empty_database_is_not_a_backup(postgres, control, tmp_path):
    with pytest.raises(SourceError, match="no table"):
        take(postgres, postgres.database(), tmp_path, control)


def test_globals_hold_roles_without_passwords(postgres, control, tmp_path):
    role = postgres.role("PASSWORD 'seCret-word'")
    artefact = take(postgres, postgres.database(sql="CREATE TABLE users ()"), tmp_path, control)
    text = artefact.companions[".globals.sql"].read_text()
    assert f"CREATE ROLE {role}" in text
    assert "PASSWORD" not in text


def test_globals_may_be_left_out(postgres, control, tmp_path):
    artefact = take(postgres, postgres.database(sql="CREATE TABLE users ()"), tmp_path, control, globals=False)
    assert artefact.companions == {}
    assert artefact.warnings == ()


def test_globals_refused_to_the_role_are_a_warning(postgres, prover, control, tmp_path):
    database = postgres.database(sql="CREATE TABLE users (); REVOKE SELECT ON pg_auth_members FROM PUBLIC")
    role = postgres.role()
    postgres.psql(f"GRANT SELECT ON users TO {role}", database["dbname"])
    artefact = take(postgres, {**database, "user": role}, tmp_path, control)
    postgres.psql(f"DROP OWNED BY {role}", database["dbname"])
    assert artefact.companions == {}
    assert any("pg_auth_members" in warning for warning in artefact.warnings)
    assert sorted(path.name for path in artefact.path.parent.iterdir()) == [artefact.path.name]
    assert ".globals.sql" not in "\n".join(prover.recipe("x.dump", artefact.facts))


def test_a_service_file_leads_to_the_database(postgres, control, tmp_path, monkeypatch):
    database = postgres.database(sql="CREATE TABLE users ()")
    lines = "".join(f"{key}={value}\n" for key, value in database.items())
    (tmp_path / "services").write_text(f"[atis]\n{lines}")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    artefact = take(postgres, {"service": "atis"}, tmp_path, control)
    assert artefact.facts.tables == ("public.users",)
    assert restored_rows(postgres, artefact) == {"users": 0}


def test_a_password_travels_by_file_alone(postgres_tcp, control, tmp_path):
    """The command lines of all processes are visible to every user of the host."""
    password = r"a:b\c 'd\" é"
    role = postgres_tcp.role("PASSWORD '" + password.replace("'", "''") + "' IN ROLE pg_read_all_data")
    database = postgres_tcp.database(sql="CREATE TABLE users (id int)")
    folder = clients_with(
        tmp_path / "bin", postgres_tcp.bin, pg_dump=f'echo "$@" > {tmp_path}/seen; exec "$real" "$@"'
    )
    engine = engine_for(
        postgres_tcp,
        postgres_tcp.server.tcp_conninfo(database["dbname"], role),
        client=folder,
        password=password,
    )
    order = make_order(tmp_path)
    assert engine.take(order, control).facts.tables == ("public.users",)
    seen = (tmp_path / "seen").read_text()
    assert role in seen
    assert password not in seen
    assert {path.stat().st_mode & 0o777 for path in order.scratch.iterdir()} == {0o600}


@pytest.mark.parametrize("position", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_a_flipped_bit_in_the_rows_is_found(postgres, prover, control, tmp_path, position):
    database = postgres.database(sql="CREATE TABLE t AS SELECT md5(n::text) FROM generate_series(1, 5000) n")
    artefact = take(postgres, database, tmp_path, control)
    content = bytearray(artefact.path.read_bytes())
    content[int(len(content) * position)] ^= 0x10
    artefact.path.write_bytes(content)
    with pytest.raises(ProofError, match="does not decode"):
        prover.prove_readable(artefact.path, artefact.facts, Scope(), control)


def test_surplus_tables_and_rows_are_named(postgres, prover, control, tmp_path):
    database = postgres.database(sql="CREATE TABLE users (); CREATE TABLE surveys ()")
    artefact = take(postgres, database, tmp_path, control)
    oids = artefact.facts.extra["table_oids"]
    fewer = {"table_oids": {"public.users": oids["public.users"]}, "data_oids": []}
    facts = Facts(engine_version="15", source_bytes=1, tables=("public.users",), extra=fewer)
    with pytest.raises(
        ProofError, match=rf"unexpected tables OID {oids['public.surveys']}.*rows of public\.users"
    ):
        prover.prove_readable(artefact.path, facts, Scope(), control)


def test_an_archive_newer_than_pg_restore_names_both_versions(postgres_workspace, postgres, control, tmp_path):
    newer = postgres_workspace.server(17).bin
    database = postgres.database(sql="CREATE TABLE users ()")
    artefact = engine_for(postgres, database, client=newer).take(make_order(tmp_path), control)
    assert artefact.archive_version == "1.16.0"
    with pytest.raises(ToolError, match=r"1\.16\.0.*pg_restore 15") as failure:
        PostgresqlProver(client=postgres.bin).prove_readable(artefact.path, artefact.facts, Scope(), control)
    assert "install" in failure.value.hint
