"""What README and restore-by-hand.md tell people to type is typed here, with stock tools; only paths differ."""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from amanat.engines.sqlite import demo
from tests.support.cli import Amanat
from tests.support.documents import ROOT, marked
from tests.support.postgres_plugin import Postgres

README = ROOT / "README.md"
BY_HAND = ROOT / "documentation/restore-by-hand.md"
TARGET = "backend/database/database.sqlite"
LOCAL = f"""
    version: 1
    databases:
      atis-local: {{engine: sqlite, environment: local, path: {TARGET}}}
    policies:
      nightly: {{databases: [atis-local], on_demand: true, keep: {{last: 3}}}}
"""
SUDO = 'sudo() { shift 2; "$@"; }\n'  # the shell's user stands for postgres; our servers let everybody in


def shell(recipe: str, folder: Path, **env: str) -> str:
    """Type it; its output. The first command that fails ends it, and the test."""
    done = subprocess.run(
        ["sh", "-euc", recipe], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{recipe}\n{done.stdout}{done.stderr}"
    return done.stdout


def placed(recipe: str, **values: object) -> str:
    """With other values for the variables (and ``cd``) that the recipe sets at its begin."""
    for name, value in values.items():
        pattern = r"^cd .*$" if name == "cd" else rf"^{name}=.*$"
        line = f"cd '{value}'" if name == "cd" else f"{name}='{value}'"
        recipe, found = re.subn(pattern, line, recipe, flags=re.MULTILINE)
        assert found == 1, name
    return recipe


def content(database: Path) -> list[str]:
    """Every table, row and index, as SQL."""
    with contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return list(connection.iterdump())


def crash_after(database: Path, sql: str) -> None:
    """Write as an application that is killed: the -wal stays behind."""
    program = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA journal_mode = WAL')\n"
        "connection.executescript(sys.argv[2])\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, database, sql], check=True)
    assert database.with_name(f"{database.name}-wal").stat().st_size > 0


@pytest.fixture
def application(tmp_path: Path) -> Amanat:
    """The demo application's database where a Laravel application has it."""
    database = tmp_path / TARGET
    database.parent.mkdir(parents=True)
    demo.create(database)
    amanat = Amanat(tmp_path)
    amanat.policies(LOCAL)
    return amanat


def take(amanat: Amanat, database: str) -> Path:
    taken = amanat.json("snapshot", database, "--policy", "nightly")
    assert taken["proof"] == "readable"
    return amanat.store / taken["path"]


def test_sqlite_is_restored_by_hand(application: Amanat) -> None:
    database = application.folder / TARGET
    database.chmod(0o640)
    snapshot = take(application, "atis-local")
    before = content(database)
    crash_after(database, "DELETE FROM survey_answers; DROP TABLE jobs;")
    broken = content(database)

    said = shell(placed(marked(README, "run: restore-sqlite"), snapshot=snapshot), application.folder)

    assert "sha256" in said
    assert said.splitlines()[-1] == "ok"
    assert content(database) == before
    assert database.stat().st_mode & 0o777 == 0o640
    (aside,) = (path for path in database.parent.glob("*.before-*") if not path.name.endswith(("-wal", "-shm")))
    assert content(aside) == broken != before


def test_a_changed_sqlite_snapshot_stops_the_recipe(application: Amanat) -> None:
    snapshot = take(application, "atis-local")
    snapshot.write_bytes(snapshot.read_bytes()[:-1] + b"!")
    with pytest.raises(AssertionError):
        shell(placed(marked(README, "run: restore-sqlite"), snapshot=snapshot), application.folder)
    assert list((application.folder / TARGET).parent.glob("*.before-*")) == []


def test_a_dropped_column_of_sqlite_is_brought_back_by_hand(application: Amanat) -> None:
    database = application.folder / TARGET
    shell(f"sqlite3 {TARGET} 'ALTER TABLE users ADD COLUMN phone varchar' \"UPDATE users SET phone = '+994' || id\" "
          "'CREATE INDEX users_phone_index ON users (phone)'", application.folder)  # fmt: skip
    snapshot = take(application, "atis-local")
    before = content(database)
    drop = "DROP INDEX users_phone_index; ALTER TABLE users DROP COLUMN phone;"
    crash_after(database, f"{drop} DELETE FROM sessions WHERE id IN (SELECT id FROM sessions LIMIT 1);")

    said = shell(placed(marked(BY_HAND, "run: sqlite-column"), snapshot=snapshot), application.folder)

    assert "CREATE INDEX users_phone_index ON users (phone);" in said
    after = content(database)
    assert [line for line in after if "users" in line] == [line for line in before if "users" in line]
    assert len(after) == len(before) - 1, "what was written since stays"


DATA = """
    SET ROLE app;
    CREATE TABLE users (id integer PRIMARY KEY, name text, phone text);
    INSERT INTO users SELECT n, 'user ' || n, '+994' || n FROM generate_series(1, 500) AS n;
    CREATE INDEX users_phone_index ON users (phone);
    CREATE TABLE surveys (id integer PRIMARY KEY, user_id integer REFERENCES users);
    INSERT INTO surveys SELECT n, n FROM generate_series(1, 100) AS n;
"""
ALL_ROWS = "SELECT (SELECT md5(string_agg(u::text, '' ORDER BY id)) FROM users u), (SELECT count(*) FROM surveys)"


@pytest.fixture
def production(postgres: Postgres) -> Iterator[Postgres]:
    """The README's host: database ``atis`` of the role ``app``, and the role that its SQL makes."""
    postgres.psql("CREATE ROLE app LOGIN")
    postgres.psql("CREATE DATABASE atis OWNER app TEMPLATE template0")
    postgres.psql("ALTER DATABASE atis SET timezone = 'Asia/Baku'")
    postgres.psql(DATA, "atis")
    (sql,) = re.findall(r"^```sql\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    postgres.psql(sql)
    try:
        yield postgres
    finally:
        for name in ("atis", "atis_before", "atis_part", "atis_restored"):
            postgres.psql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        for role in ("amanat", "app"):
            postgres.psql(f"DROP ROLE IF EXISTS {role}")


def test_the_first_policy_of_a_postgresql_host_and_its_restores(production: Postgres, tmp_path: Path) -> None:
    env = {
        "PATH": f"{production.bin}:{os.environ['PATH']}",
        "PGHOST": str(production.socket_dir),
        "PGUSER": "postgres",
        "LC_ALL": "C",
    }
    amanat = Amanat(tmp_path, PATH=env["PATH"])
    amanat.policies(marked(README, "policy").replace("/var/run/postgresql", str(production.socket_dir)))
    snapshot = take(amanat, "atis")
    before = production.psql(ALL_ROWS, "atis")

    def type_out(path: Path, mark: str, snapshot: Path = snapshot) -> str:
        recipe = placed(marked(path, f"run: {mark}"), cd=snapshot.parent, snapshot=snapshot.name)
        return shell(SUDO + recipe, tmp_path, **env)

    production.psql("DELETE FROM surveys; DELETE FROM users", "atis")
    assert "sha256" in type_out(README, "restore-postgresql")
    assert production.psql(ALL_ROWS, "atis") == before
    assert production.psql("SELECT count(*) FROM users", "atis_before") == "0"

    production.psql("DROP DATABASE atis_before")
    production.psql("ALTER TABLE users DROP COLUMN phone; INSERT INTO users VALUES (501, 'new')", "atis")
    assert "CREATE INDEX users_phone_index" in type_out(BY_HAND, "postgresql-column")
    assert production.psql("SELECT count(*), count(phone) FROM users", "atis") == "501|500"
    production.psql("DELETE FROM users WHERE id = 501", "atis")
    assert production.psql(ALL_ROWS, "atis") == before
    assert production.psql("SELECT indexdef FROM pg_indexes WHERE indexname = 'users_phone_index'", "atis")

    part = amanat.json("snapshot", "atis", "--tables=surveys")
    type_out(BY_HAND, "postgresql-part", amanat.store / part["path"])
    assert production.psql("SELECT count(*) FROM surveys", "atis_part") == "100"
    keys = "SELECT contype FROM pg_constraint WHERE conrelid = 'surveys'::regclass"
    assert production.psql(keys, "atis_part") == "p", "the foreign key leads out of the part"
    production.psql("DROP DATABASE atis_part")

    production.psql("DROP DATABASE atis WITH (FORCE)")
    production.psql("DROP ROLE app")  # as on a server that has never heard of it
    type_out(BY_HAND, "postgresql-new-server")
    assert production.psql(ALL_ROWS, "atis") == before
    assert production.psql("SHOW timezone", "atis") == "Asia/Baku"
    assert production.psql("SELECT tableowner FROM pg_tables WHERE tablename = 'users'", "atis") == "app"
