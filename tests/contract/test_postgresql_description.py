"""A database is described, restored by stock pg_restore, described again: equal; and each planted defect is named."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from amanat.domain.comparison import compare, content_of
from amanat.domain.manifest import Manifest, decode, encode
from amanat.domain.model import Scope
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support import archives, postgres_bank, postgres_rich
from tests.support.postgres_subject import engine_for
from tests.support.restored import compared, found, told
from tests.support.snapshots import snapshot

DEFECTS = {
    "DELETE FROM migrations WHERE batch = 1": ["rows of public.migrations: expected 3 rows with "],
    "UPDATE ONLY base SET note = 'y'": ["rows of public.base: expected 1 rows with "],
    "DROP INDEX institutions_late": [
        "comment on index public.institutions_late: missing",
        "index public.institutions.institutions_late: missing",
    ],
    "SELECT setval('institutions_id_seq', 7)": [
        "value of sequence public.institutions_id_seq: expected 51 as the next, found 8"
    ],
    "SELECT setval('\"ödəniş\".numbers', 4711, false)": ["value of sequence ödəniş.numbers: expected "],
    "ALTER TABLE institutions DROP CONSTRAINT named, ADD CONSTRAINT named CHECK (length(kind) > 1) NOT VALID": [
        "comment on table constraint named on public.institutions: missing",
        "constraint public.institutions.named: expected ",
    ],
    "CREATE OR REPLACE FUNCTION modern(a int) RETURNS int LANGUAGE sql IMMUTABLE RETURN a * 3": [
        "function public.modern(a integer): expected "
    ],
    "ALTER TABLE institutions DISABLE TRIGGER touched": ["trigger public.institutions.touched: expected "],
    "ALTER TABLE institutions ENABLE TRIGGER off": ["trigger public.institutions.off: expected "],
    "ALTER TABLE institutions ALTER late SET DEFAULT 8": [
        "column public.institutions.late: expected '17: integer"
    ],
    "DROP POLICY seen ON users": ["policy public.users.seen: missing"],
    "ALTER TABLE users DISABLE ROW LEVEL SECURITY": ["table public.users: expected "],
    "ALTER TYPE mood ADD VALUE 'new'": ["enum public.mood: expected "],
    "ALTER VIEW checked RENAME TO unchecked": [
        "access public.checked: missing",
        "access public.unchecked: unexpected",
        "view public.checked: missing",
        "view public.unchecked: unexpected",
    ],
    "DROP TABLE typed": ["access public.typed: missing", "table public.typed: missing"],
    "SELECT lo_put(70000, 0, 'small')": ["large objects: expected 2 with "],
    "COMMENT ON TABLE users IS NULL": ["comment on table public.users: missing"],
    "GRANT DELETE ON users TO pg_monitor": ["access public.users: expected "],
    "REFRESH MATERIALIZED VIEW later": ["materialized view public.later: expected "],
    "ALTER EXTENSION hstore SET SCHEMA public": [
        "extension hstore: expected '",
        "column public.institutions.tags: expected ",
    ],
}


@pytest.fixture
def rich(postgres, tmp_path):
    """PostgreSQL 15; what was taken, and where it was restored."""
    source = postgres.database(sql=postgres_rich.schema(15))
    artefact = engine_for(postgres, source).take(make_order(tmp_path), RunControl())
    copy = postgres.database()
    archives.restore(postgres, artefact.path, copy)
    return artefact, copy


def test_what_comes_back_compares_equal(postgres_matrix, tmp_path):
    require_equal(postgres_matrix, tmp_path, postgres_rich.schema(postgres_matrix.major))


@pytest.mark.parametrize("sql", [archives.AWKWARD, postgres_bank.SCHEMA], ids=["awkward", "bank"])
def test_odd_names_and_large_objects_compare_equal(postgres, tmp_path, sql):
    require_equal(postgres, tmp_path, sql)


def require_equal(postgres, tmp_path, sql):
    source, copy = postgres.database(sql=sql), postgres.database()
    artefact = engine_for(postgres, source).take(make_order(tmp_path), RunControl())
    archives.restore(postgres, artefact.path, copy)
    comparison = compared(copy, artefact, tmp_path)
    assert (told(comparison), comparison.not_compared) == ([], ())
    assert found(copy, artefact, tmp_path).description.fingerprint == artefact.facts.description.fingerprint


def test_each_planted_defect_is_named_and_nothing_else(postgres, rich, tmp_path):
    artefact, copy = rich
    for defect in DEFECTS:
        postgres.psql(defect, copy["dbname"])
    differences = told(compared(copy, artefact, tmp_path))
    expected = [start for starts in DEFECTS.values() for start in starts]
    unnamed = [start for start in expected if not any(line.startswith(start) for line in differences)]
    assert unnamed == []
    assert [line for line in differences if not line.startswith(tuple(expected))] == []


def test_what_only_an_edited_fact_can_show(rich, tmp_path):
    artefact, copy = rich
    expected, there = content_of(artefact.facts), found(copy, artefact, tmp_path)

    def differences(**changed):
        return told(compare(replace(expected, description=replace(expected.description, **changed)), there))

    assert differences() == []
    older = [
        replace(item, definition="1.0 in public") if item.name == "pg_trgm" else item
        for item in expected.description.objects
    ]
    (difference,) = differences(objects=tuple(older))
    assert difference.startswith("extension pg_trgm: expected '1.0 in public', found '1.")
    there = replace(there, description=replace(there.description, collations={"database": "2.31"}))
    (difference,) = differences(collations={"database": "2.28"})
    assert difference == "version of collation database: expected 2.28, found 2.31"


def test_owners_and_rights_count_only_where_they_were_restored(postgres, rich, tmp_path):
    artefact, copy = rich
    role = postgres.role()
    postgres.psql(f"ALTER TABLE users OWNER TO {role}", copy["dbname"])
    assert told(compared(copy, artefact, tmp_path, roles=False)) == []
    assert [line.split(":")[0] for line in told(compared(copy, artefact, tmp_path))] == [
        "access public.users",
        "access public.users_id_seq",
    ]
    postgres.psql("ALTER TABLE users OWNER TO postgres", copy["dbname"])


def test_a_database_with_a_zone_and_formats_of_its_own(postgres, tmp_path):
    source = postgres.database(
        sql="""CREATE TABLE seen (at timestamptz DEFAULT '2030-01-01 00:00+04', paid money, raw bytea) PARTITION BY RANGE (at);
        CREATE TABLE early PARTITION OF seen FOR VALUES FROM (MINVALUE) TO ('2027-05-01 00:00+04');
        INSERT INTO seen VALUES ('2026-05-01 10:00+04', 12.5, '\\x00ff');"""
    )
    for setting in ("timezone = 'Asia/Baku'", "bytea_output = 'escape'", "datestyle = 'German'"):
        postgres.psql(f'ALTER DATABASE "{source["dbname"]}" SET {setting}')
    artefact = engine_for(postgres, source).take(make_order(tmp_path), RunControl())
    copy = postgres.database()
    archives.restore(postgres, artefact.path, copy)
    assert told(compared(copy, artefact, tmp_path)) == []


@pytest.mark.parametrize(
    "scope",
    [
        Scope(exclude=("users",)),
        Scope(exclude=("institutions",)),
        Scope(exclude=("readings",)),
        Scope(exclude_data=("migrations", "base")),
        Scope(tables=("migrations", "base", "heir", "cache")),
    ],
    ids=str,
)
def test_a_part_is_described_as_it_comes_back(postgres, tmp_path, scope):
    source, copy = postgres.database(sql=postgres_rich.schema(15)), postgres.database()
    artefact = engine_for(postgres, source).take(make_order(tmp_path, scope), RunControl())
    archives.restore_by_recipe(postgres, artefact, copy)
    assert told(compared(copy, artefact, tmp_path)) == []
    assert artefact.facts.description.objects


def test_facts_of_the_server_and_the_last_migration(postgres, rich, tmp_path):
    artefact, _ = rich
    extra = artefact.facts.extra
    assert extra["migrations"] == [
        {"framework": "laravel", "table": "public.migrations", "count": 3, "name": "0003_x", "batch": "2"}
    ]
    assert extra["server"]["encoding"] == "UTF8"
    assert extra["server"]["locale"]["datcollate"] == "C"
    assert extra["server"]["in_recovery"] is False
    assert extra["server"]["wal_position"].count("/") == 1
    assert (
        extra["server"]["system_identifier"]
        == postgres.psql("SELECT system_identifier FROM pg_control_system()").strip()
    )


@pytest.mark.parametrize(
    ("sql", "fact"),
    [
        ("CREATE TABLE migrations (id int, name text)", None),
        ("CREATE TABLE migrations (migration json, batch point); INSERT INTO migrations VALUES ('1', '(1,2)')", None),
        ("CREATE TABLE migrations (migration text, batch int)", ("laravel", None, 0)),
        ("CREATE TABLE schema_migrations (version text, dirty bool)", None),
        ("CREATE TABLE schema_migrations (version text); INSERT INTO schema_migrations VALUES ('2'), ('10')", ("rails", "2", 2)),
        ("CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('ab12')", ("alembic", "ab12", 1)),
        (
            "CREATE TABLE django_migrations (id int, app text, name text, applied timestamptz); INSERT INTO django_migrations VALUES (1, 'auth', '0001', now()), (2, 'x', '0007', now())",
            ("django", "x.0007", 2),
        ),
        (
            "CREATE TABLE flyway_schema_history (installed_rank int, version text, script text, success bool); INSERT INTO flyway_schema_history VALUES (1, '1', 'V1.sql', true), (2, '2', 'V2.sql', false)",
            ("flyway", "V1.sql", 2),
        ),
    ],
)  # fmt: skip
def test_migrations_of_each_framework_and_tables_that_only_look_like_it(postgres, tmp_path, sql, fact):
    source = postgres.database(sql=f"CREATE TABLE other (id int); INSERT INTO other VALUES (1); {sql}")
    artefact = engine_for(postgres, source).take(make_order(tmp_path), RunControl())
    told_of = [(item["framework"], item["name"], item["count"]) for item in artefact.facts.extra["migrations"]]
    assert told_of == ([fact] if fact else [])
    assert next(table for table in artefact.facts.rows if table.name == "other").rows == 1


def test_a_role_that_may_only_read_tells_the_same(postgres, tmp_path):
    role = postgres.role()
    source = postgres.database(
        sql="""CREATE SCHEMA closed; CREATE TABLE closed.users (id serial PRIMARY KEY, name text DEFAULT lower('X'));
        CREATE VIEW closed.names AS SELECT name FROM closed.users; CREATE PROCEDURE closed.p() LANGUAGE sql AS 'SELECT 1';
        REVOKE ALL ON PROCEDURE closed.p() FROM PUBLIC; SELECT setval('closed.users_id_seq', 77);"""
    )
    postgres.psql(f"GRANT pg_read_all_data TO {role}")
    try:
        descriptions = []
        for number, user in enumerate((role, "postgres")):
            (tmp_path / str(number)).mkdir()
            order = make_order(tmp_path / str(number), globals=False)
            artefact = engine_for(postgres, {**source, "user": user}).take(order, RunControl())
            descriptions.append(artefact.facts.description)
    finally:
        postgres.psql(f"REVOKE pg_read_all_data FROM {role}")
    assert descriptions[0] == descriptions[1]
    assert descriptions[0].sequences == {"closed.users_id_seq": 78}


def test_the_description_survives_the_manifest(rich):
    artefact, _ = rich
    made = Manifest(
        snapshot=snapshot(datetime(2026, 1, 1, tzinfo=UTC), source_bytes=artefact.facts.source_bytes),
        facts=artefact.facts,
    )
    data = json.loads(json.dumps(encode(made)))
    assert decode(data, "atis/a.dump.manifest.json").facts == artefact.facts
    assert not [item for item in artefact.facts.description.objects if "secret" in item.definition]
    assert "secret" not in json.dumps(data)
