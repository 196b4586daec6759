"""The shipped unit and a PostgreSQL server: its password from a systemd credential, or none by peer authentication."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import binaries
from tests.support.systemd_host import SystemdHost
from tests.support.systemd_install import Service, binds, install

pytest_plugins = ("tests.support.root_only",)
pytestmark = [pytest.mark.pg, pytest.mark.slow]

BIN = Path("/opt/amanat-test/postgresql/bin")
SOCKET = "/run/postgresql"
PASSWORD = "s3cret-of-the-credential"

ATIS = f"""\
version: 1
databases:
  atis:
    engine: postgresql
    environment: production
    client: {BIN}
    connection: {{host: HOST, dbname: atis, user: amanat}}
policies:
  nightly:
    databases: [atis]
    schedule: {{cron: "15 2 * * *", timezone: Asia/Baku}}
    proof: readable
    keep: {{last: 3}}
"""

WITH_PASSWORD = ATIS.replace("HOST", "127.0.0.1").replace(
    "    connection:", "    password: {credential: atis-db}\n    connection:"
)
WITHOUT_PASSWORD = ATIS.replace("HOST", SOCKET)

TABLES = f"""
    CREATE ROLE amanat LOGIN PASSWORD '{PASSWORD}';
    GRANT pg_read_all_data TO amanat;
    CREATE DATABASE atis;
    \\connect atis
    CREATE TABLE institutions (id int PRIMARY KEY, name text);
    INSERT INTO institutions SELECT n, 'school ' || n FROM generate_series(1, 359) AS n;
"""


@pytest.fixture(scope="module")
def installed(root: None) -> Iterator[Service]:
    folders = {**binds(), binaries(15).parent: BIN.parent}
    with SystemdHost(binds=folders) as host:
        start_server(host)
        yield install(host)


@pytest.fixture
def service(installed: Service) -> Iterator[Service]:
    yield installed
    installed.reset()


def start_server(host: SystemdHost) -> None:
    """A server as Debian sets one up: peer on its socket, scram-sha-256 on 127.0.0.1."""
    host.run("useradd", "--system", "--user-group", "dbserver")
    host.run("install", "-d", "-o", "dbserver", "-m", "0755", "/srv/pg", SOCKET)
    as_server = ("setpriv", "--reuid=dbserver", "--regid=dbserver", "--init-groups")
    cluster = ("-D", "/srv/pg/data")
    access = ("--auth-local=peer", "--auth-host=scram-sha-256", "--pwfile=/srv/pg/password")
    host.write("/srv/pg/password", PASSWORD, mode=0o644)
    host.run(*as_server, f"{BIN}/initdb", *cluster, "--no-sync", "--username=dbserver", *access)
    unit = ("systemd-run", "--unit=dbserver", "--property=User=dbserver")
    host.run(*unit, f"{BIN}/postgres", *cluster, "-k", SOCKET, "-c", "listen_addresses=127.0.0.1", "-F")
    ready = (f"{BIN}/pg_isready", "-q", "-h", SOCKET)
    host.wait_for("the server", lambda: host.run(*ready, check=False).returncode == 0)
    host.write("/srv/pg/tables.sql", TABLES)
    psql = (f"{BIN}/psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", SOCKET, "-d", "postgres")
    host.run(*as_server, *psql, "-f", "/srv/pg/tables.sql")


def stored_dump_is_whole(service: Service) -> bool:
    """Whether the one dump in the store holds every row, as the stock pg_restore reads it."""
    (dump,) = [name for _, _, name in service.stored() if name.endswith(".dump")]
    path = f"/var/backups/amanat/atis/{dump}"
    rows = service.host.run(f"{BIN}/pg_restore", "--data-only", "--file=-", path).stdout
    return "359\tschool 359" in rows


def test_the_password_comes_from_a_credential(service: Service) -> None:
    service.policies(WITH_PASSWORD)
    service.host.write("/etc/amanat/credentials/atis-db", PASSWORD, mode=0o600)
    service.drop_in("LoadCredential=atis-db:/etc/amanat/credentials/atis-db\n")
    service.start()

    service.host.wait_for("a proven snapshot", lambda: service.proven("atis"))
    assert stored_dump_is_whole(service)
    environment = service.host.run("cat", f"/proc/{service.main_pid()}/environ").stdout
    assert PASSWORD not in environment + service.host.journal("amanat")


def test_a_snapshot_by_hand_gets_the_credential_in_a_unit_for_the_occasion(service: Service) -> None:
    service.policies(WITH_PASSWORD)
    service.host.write("/etc/amanat/credentials/atis-db", PASSWORD, mode=0o600)
    service.drop_in("LoadCredential=atis-db:/etc/amanat/credentials/atis-db\n")
    service.start()
    service.host.wait_for("a proven snapshot", lambda: service.proven("atis"))

    unit = ("systemd-run", "--pipe", "--wait", "--uid=amanat")
    credential = "--property=LoadCredential=atis-db:/etc/amanat/credentials/atis-db"
    folders = ("POLICIES=/etc/amanat/policies.yaml", "STORE=/var/backups/amanat", "STATE=/var/lib/amanat")
    settings = [f"--setenv=AMANAT_{folder}" for folder in folders]
    by_hand = ("/opt/amanat/bin/amanat", "snapshot", "atis", "--policy", "nightly", "--by", "somebody")
    service.host.run(*unit, credential, *settings, *by_hand)

    assert service.sample("amanat_runs_total", stage="snapshot", outcome="succeeded") == 2


def test_an_encrypted_credential_serves_as_well(service: Service) -> None:
    service.policies(WITH_PASSWORD)
    service.host.write("/root/plain", PASSWORD, mode=0o600)
    service.host.run("install", "-d", "-m", "0700", "/etc/amanat/credentials")
    encrypt = ("systemd-creds", "encrypt", "--with-key=host", "--name=atis-db", "/root/plain")
    service.host.run(*encrypt, "/etc/amanat/credentials/atis-db.cred")
    service.drop_in("LoadCredentialEncrypted=atis-db:/etc/amanat/credentials/atis-db.cred\n")
    service.start()

    service.host.wait_for("a proven snapshot", lambda: service.proven("atis"))


def test_the_wrong_credential_is_a_failed_run_and_not_the_end_of_the_daemon(service: Service) -> None:
    service.policies(WITH_PASSWORD)
    service.host.write("/etc/amanat/credentials/atis-db", "not-the-password", mode=0o600)
    service.drop_in("LoadCredential=atis-db:/etc/amanat/credentials/atis-db\n")
    pid = service.start()

    failed = {"policy": "nightly", "stage": "snapshot", "outcome": "failed"}
    service.host.wait_for("the failed run", lambda: service.sample("amanat_runs_total", **failed))
    assert service.main_pid() == pid
    assert service.stored() == []
    assert not service.proven("atis")
    assert "not-the-password" not in service.host.journal("amanat")


def test_a_drill_on_a_throw_away_server_works_inside_the_sandbox(service: Service) -> None:
    service.policies(WITHOUT_PASSWORD.replace("proof: readable", "proof: restored"))
    service.start()

    service.host.wait_for("a proven snapshot", lambda: service.proven("atis"), timeout=60)
    assert service.sample("amanat_snapshots", database="atis", proof="restored") == 1
    assert service.host.run("ls", "-A", "/var/backups/amanat/.staging").stdout == ""


def test_peer_authentication_works_inside_the_sandbox(service: Service) -> None:
    service.policies(WITHOUT_PASSWORD)
    service.start()

    service.host.wait_for("a proven snapshot", lambda: service.proven("atis"))
    assert stored_dump_is_whole(service)
