"""Who may change the schema of a PostgreSQL database in which Amanat enforces passes: asked by the stock psql."""

import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from amanat.domain.errors import NotFoundError, RefusedError
from amanat.domain.policy import DrillPlace, PostgresqlSource
from amanat.engines.postgresql import PostgresqlEnforcer, PostgresqlRehearser
from amanat.host.control import RunControl
from amanat.ports.enforcing import Asked, Installation
from tests.contract.engine_contract import make_order
from tests.support.postgres import MAJORS
from tests.support.postgres_plugin import Postgres
from tests.support.postgres_subject import engine_for
from tests.support.rehearsal_place import place
from tests.support.restored import told

__all__ = ["place"]

SCHEMA = """
CREATE TABLE users (id int PRIMARY KEY, name text DEFAULT 'x'); INSERT INTO users VALUES (1);
ALTER TABLE users CLUSTER ON users_pkey; CREATE SCHEMA extra; CREATE MATERIALIZED VIEW named AS SELECT count(name) FROM users;
CREATE TABLE years (at int) PARTITION BY LIST (at); CREATE TABLE years_1 PARTITION OF years FOR VALUES IN (1);
CREATE TYPE mood AS ENUM ('good');
"""
TEMPORARY = "CREATE TEMP TABLE t AS SELECT 1 AS a;"
REFUSED = [
    "ALTER TABLE users ADD phone text",
    "CREATE TABLE more (id serial PRIMARY KEY)",
    "CREATE TABLE more AS SELECT 1 AS id",
    "SELECT 1 AS id INTO more",
    "CREATE VIEW more AS SELECT * FROM users",
    "CREATE MATERIALIZED VIEW more AS SELECT 1 AS id",
    "CREATE SEQUENCE more",
    "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE more AS (a int)",
    "CREATE SCHEMA more",
    "CREATE INDEX ON users (name)",
    "CREATE INDEX CONCURRENTLY ON users (name)",
    "CREATE TABLE years_2 PARTITION OF years FOR VALUES IN (2)",
    "ALTER TABLE years DETACH PARTITION years_1",
    "ALTER TYPE mood ADD VALUE 'bad'",
    "DROP TABLE years",
    "DROP SCHEMA extra",
    "DROP OWNED BY current_user",
    "GRANT SELECT ON users TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "COMMENT ON TABLE users IS 'x'",
    "DO $$ BEGIN EXECUTE 'ALTER TABLE users ADD phone text'; END $$",
    f"{TEMPORARY} ALTER TABLE users ADD phone text",
    f"{TEMPORARY} DROP TABLE t, years",
    "DROP TABLE IF EXISTS not_there, years",
    "DROP INDEX CONCURRENTLY IF EXISTS users_pkey",
    "DROP SCHEMA IF EXISTS extra",
    "ALTER TABLE IF EXISTS users ADD phone text",
    f"{TEMPORARY} CREATE STATISTICS more ON id, name FROM users",
    f"{TEMPORARY} CREATE RULE more AS ON INSERT TO users DO NOTHING",
    f"{TEMPORARY} CREATE POLICY more ON users",
    f"{TEMPORARY} DROP TABLE years",
    f"{TEMPORARY} CREATE INDEX ON users (name)",
    f"{TEMPORARY} CREATE VIEW more AS SELECT * FROM users",
    f"{TEMPORARY} COMMENT ON SCHEMA extra IS 'x'",
    f"{TEMPORARY} ALTER TYPE mood ADD VALUE 'bad'",
    f"{TEMPORARY} DROP OWNED BY current_user",
    f"{TEMPORARY} GRANT SELECT ON users TO PUBLIC",
]
EVERYDAY = [
    TEMPORARY,
    "SELECT 1 AS a INTO TEMP t",
    """CREATE TEMP TABLE t (a serial PRIMARY KEY, b int DEFAULT 1 CHECK (b > 0)); ALTER TABLE t ADD c int DEFAULT 3;
    CREATE INDEX ON t (b); COMMENT ON COLUMN t.a IS 'x'; ALTER TABLE t DROP c; DROP INDEX t_b_idx; DROP TABLE t""",
    "BEGIN; CREATE TEMP TABLE t (a int) ON COMMIT DROP; COMMIT",
    f"{TEMPORARY} CREATE VIEW v AS SELECT * FROM t; DROP TABLE t CASCADE",
    f"{TEMPORARY} ALTER TABLE t RENAME TO u; ALTER TABLE u RENAME a TO b; DROP TABLE u",
    f"""{TEMPORARY} CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.f(); DROP TRIGGER g ON t""",
    "DROP TABLE IF EXISTS tmp_report; CREATE TEMP TABLE tmp_report AS SELECT 1 AS a; DROP TABLE if  exists tmp_report",
    "DROP FUNCTION IF EXISTS pg_temp.f()",
    "DO $$ BEGIN DROP VIEW IF EXISTS more; END $$",
    """CREATE TEMP TABLE t (a int, b int); CREATE STATISTICS pg_temp.st ON a, b FROM t;
    ALTER STATISTICS pg_temp.st SET STATISTICS 5; DROP STATISTICS pg_temp.st""",
    f"""{TEMPORARY} CREATE RULE r AS ON INSERT TO t DO NOTHING; ALTER RULE r ON t RENAME TO s; DROP RULE s ON t;
    CREATE POLICY p ON t; ALTER POLICY p ON t USING (a > 0); DROP POLICY p ON t; DROP TABLE t""",
    "CREATE TEMP SEQUENCE s; ALTER SEQUENCE s RESTART 4; DROP SEQUENCE s",
    "CREATE TABLE IF NOT EXISTS users (id int)",
    "REFRESH MATERIALIZED VIEW named",
    "REINDEX TABLE users",
    "VACUUM users",
    "ANALYZE users",
    "CLUSTER users USING users_pkey",
    "TRUNCATE users",
]


newest = pytest.mark.parametrize("bare", [MAJORS[-1]], indirect=True, ids=["newest"])


class Scene:
    """A database of ``app``, in which ``keeper`` may issue passes, and ``listed`` needs none."""

    def __init__(self, postgres: Postgres, folder) -> None:
        self.postgres = postgres
        self.folder = folder
        self.app, self.keeper, self.listed = (postgres.role() for _ in range(3))
        self.at = postgres.database()
        self.dbname = self.at["dbname"]
        postgres.psql(f"ALTER DATABASE {self.dbname} OWNER TO {self.app}")
        postgres.psql(f"GRANT ALL ON SCHEMA public TO {self.app}", self.dbname)
        assert self.psql(SCHEMA) == ""

    def enforcer(self, user="postgres", dbname=None):
        parameters = {**self.at, "user": user, "dbname": dbname or self.dbname}
        return PostgresqlEnforcer(PostgresqlSource(parameters=parameters), None)

    def wanted(self):
        return Installation(database="atis", exempt=(self.listed,), issuer=self.keeper)

    def install(self):
        return self.enforcer().install(self.wanted(), self.folder, RunControl())

    def issue(self, role="", *, user=None, dbname=None, **span):
        asked = Asked(role=role, span=timedelta(**(span or {"minutes": 15})), by="ci", purpose="release 2")
        return self.enforcer(user or self.keeper, dbname).issue("0" * 12, asked, self.folder, RunControl())

    def state(self, dbname=None):
        return self.enforcer(self.keeper, dbname).state(self.folder, RunControl())

    def psql(self, sql, user=None, dbname=None):
        """What it says on stderr, if it fails; one command, as ``psql -c`` of a person."""
        where = ["-h", self.at["host"], "-p", self.at["port"], "-U", user or self.app, "-d", dbname or self.dbname]
        done = subprocess.run(
            [self.postgres.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *where, "-f", "-"]
            if ";" in sql
            else [self.postgres.bin / "psql", "-XAtq", *where, "-c", sql],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said = done.stderr
        return done.stderr if done.returncode else ""

    def tool(self, name, *args):
        where = ["-h", self.at["host"], "-p", self.at["port"]]
        return subprocess.run(
            [self.postgres.bin / name, *where, *args], capture_output=True, text=True, check=False
        )

    def described(self):
        """All that stands in the database."""
        schema = self.tool("pg_dump", "-U", "postgres", "--schema-only", self.dbname).stdout
        return [line for line in schema.splitlines() if "restrict" not in line]


@pytest.fixture(params=[MAJORS[0], MAJORS[-1]], ids=lambda major: f"pg{major}")
def bare(postgres_workspace, tmp_path, request):
    postgres = Postgres(postgres_workspace.server(request.param))
    try:
        yield Scene(postgres, tmp_path)
    finally:
        postgres.close()


@pytest.fixture
def scene(bare):
    bare.install()
    return bare


def test_psql_is_refused_without_a_pass_let_through_with_one_and_refused_again_when_it_is_over(scene):
    said = scene.psql("ALTER TABLE users ADD phone text")
    assert (
        f"role {scene.app} may not change the schema of database {scene.dbname} now: it has no valid pass" in said
    )
    assert "ALTER TABLE was refused" in said
    assert "amanat migrate atis --purpose" in said
    assert f"amanat gate atis --issue-pass {scene.app}" in said
    issued = scene.issue(scene.app, seconds=1)
    assert scene.state().passes == (issued,)
    assert (issued.role, issued.by, issued.purpose) == (scene.app, "ci", "release 2")
    assert scene.psql("ALTER TABLE users ADD phone text") == ""
    time.sleep(max(0.0, (issued.until - datetime.now(UTC)).total_seconds()))
    assert "no valid pass" in scene.psql("ALTER TABLE users DROP phone")
    assert scene.state().passes == ()


@newest
def test_a_pass_that_is_revoked_is_over(scene):
    issued = scene.issue(scene.app)
    scene.enforcer(scene.keeper).revoke(issued, scene.folder)
    assert "no valid pass" in scene.psql("DROP TABLE users")
    assert scene.state().passes == ()


def test_changes_of_the_schema_are_refused_and_leave_nothing(scene):
    before = scene.described()
    let_through = [sql for sql in REFUSED if "no valid pass" not in scene.psql(sql)]
    assert let_through == []
    assert scene.described() == before


def test_what_is_refused_is_possible_with_a_pass(scene):
    scene.issue(scene.app)
    failed = {sql: said for sql in REFUSED if (said := scene.psql(f"BEGIN; {sql}; ROLLBACK"))}
    assert list(failed) == [sql for sql in REFUSED if "CONCURRENTLY" in sql]
    assert scene.psql("CREATE INDEX CONCURRENTLY ON users (name)") == ""


def test_an_applications_every_day_goes_on(scene):
    before = scene.described()
    refused = {sql: said for sql in EVERYDAY if (said := scene.psql(sql))}
    assert refused == {}
    assert scene.described() == before
    temporary = "SELECT count(*) FROM pg_class WHERE relpersistence = 't'"
    assert scene.postgres.psql(temporary, scene.dbname) == "0"  # those that the sessions left are gone too


def test_nothing_is_locked_for_what_is_refused(scene):
    """Who reads is not held up, be the change one that has to wait for somebody else."""
    reading = "BEGIN; SELECT FROM users; SET statement_timeout = '5s'; \\! {}"
    command = f"{scene.postgres.bin}/psql -X -h {scene.at['host']} -U {scene.app} -d {scene.dbname}"
    said = scene.psql(
        reading.format(f'{command} -c "SET lock_timeout = 1" -c "ALTER TABLE users ADD a int" || true')
    )
    assert said == ""
    assert "no valid pass" in scene.said
    assert "lock timeout" not in scene.said


def test_roles_that_need_no_pass(scene):
    member, by_pass = scene.postgres.role(f"IN ROLE {scene.listed}"), scene.postgres.role(f"IN ROLE {scene.app}")
    for user in ("postgres", scene.listed, member):
        assert scene.psql(f"CREATE SCHEMA of_{user}; DROP SCHEMA of_{user}", user).count("no valid pass") == 0
    assert "no valid pass" in scene.psql("DROP TABLE users", by_pass)
    assert "no valid pass" in scene.psql("DROP TABLE users", scene.keeper)
    scene.issue(scene.app)
    assert scene.psql("ALTER TABLE users ADD phone text", by_pass) == ""
    assert "no valid pass" in scene.psql("DROP TABLE users", scene.keeper)


def test_a_function_has_the_rights_of_its_owner_and_so_its_exemption(scene):
    scene.postgres.psql(
        "CREATE FUNCTION partition() RETURNS void SECURITY DEFINER LANGUAGE plpgsql AS"
        " $$ BEGIN EXECUTE 'CREATE TABLE years_2 PARTITION OF years FOR VALUES IN (2)'; END $$;",
        scene.dbname,
    )
    assert scene.psql("SELECT partition()") == ""


@newest
def test_whoever_may_take_a_role_has_the_pass_of_either(scene):
    login = scene.postgres.role(f"IN ROLE {scene.app}")
    change = f"SET ROLE {scene.app}; ALTER TABLE users ADD phone text"
    assert "no valid pass" in scene.psql(change, login)
    scene.issue(login)
    assert "no valid pass" in scene.psql("ALTER TABLE users ADD phone text")
    assert scene.psql(change, login) == ""


@newest
def test_a_plain_role_hands_the_statements_to_a_superuser_and_then_issues_passes(bare):
    keeper = bare.enforcer(bare.keeper)
    with pytest.raises(RefusedError, match="is no superuser") as refused:
        keeper.install(Installation(database="atis"), bare.folder, RunControl())
    assert "--print-sql" in refused.value.hint
    with pytest.raises(RefusedError, match="nothing is enforced"):
        bare.issue(bare.app)
    assert bare.psql(keeper.installing(Installation(database="atis"), bare.folder, RunControl()), "postgres") == ""
    assert bare.state().installation == Installation(database="atis", issuer=bare.keeper)
    assert "no valid pass" in bare.psql("DROP TABLE users")
    bare.issue(bare.app)
    assert bare.psql("DROP TABLE years") == ""
    with pytest.raises(RefusedError, match="may not issue passes") as refused:
        bare.issue(bare.app, user=bare.app)
    assert f"GRANT INSERT, DELETE ON amanat.passes TO {bare.app}" in refused.value.hint.replace('"', "")
    with pytest.raises(RefusedError, match="is no superuser"):
        keeper.remove(bare.folder, RunControl())


@newest
def test_nobody_gives_himself_a_pass(scene):
    assert "permission denied" in scene.psql("UPDATE amanat.passes SET valid_until = 'infinity'")
    assert "permission denied" in scene.psql("INSERT INTO amanat.exempt VALUES (current_user)")
    assert "no valid pass" in scene.psql("DROP SCHEMA amanat CASCADE")


@newest
def test_a_role_that_is_read_only_by_default_issues_passes(scene):
    scene.postgres.psql(f"ALTER ROLE {scene.keeper} SET default_transaction_read_only = on")
    scene.enforcer(scene.keeper).revoke(scene.issue(scene.app), scene.folder)


@newest
def test_the_usual_pass_is_for_the_owner(scene):
    assert scene.issue().role == scene.app
    scene.enforcer(scene.keeper).revoke(scene.state().passes[0], scene.folder)
    scene.postgres.psql(f"ALTER DATABASE {scene.dbname} OWNER TO postgres")
    assert scene.issue().role == scene.app  # whose tables they are
    scene.enforcer(scene.keeper).revoke(scene.state().passes[0], scene.folder)
    scene.postgres.psql(f"REASSIGN OWNED BY {scene.app} TO postgres", scene.dbname)
    assert scene.issue().role == "postgres"


@newest
def test_roles_that_are_not_there(bare):
    with pytest.raises(NotFoundError, match="no role nobody_of_that_name"):
        bare.enforcer().install(
            Installation(database="atis", exempt=("nobody_of_that_name",)), bare.folder, RunControl()
        )
    assert bare.state() is None
    bare.install()
    with pytest.raises(NotFoundError, match="no role nobody_of_that_name"):
        bare.issue("nobody_of_that_name")


@pytest.mark.parametrize("sql", ["", "DROP SCHEMA amanat CASCADE"], ids=["amanat", "psql"])
def test_removal(scene, sql):
    before = scene.described()
    if sql:
        scene.postgres.psql(sql, scene.dbname)
    else:
        scene.enforcer().remove(scene.folder, RunControl())
    assert scene.state() is None
    assert not [line for line in scene.described() if "amanat" in line]
    assert [line for line in before if "amanat" in line]
    assert scene.psql("ALTER TABLE users ADD phone text") == ""
    with pytest.raises(NotFoundError, match="not installed"):
        scene.enforcer().remove(scene.folder, RunControl())


@newest
def test_installed_anew_it_has_other_roles_and_no_passes(scene):
    scene.issue(scene.app)
    wanted = Installation(database="other", exempt=(), issuer=scene.app)
    found = scene.enforcer().install(wanted, scene.folder, RunControl())
    assert (found.installation, found.passes, found.is_enabled) == (wanted, (), True)
    assert "no valid pass" in scene.psql("CREATE SCHEMA of_listed", scene.listed)


@newest
def test_a_schema_of_that_name_of_somebody_else_is_left_alone(bare):
    bare.psql("CREATE SCHEMA amanat; CREATE TABLE amanat.mine ()")
    for act in (bare.install, bare.state):
        with pytest.raises(RefusedError, match="not of Amanat's making"):
            act()
    assert bare.psql("TABLE amanat.mine") == ""


@newest
def test_a_trigger_that_does_not_fire_is_told(scene):
    assert scene.state().is_enabled
    scene.postgres.psql("ALTER EVENT TRIGGER enforced_by_amanat_at_drop DISABLE", scene.dbname)
    assert not scene.state().is_enabled


def restored(scene, *options, user="postgres", dump=()):
    """Another database, and what pg_restore said."""
    archive = scene.folder / "archive"
    assert scene.tool("pg_dump", "-U", scene.app, "-Fc", *dump, "-f", archive, scene.dbname).returncode == 0
    dbname = scene.postgres.database()["dbname"]
    scene.postgres.psql(f"ALTER DATABASE {dbname} OWNER TO {scene.app}")
    return dbname, scene.tool("pg_restore", "-U", user, "-d", dbname, *options, archive)


def test_a_restored_copy_enforces_too_and_passes_of_before_are_over(scene):
    scene.issue(scene.app)
    dbname, done = restored(scene, "--exit-on-error")
    assert (done.returncode, done.stderr) == (0, "")
    assert "no valid pass" in scene.psql("ALTER TABLE users ADD phone text", dbname=dbname)
    assert scene.psql("REFRESH MATERIALIZED VIEW named", dbname=dbname) == ""
    found = scene.state(dbname)
    assert (found.installation, found.passes, found.is_enabled) == (scene.wanted(), (), True)
    scene.enforcer(dbname=dbname).install(scene.wanted(), scene.folder, RunControl())
    scene.issue(scene.app, dbname=dbname)
    assert scene.psql("ALTER TABLE users ADD phone text", dbname=dbname) == ""


@newest
@pytest.mark.parametrize(
    ("options", "dump"),
    [
        (["--no-acl"], []),
        (["--schema-only"], []),
        ([], ["--exclude-table-data=amanat.*"]),
        ([], ["--exclude-table=amanat.passes"]),
    ],
)
def test_a_copy_that_lacks_a_part_of_it_locks_nobody_out(scene, options, dump):
    dbname, _ = restored(scene, *options, dump=dump)
    assert scene.psql("ALTER TABLE users ADD phone text", dbname=dbname) == ""
    assert "WARNING:  Amanat enforces nothing here" in scene.said
    assert "DROP SCHEMA amanat CASCADE" in scene.said


@newest
@pytest.mark.parametrize("options", [["--schema=public"], ["--table=users"]])
def test_a_copy_without_its_schema_has_no_trigger(scene, options):
    dbname, _ = restored(scene, *options)
    assert scene.psql("ALTER TABLE users ADD phone text", dbname=dbname) == ""
    assert scene.said == ""


def test_a_plain_role_restores_all_but_the_triggers(scene):
    dbname, done = restored(scene, "--no-owner", user=scene.app)
    errors = [line for line in done.stderr.splitlines() if "error: could not" in line]
    assert all("event trigger" in line for line in errors), done.stderr
    assert scene.psql("ALTER TABLE users ADD phone text", dbname=dbname) == ""


def test_a_drill_of_it_compares_equal(scene, place, tmp_path):
    scene.issue(scene.app)
    (tmp_path / "run").mkdir()
    taken = engine_for(scene.postgres, scene.at).take(make_order(tmp_path / "run"), RunControl())
    source = PostgresqlSource(parameters=scene.at)
    rehearser = PostgresqlRehearser(source, None, where=DrillPlace.OWN, extra_client_folders=(scene.postgres.bin,))
    found = rehearser.rehearse(taken.path, taken.facts, (), place, RunControl())
    assert (told(found.comparison), found.warnings) == ([], ())
