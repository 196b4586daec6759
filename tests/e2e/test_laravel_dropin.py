"""The drop-in script as the application's team uses it: in ``backend/``, with its ``.env``, without a policy file."""

import os
import re
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.cli import Amanat
from tests.support.laravel import FILE_NAME, TABLES, Application, stored
from tests.support.sqlite_databases import build, rows

USERS = [(1, "Aysel"), (2, "Rəşad"), (3, "Şəfəq")]


@pytest.fixture
def app(tmp_path):
    """An application on SQLite whose project has a place for snapshots."""
    application = Application(tmp_path / "atis")
    (application.project / "database-backups").mkdir()
    application.sqlite()
    application.env_file("APP_ENV=local\nDB_CONNECTION=sqlite\n")
    return application


@pytest.fixture
def store(app):
    return app.project / "database-backups"


def test_a_snapshot_of_the_guide_lies_beside_and_in_the_store(app, store):
    before = int(time.time())
    file = app.taken("nightly")
    stamp, name, extension = FILE_NAME.fullmatch(file.name).groups()
    assert (name, extension) == ("nightly", "sqlite")
    taken = time.strptime(stamp + "+0000", "%Y%m%dT%H%M%SZ%z")
    assert before <= int(time.mktime(taken) - time.timezone) <= time.time()
    assert rows(file, "SELECT * FROM users ORDER BY id") == USERS
    (snapshot,) = stored(store)
    assert (store / snapshot["path"]).samefile(file), "a hard link of the stored snapshot"
    assert file.stat().st_nlink == 2
    said = {key: snapshot[key] for key in ("engine", "environment", "name", "proof", "scope", "policy")}
    assert said == {
        "engine": "sqlite",
        "environment": "local",
        "name": "nightly",
        "proof": "readable",
        "scope": "whole database",
        "policy": "manual",
    }


def test_tables_purpose_and_who_reach_the_register(app, store):
    file = app.taken(
        "--name=pre_release", "--tables=users,surv*", "--purpose=pre release 2.1.0", "--by=Günay | ops"
    )
    (snapshot,) = stored(store)
    said = {key: snapshot[key] for key in ("name", "purpose", "by", "scope")}
    assert said == {
        "name": "pre_release",
        "purpose": "pre release 2.1.0",
        "by": "Günay | ops",
        "scope": "tables: users, surv*",
    }
    assert rows(file, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1") == [
        ("surveys",),
        ("users",),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("APP_ENV=local\n", "backend/database/database.sqlite"),
        ('DB_CONNECTION="sqlite"\nDB_DATABASE="storage/app db.sqlite" # beside the code\n', "backend/storage/app db.sqlite"),
        ("export FOLDER='{project}/data'\nDB_CONNECTION=sqlite\nDB_DATABASE=${FOLDER}/atis.sqlite\n", "data/atis.sqlite"),
        ("DB_CONNECTION=sqlite\nDB_URL=sqlite:///{project}/data/by%20url.sqlite\n", "data/by url.sqlite"),
    ],
    ids=["stock path", "quoted and relative", "a variable in it", "DB_URL"],
)  # fmt: skip
def test_where_the_application_keeps_sqlite(tmp_path, text, place):
    app = Application(tmp_path / "atis")
    path = app.project / place
    path.parent.mkdir(exist_ok=True)
    app.sqlite(path)
    app.env_file(text.replace("{project}", str(app.project)))
    assert rows(app.taken("nightly"), "SELECT * FROM users ORDER BY id") == USERS


def test_the_store_is_made_at_first_use(tmp_path):
    app = Application(tmp_path / "atis")
    app.sqlite()
    app.env_file("DB_CONNECTION=sqlite\n")
    app.taken("nightly")
    made = app.backend / "database-backups"
    assert made.stat().st_mode & 0o777 == 0o700
    assert len(stored(made)) == 1
    assert (app.backend / ".amanat" / "register.sqlite").exists()
    assert sorted(path.name for path in app.project.iterdir()) == ["backend"]


def test_from_another_folder_with_places_of_its_own(app, store, tmp_path):
    elsewhere = tmp_path / "else where"
    (elsewhere / "kept").mkdir(parents=True)
    (elsewhere / "config").mkdir()
    (elsewhere / "config" / "policies.yaml").write_text("not: the application's")
    app.taken("nightly", cwd=elsewhere, script=app.script, AMANAT_STORE="kept", AMANAT_STATE="state")
    (kept,) = (elsewhere / "kept").glob("*/*.sqlite")
    assert re.fullmatch("atis-backend-sqlite-[0-9a-f]{6}", kept.parent.name)
    assert (elsewhere / "state" / "register.sqlite").exists()
    assert not any(store.iterdir())
    app.taken("second", cwd=elsewhere / "kept", script="../../atis/backend/backup-database.sh")
    assert [snapshot["name"] for snapshot in stored(store)] == ["second"]


def test_a_store_on_another_file_system_gets_a_copy(app):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        store = Path(folder, "database-backups")
        store.mkdir()
        assert store.stat().st_dev != app.database.stat().st_dev, "this test needs /dev/shm to be another device"
        file = app.taken("nightly", AMANAT_STORE=str(store))
        (snapshot,) = stored(store)
        kept = store / snapshot["path"]
        assert not kept.samefile(file)
        assert kept.read_bytes() == file.read_bytes()
        assert (file.stat().st_nlink, file.stat().st_mode & 0o777) == (1, 0o600)


def test_runs_of_the_same_second_do_not_meet(app, store):
    """Two at once, until both were taken within one second."""
    second: list[Path] = []
    for _ in range(10):
        count = len(app.left())
        with ThreadPoolExecutor(2) as pool:
            ends = list(pool.map(app.run, ["nightly"] * 2))
        assert [end.returncode for end in ends] == [0, 0], ends
        assert len(app.left()) == count + 2
        if second := [path for path in app.left() if path.stem.endswith("nightly_2")]:
            break
    assert second
    first = second[0].with_stem(second[0].stem.removesuffix("_2"))
    assert not first.samefile(second[0])
    assert {path.stat().st_ino for path in app.left()} == {path.stat().st_ino for path in store.glob("*/*.sqlite")}


def test_applications_that_share_a_store_never_share_a_name(app, store, tmp_path):
    """Both lie in ``atis/backend``."""
    other = Application(tmp_path / "another" / "atis")
    build(other.database / "database.sqlite", "CREATE TABLE others (id INTEGER PRIMARY KEY)")
    other.env_file("DB_CONNECTION=sqlite\n")
    places = {"AMANAT_STORE": str(store), "AMANAT_STATE": str(store.parent / ".amanat")}
    own = app.taken("nightly", **places)
    others = other.taken("nightly", **places)
    newest, earlier = stored(store)
    assert newest["database"] != earlier["database"]
    amanat = Amanat(store.parent, AMANAT_POLICIES="")
    amanat.store, amanat.state = store, store.parent / ".amanat"
    for file, database in ((own, earlier["database"]), (others, newest["database"])):
        row = amanat.json("show", f"latest:{database}")
        assert (store / row["path"]).samefile(file)


def test_an_application_in_the_policy_file_has_its_configured_name(app, store, tmp_path):
    policies = tmp_path / "policies.yaml"
    policies.write_text(
        f"version: 1\ndatabases:\n  atis-local: {{environment: staging, laravel: {app.backend}}}\n"
        "policies:\n  nightly: {databases: [atis-local], on_demand: true, keep: {last: 1}}\n"
    )
    app.taken("nightly", AMANAT_POLICIES=str(policies))
    (snapshot,) = stored(store)
    assert (snapshot["database"], snapshot["environment"]) == ("atis-local", "staging")


@pytest.mark.parametrize(
    ("args", "env", "expected"),
    [
        ((), {}, (2, "the snapshot has no name")),
        (("nightly", "--name=other"), {}, (2, "there are two names: nightly and other")),
        (("nightly", "--table=users"), {}, (2, "there is no option --table=users")),
        (("nightly", "--tables="), {}, (2, "--tables has no value")),
        (("--name=",), {}, (2, "--name has no value")),
        (("--name", "nightly"), {}, (2, "write --name=VALUE")),
        (("../nightly",), {}, (2, "snapshot name '../nightly'")),
        (("nightly", "--tables=users,"), {}, (2, "empty pattern")),
        (("nightly", "--connection=mysql"), {}, (2, "'mysql' is not supported")),
        (("nightly", "--tables=user"), {}, (3, "users")),
        (("nightly",), {"AMANAT_STORE": "/nonexistent/store", "AMANAT_STATE": "state"}, (3, "/nonexistent/store")),
        (("nightly",), {"AMANAT_POLICIES": "/nonexistent/p.yaml"}, (2, "/nonexistent/p.yaml")),
        (("nightly",), {"AMANAT": "/nonexistent/amanat"}, (127, "no command /nonexistent/amanat")),
    ],
    ids=lambda value: " ".join(map(str, value)),
)  # fmt: skip
def test_a_failure_says_why_passes_its_code_and_leaves_nothing(app, store, args, env, expected):
    code, said = expected
    done = app.run(*args, **env)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "→" in done.stderr
    assert not app.left()
    assert not list(store.glob("*/*"))


def test_a_missing_database_or_env_file(app, store):
    (app.database / "database.sqlite").unlink()
    done = app.run("nightly")
    assert (done.returncode, app.left()) == (3, [])
    assert f"{app.database / 'database.sqlite'} does not exist" in done.stderr
    (app.backend / ".env").unlink()
    done = app.run("nightly")
    assert (done.returncode, app.left()) == (3, [])
    assert f"{app.backend / '.env'} cannot be read" in done.stderr


def test_a_copy_that_does_not_fit_is_taken_away_again(app, store):
    """database/ is a file system of 64 KiB, in a mount namespace of the script's own."""
    elsewhere = app.sqlite(app.project / "elsewhere.sqlite")
    subprocess.run(["sqlite3", elsewhere, "CREATE TABLE big AS SELECT randomblob(300000)"], check=True)
    app.env_file(f"DB_CONNECTION=sqlite\nDB_DATABASE={elsewhere}\n")
    namespace = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    inside = 'mount -t tmpfs -o size=64k tmpfs "$0"; "$@"; code=$?; ls -A "$0"; exit $code'
    done = app.run("nightly", around=[*namespace, "sh", "-c", inside, app.database])
    assert (done.returncode, done.stdout) == (3, "")
    assert "No space left" in done.stderr
    assert "in the store" in done.stderr
    assert len(stored(store)) == 1


def test_help(app):
    done = app.run("--help")
    assert done.returncode == 0
    assert set(re.findall(r"^  (--[a-z]+)", done.stdout, re.MULTILINE)) == {
        "--name", "--connection", "--tables", "--purpose", "--by", "--help",
    }  # fmt: skip


def restored(postgres, file):
    """By the stock pg_restore into a fresh database; rows by table."""
    dbname = postgres.database()["dbname"]
    command = [postgres.bin / "pg_restore", "--exit-on-error", *postgres.server.where, "-d", dbname, file]
    subprocess.run(command, check=True, capture_output=True)
    tables = postgres.psql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 2200", dbname)
    return {table: int(postgres.psql(f"SELECT count(*) FROM {table}", dbname)) for table in tables.split()}


def test_postgresql_by_name_of_the_connection(app, store, postgres):
    """SQLite is what ``.env`` says; the command line says pgsql."""
    where = postgres.database(sql=TABLES)
    app.env_file(
        f"APP_ENV=staging\nHOST='{where['host']}'\nDB_CONNECTION=sqlite\nDB_HOST=\"${{HOST}}\"\n"
        f'DB_PORT={where["port"]}\nDB_DATABASE={where["dbname"]}\nDB_USERNAME="postgres"\nDB_PASSWORD=null\n'
    )
    path = f"{postgres.bin}:{os.environ['PATH']}"
    whole = app.taken("--connection=pgsql", "--name=pre_release", PATH=path)
    assert FILE_NAME.fullmatch(whole.name).groups()[1:] == ("pre_release", "dump")
    assert restored(postgres, whole) == {"users": 3, "surveys": 2, "sessions": 1}
    part = app.taken("--connection=pgsql", "--name=part", "--tables=users,surveys", PATH=path)
    assert restored(postgres, part) == {"users": 3, "surveys": 2}
    newest = stored(store)[0]
    assert re.fullmatch("atis-backend-postgresql-[0-9a-f]{6}", newest["database"])
    said = {key: newest[key] for key in ("engine", "environment", "scope")}
    assert said == {
        "engine": "postgresql",
        "environment": "staging",
        "scope": "tables: users, surveys",
    }
    assert (store / newest["path"]).samefile(part)
    assert sorted(path.suffix for path in app.left()) == [".dump", ".dump"]


def test_postgresql_by_url_with_a_password(app, store, postgres_tcp):
    password = "p@ss: wörd/#1"
    role = postgres_tcp.role(f"SUPERUSER PASSWORD '{password}'")
    dbname = postgres_tcp.database(sql=TABLES)["dbname"]
    app.env_file(
        f'DB_CONNECTION=pgsql\nDB_URL="pgsql://{role}:p%40ss%3A%20w%C3%B6rd%2F%231@127.0.0.1:'
        f'{postgres_tcp.server.port}/{dbname}?sslmode=disable"\n'
    )
    path = f"{postgres_tcp.bin}:{os.environ['PATH']}"
    assert restored(postgres_tcp, app.taken("nightly", PATH=path)) == {"users": 3, "surveys": 2, "sessions": 1}
    app.env_file((app.backend / ".env").read_text().replace("p%40ss", "wr0ng"))
    done = app.run("nightly", PATH=path)
    assert done.returncode == 3
    assert "password authentication failed" in done.stderr
    assert "wr0ng" not in done.stdout + done.stderr
    assert len(app.left()) == 1


def test_one_application_with_two_databases_keeps_them_apart(app, store, postgres, tmp_path):
    """Both are configured; the connection that is asked for tells which one is meant."""
    where = postgres.database(sql=TABLES)
    app.sqlite(app.backend / where["dbname"])
    app.env_file(
        f"DB_CONNECTION=sqlite\nDB_HOST={where['host']}\nDB_PORT={where['port']}\nDB_USERNAME=postgres\n"
        f"DB_DATABASE={where['dbname']}\n"
    )
    policies = tmp_path / "policies.yaml"
    policies.write_text(
        f"""
version: 1
databases:
  local: {{environment: local, laravel: {app.backend}}}
  staging: {{environment: staging, laravel: {app.backend}, laravel_connection: pgsql}}
policies: {{}}
"""
    )
    env = {"PATH": f"{postgres.bin}:{os.environ['PATH']}", "AMANAT_POLICIES": str(policies)}
    assert app.taken("--connection=pgsql", "--name=one", **env).suffix == ".dump"
    assert app.taken("two", **env).suffix == ".sqlite"
    assert app.taken("--connection=sqlite", "--name=three", **env).suffix == ".sqlite"
    found = {snapshot["name"]: snapshot["database"] for snapshot in stored(store)}
    assert found == {"one": "staging", "two": "local", "three": "local"}
