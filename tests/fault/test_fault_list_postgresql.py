"""The fault list's rows about PostgreSQL: server, role, pg_dump, retries and timeouts (see test_fault_list.py)."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import Amanat, wait_for
from tests.support.faults import Failing, Fault, hashes, metric, mounted, run_count
from tests.support.postgres_server import Workspace
from tests.support.postgres_subject import clients_with
from tests.support.scene import runs

pytestmark = [pytest.mark.fault, pytest.mark.pg]

TABLES = """
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
CREATE TABLE surveys (id serial PRIMARY KEY, title text);
INSERT INTO users (name) SELECT 'user ' || i FROM generate_series(1, 300) i;
INSERT INTO surveys (title) SELECT md5(i::text) FROM generate_series(1, 3000) i;
"""


class Scene:
    """A PostgreSQL database ``app`` with the policy ``nightly``, and one snapshot from before the fault."""

    def __init__(self, folder: Path, bin_folder: Path, conninfo: dict[str, str], **more: str) -> None:
        self.amanat = Amanat(folder, PATH=f"{bin_folder}:{os.environ['PATH']}")
        self._conninfo = conninfo
        self.write(**more)
        self.amanat.ok("snapshot", "app", "--policy=nightly")

    def write(self, *, client: Path | str = "", password: str = "", policy: str = "", **changes: str) -> None:
        """The policy file anew; ``changes``: of the connection's keywords."""
        lines = [f"{key}: {value!r}" for key, value in {**self._conninfo, **changes}.items()]
        self.amanat.policies(
            f"""
            version: 1
            databases:
              app:
                engine: postgresql
                environment: staging
                connection: {{{", ".join(lines)}}}
                {f"password: {{file: {password}}}" if password else ""}
                {f"client: {client}" if client else ""}
            policies:
              nightly:
                databases: [app]
                on_demand: true
                keep: {{last: 10}}
                {policy}
            """
        )


@pytest.fixture
def scene(tmp_path, postgres):
    return Scene(tmp_path, postgres.bin, postgres.database(sql=TABLES))


@pytest.fixture
def own_server():
    """A server that may be stopped: nobody else uses it."""
    workspace = Workspace()
    server = workspace.server(15)
    server.psql("CREATE DATABASE app")
    server.psql(TABLES, "app")
    try:
        yield server, lambda: server.start(workspace._as_server())
    finally:
        workspace.close()


# the server


def test_a_server_that_is_down(tmp_path, own_server):
    server, start = own_server
    scene = Scene(tmp_path, server.bin, server.conninfo("app"))
    failing = Failing(scene.amanat)
    server.stop()
    fault = Fault(says="PostgreSQL database app on", hint="see whether the server runs there", code="source")
    assert str(server.socket_dir) in failing(fault)
    start()
    scene.amanat.ok("snapshot", "app", "--policy=nightly")


def test_a_wrong_password(tmp_path, postgres_tcp):
    """By TCP with scram; the password is in no message, row or file."""
    role = postgres_tcp.role("IN ROLE pg_read_all_data PASSWORD 'right'")
    dbname = postgres_tcp.database(sql=TABLES)["dbname"]
    secret = tmp_path / "password"
    secret.write_text("right")
    secret.chmod(0o600)
    scene = Scene(tmp_path, postgres_tcp.bin, postgres_tcp.server.tcp_conninfo(dbname, role), password=str(secret))
    failing = Failing(scene.amanat)
    secret.write_text("wr0ng-passw0rd")
    fault = Fault(says="password authentication failed", hint="correct the password", code="source")
    said = failing(fault)
    assert dbname in said
    leaked = [path for path in tmp_path.rglob("*") if path.is_file() and b"wr0ng" in path.read_bytes()]
    assert "wr0ng" not in said
    assert leaked == [secret]


def test_an_unknown_database(scene):
    failing = Failing(scene.amanat)
    scene.write(dbname="no_such")
    failing(Fault(says='database "no_such" does not exist', hint="correct `dbname`", code="source"))


def test_a_role_without_select_on_one_table(scene, postgres):
    """The hint is what a person may paste, after which it works."""
    role = postgres.role()
    dbname = scene._conninfo["dbname"]
    postgres.psql(f"GRANT SELECT ON users, users_id_seq, surveys_id_seq TO {role}", dbname)
    failing = Failing(scene.amanat)
    scene.write(user=role)
    said = failing(Fault(says="may not read tables public.surveys", hint="GRANT SELECT ON", code="source"))
    assert "public.users" not in said
    postgres.psql(said.partition("→ run: ")[2].partition(" — ")[0], dbname)
    scene.amanat.ok("snapshot", "app", "--policy=nightly")
    postgres.psql(f"DROP OWNED BY {role}", dbname)


# pg_dump


def test_no_pg_dump_on_the_machine(scene, tmp_path):
    """Nothing in PATH; and what packages have installed is hidden by a mount."""
    hide = '[ ! -d "$1" ] || mount -t tmpfs tmpfs "$1"'
    with mounted(f'for folder; do set -- "$folder"; {hide}; done', "/usr/lib/postgresql") as mounts:
        fault = Fault(says="no pg_dump on this machine", hint="install postgresql-client-15", code="tool")
        Failing(scene.amanat)(fault, around=mounts.around, env={"PATH": "/nonexistent"})


def test_no_pg_dump_in_the_configured_folder(scene, tmp_path):
    failing = Failing(scene.amanat)
    scene.write(client=tmp_path)
    failing(
        Fault(says=f"client folder {tmp_path} has no pg_dump", hint="name the folder that holds it", code="tool")
    )


def test_a_pg_dump_older_than_the_server(scene, postgres_workspace):
    failing = Failing(scene.amanat)
    scene.write(client=postgres_workspace.server(14).bin)
    says = "the server is PostgreSQL 15, and there is only pg_dump 14."
    failing(Fault(says=says, hint="install postgresql-client-15", code="tool"))


@pytest.mark.parametrize(
    ("script", "says", "hint"),
    [
        ('"$real" "$@" | head -c 10K; kill -KILL $$', "was killed by SIGKILL", "out of memory?"),
        ('"$real" "$@" | head -c 10K; exit 1', "exited with 1", "by hand to see more"),
    ],
    ids=["killed", "exits with 1 after half"],
)
def test_a_pg_dump_that_does_not_end_well(scene, tmp_path, postgres, script, says, hint):
    failing = Failing(scene.amanat)
    folder = clients_with(tmp_path / "client", postgres.bin, pg_dump=script)
    scene.write(client=folder)
    failing(Fault(says=says, hint=hint, code="tool"))


def test_a_pg_dump_that_claims_success_after_half(scene, tmp_path, postgres):
    """An exit code of 0 alone makes no snapshot."""
    failing = Failing(scene.amanat)
    script = '"$real" "$@" | head -c 10K'
    scene.write(client=clients_with(tmp_path / "client", postgres.bin, pg_dump=script))
    failing(Fault(says="the archive ends early", hint="take the snapshot again", code="archive"))


def test_a_pg_dump_of_a_release_to_come_still_gives_a_snapshot(scene, tmp_path, postgres):
    """It compresses by itself; log, row and metric tell of it, and stock tools restore what it left."""
    patched = "LC_ALL=C sed -b '1s/^PGDMP\\x01./PGDMP\\x01\\x11/'"
    script = f'case "$*" in *--file=*) exec "$real" "$@" ;; esac\n"$real" "$@" | {patched}'
    scene.write(client=clients_with(tmp_path / "client", postgres.bin, pg_dump=script))
    done = scene.amanat.run("snapshot", "app", "--policy=nightly")
    assert done.returncode == 0
    assert "pg_dump compressed by itself" in done.stderr
    assert metric(scene.amanat, "compression_fallbacks_total") == 1
    newest = runs(scene.amanat)[-1]
    assert (newest["outcome"], newest["code"]) == ("succeeded", "fallback")
    assert "archive version 1.17.0" in newest["note"]
    kept = scene.amanat.json("show", "latest:app")
    assert kept["proof"] == "readable"
    again = postgres.database()["dbname"]
    restore = [postgres.bin / "pg_restore", "--exit-on-error", *postgres.server.where, "-d", again]
    subprocess.run([*restore, scene.amanat.store / kept["path"]], check=True, capture_output=True)
    assert postgres.psql("SELECT count(*) FROM users", again).strip() == "300"


def test_a_timeout_ends_all_that_pg_dump_started(scene, tmp_path, postgres):
    """Also a child that is deaf to SIGTERM, and that child's child."""
    script = f"echo $$ > {tmp_path}/group; sh -c 'trap \"\" TERM; sleep 300; :' & wait"
    scene.write(client=clients_with(tmp_path / "client", postgres.bin, pg_dump=script), policy="timeout: 3s")
    with scene.amanat.started("snapshot", "app", "--policy=nightly") as command:
        group = wait_for("pg_dump has started", lambda: (tmp_path / "group").exists() and group_of(tmp_path))
        wait_for("its child and grandchild", lambda: len(alive_in(group)) == 3)
        assert command.wait() == 3
        assert alive_in(group) == []
    fault = Fault(
        says="took longer than 3s and was stopped", hint="raise the limit that its policy sets", code="timeout"
    )
    Failing(scene.amanat)(fault)
    assert alive_in(group_of(tmp_path)) == []


def group_of(folder):
    return (folder / "group").read_text().strip()


def alive_in(group):
    """Processes of a process group that still run; who is dead but not yet buried (Z) does not count."""
    fields = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields.append(path.read_text().rpartition(")")[2].split())
    return [field for field in fields if field[2] == group and field[0] != "Z"]


def test_a_dump_for_which_there_is_no_room(scene, postgres):
    """The database has grown since its last snapshot, by which the space needed is judged."""
    random = "SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 100)"
    grow = f"CREATE TABLE noise AS SELECT i, ({random} WHERE i > 0) AS text FROM generate_series(1, 2000) i"
    postgres.psql(grow, scene._conninfo["dbname"])
    script = (
        'cp -a "$1" "$1.before" && mount -t tmpfs -o size=1m,mode=700 tmpfs "$1" && cp -a "$1.before/." "$1"'
        ' && rm -r "$1.before"'
    )
    with mounted(script, scene.amanat.store) as mounts:
        failing = Failing(scene.amanat, store=mounts.path(scene.amanat.store))
        failing(Fault(says="No space left on device", hint="make room on", code="space"), around=mounts.around)


# what PostgreSQL has in its scope


def test_a_pattern_that_matches_no_table_names_near_ones(scene):
    fault = Fault(says="no table matches 'survey', did you mean surveys?", hint="correct the scope", code="source")
    scene.write(policy="scope: {tables: [users, survey]}")
    Failing(scene.amanat)(fault)


# retries

RETRY = "retry: {attempts: 3, backoff: 2s}"


def test_a_failure_that_passes_is_tried_again(tmp_path, own_server):
    server, start = own_server
    scene = Scene(tmp_path, server.bin, server.conninfo("app"), policy=RETRY)
    server.stop()
    with scene.amanat.started("snapshot", "app", "--policy=nightly") as command:
        wait_for("the first attempt has failed", lambda: runs(scene.amanat)[-1]["outcome"] == "failed")
        start()
        assert command.wait() == 0
    found = [(row["attempt"], row["outcome"], bool(row["snapshot"])) for row in runs(scene.amanat)]
    assert found == [(1, "succeeded", True), (1, "failed", False), (2, "succeeded", True)]
    assert (run_count(scene.amanat, "failed"), run_count(scene.amanat, "succeeded")) == (1, 2)
    assert [entry["outcome"] for entry in scene.amanat.json("register")] == ["succeeded", "succeeded"]


def test_a_failure_that_does_not_pass_ends_after_the_last_attempt(tmp_path, own_server):
    server, _ = own_server
    scene = Scene(tmp_path, server.bin, server.conninfo("app"), policy="retry: {attempts: 3, backoff: 1s}")
    failing = Failing(scene.amanat)
    server.stop()
    fault = Fault(says="PostgreSQL database app on", hint="see whether the server runs there", code="source")
    failing(fault, attempts=3)
    assert [row["attempt"] for row in runs(scene.amanat)] == [1, 1, 2, 3]


def test_a_failure_for_good_is_not_tried_again(scene):
    failing = Failing(scene.amanat)
    scene.write(dbname="no_such", policy=RETRY)
    failing(Fault(says='"no_such" does not exist', hint="correct `dbname`", code="source"), attempts=1)


# clients of a release that the machine has not


def test_a_client_folder_serves_the_proof_as_well(tmp_path, postgres_workspace):
    """An archive of the newest pg_dump is read by the pg_restore beside it, wherever that folder is."""
    server = postgres_workspace.server(18)
    server.psql("CREATE DATABASE of_18")
    folder = tmp_path / "scene"
    folder.mkdir()
    client = tmp_path / "client"
    shutil.copytree(server.bin.parent, client, symlinks=True)
    try:
        server.psql(TABLES, "of_18")
        scene = Scene(folder, Path("/nonexistent"), server.conninfo("of_18"), client=str(client / "bin"))
        assert [name for name in hashes(scene.amanat.store) if name.endswith(".dump")]
    finally:
        server.psql("DROP DATABASE of_18 WITH (FORCE)")
