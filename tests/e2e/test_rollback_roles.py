"""Rollbacks by a role that is no superuser: what it lacks is told as SQL, and rights come back as they were."""

import re

import psycopg
import pytest

from tests.support.applications import PostgresqlApplication

pytestmark = pytest.mark.slow

ROLLBACK = ("rollback", "app", "--yes", "--purpose=failed")
RIGHTS = """
SELECT d.datdba::regrole, (SELECT array_agg(acl ORDER BY acl::text) FROM unnest(d.datacl) acl), (
  SELECT string_agg(concat_ws(' ', relname, relowner::regrole, relacl), ', ' ORDER BY relname)
  FROM pg_class WHERE relnamespace = 'public'::regnamespace)
FROM pg_database d WHERE datname = current_database()
"""


def owned(application, owner, reader):
    name = application.conninfo["dbname"]
    application.postgres.psql(
        f"""ALTER DATABASE "{name}" OWNER TO {owner}; GRANT CONNECT ON DATABASE "{name}" TO {reader};
        ALTER TABLE users OWNER TO {owner}; ALTER TABLE surveys OWNER TO {owner};
        ALTER TABLE writes OWNER TO {owner}; ALTER TABLE migrations OWNER TO {owner};
        GRANT SELECT, UPDATE (name) ON users TO {reader}""",
        name,
    )


@pytest.fixture(params=["the owner", "another"])
def application(request, tmp_path, postgres):
    role, reader = postgres.role("CREATEDB"), postgres.role()
    made = PostgresqlApplication(tmp_path, postgres, role=role)
    made.role, made.reader = role, reader
    made.owner = role if request.param == "the owner" else postgres.role()
    owned(made, made.owner, reader)
    postgres.psql(f"GRANT pg_read_all_data TO {role}")
    yield made
    made.amanat.run("accept", "app")


def rights(application):
    return application.postgres.psql(RIGHTS, application.conninfo["dbname"])


def refusals(application):
    """What is told, until what it says is to be done has been done."""
    while (done := application.amanat.run(*ROLLBACK)).returncode:
        assert done.returncode == 4, done.stderr
        yield done.stderr
        for statement in re.findall("(?:ALTER|GRANT) .*?;", done.stderr):
            application.postgres.psql(statement)


def test_what_it_lacks_is_told_as_sql_and_after_that_rights_come_back(application):
    taken, before = application.digests(), rights(application)
    application.snapshot()
    application.migrate_halfway()
    spoiled = application.digests()
    with psycopg.connect(**{**application.conninfo, "user": application.reader}):
        told = list(refusals(application))
    assert f'GRANT pg_signal_backend TO "{application.role}";' in told[0]
    assert (f'GRANT "{application.owner}" TO "{application.role}"' in told[0]) == (
        application.owner != application.role
    )
    assert len(told) == 1
    assert (application.digests(), rights(application)) == (taken, before)
    application.amanat.ok("undo", "app", "--yes")
    assert application.digests() == spoiled


@pytest.mark.parametrize("more", ["", "warm: true"], ids=["cold", "warm"])
def test_enforcement_that_a_plain_role_cannot_restore_is_told(postgres, tmp_path, more):
    """By the rollback, loudly, and by ``enforce status``."""
    role = postgres.role("CREATEDB")
    application = PostgresqlApplication(tmp_path, postgres, role=role)
    application.configure(more=more)
    amanat, name = application.amanat, application.conninfo["dbname"]
    owned(application, role, postgres.role())
    amanat.ok("snapshot", "app")  # which makes the register
    postgres.psql(amanat.ok("enforce", "install", "app", "--print-sql"), name)
    postgres.psql(f"GRANT pg_read_all_data, pg_signal_backend TO {role}")
    taken = application.digests()
    application.snapshot()
    application.migrate_halfway()
    assert amanat.json("enforce", "status", "app")["enabled"]
    done = amanat.run(*ROLLBACK)
    assert done.returncode == 0, done.stderr
    assert "enforced" in done.stderr
    assert "amanat enforce install app" in done.stderr
    assert application.digests() == taken
    assert not amanat.json("enforce", "status", "app")["installed"]
    assert "amanat enforce install" in (tmp_path / "documents" / "rollback-log.md").read_text()
    undone = amanat.run("undo", "app", "--yes")
    assert "amanat enforce" not in undone.stderr
    assert amanat.json("enforce", "status", "app")["enabled"]
    amanat.ok("accept", "app")
