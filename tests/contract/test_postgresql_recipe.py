"""The restore recipe of a PostgreSQL snapshot, whole or a part, typed as it stands."""

import hashlib
import os
import re
import secrets
import subprocess
from datetime import timedelta

import pytest

from amanat.domain.model import Scope
from amanat.engines.postgresql import PostgresqlProver
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.postgres_subject import engine_for


@pytest.fixture
def control():
    return RunControl(timeout=timedelta(seconds=60))


class Recipe:
    """The recipe's lines, typed one by one by root, whose ``sudo -u postgres`` stands before the server's tools.

    The files are readable for their owner alone, as in the store.
    """

    def __init__(self, workspace, postgres, artefact, target):
        self.codes, self.output, self.target = {}, "", target
        folder = artefact.path.parent / "it's kept"
        folder.mkdir(mode=0o700)
        name = folder / "it's kept.dump"
        artefact.path.rename(name)
        for suffix, companion in artefact.companions.items():
            companion.rename(f"{name}{suffix}")
        self.digest = hashlib.sha256(name.read_bytes()).hexdigest()
        name.with_name(f"{name.name}.manifest.json").write_text(f'{{"sha256": "{self.digest}"}}')
        sudo = " ".join(workspace._as_server())
        where = {"PGHOST": str(postgres.socket_dir), "PGPORT": str(postgres.server.port), "PGUSER": "postgres"}
        env = {**os.environ, **where, "PATH": f"{postgres.bin}:{os.environ['PATH']}", "LC_ALL": "C"}
        for line in PostgresqlProver().recipe(name.name, artefact.facts):
            typed = re.sub("^(createdb|psql|pg_restore) ", rf"{sudo} \1 ", line).replace("restored", target)
            done = subprocess.run(["/bin/sh", "-c", typed], cwd=folder, env=env, capture_output=True, check=False)
            self.codes[line.partition(" -d ")[0]] = done.returncode
            self.output += (done.stdout + done.stderr).decode()


@pytest.fixture
def type_out(postgres_workspace, postgres):
    """``type_out(artefact)``: a Recipe carried out; its database goes at the end."""
    target = f"restored_{secrets.token_hex(4)}"
    yield lambda artefact: Recipe(postgres_workspace, postgres, artefact, target)
    postgres.psql(f"DROP DATABASE IF EXISTS {target}")


@pytest.mark.parametrize("scope", [Scope(), Scope(tables=("atis.*",))], ids=["whole", "tables"])
def test_the_recipe_restores_in_a_plain_shell(postgres, type_out, control, tmp_path, scope):
    database = postgres.database(
        sql="CREATE SCHEMA atis; CREATE TABLE atis.users AS SELECT generate_series(1, 9) AS id"
    )
    done = type_out(engine_for(postgres, database).take(make_order(tmp_path, scope), control))
    assert set(done.codes.values()) == {0}, done.output
    assert postgres.psql("SELECT count(*) FROM atis.users", done.target) == "9"
    assert done.digest in done.output


LEADING_OUT = """
CREATE TABLE users (id int PRIMARY KEY);
CREATE TABLE surveys (id int PRIMARY KEY, user_id int REFERENCES users);
CREATE INDEX surveys_of_user ON surveys (user_id);
CREATE VIEW authors AS SELECT count(*) FROM users;
INSERT INTO users SELECT generate_series(1, 5);
INSERT INTO surveys SELECT n, n FROM generate_series(1, 5) n;
"""


@pytest.mark.parametrize(
    ("scope", "codes", "foreign_keys", "views"),
    [
        (Scope(), [0], 1, 1),
        (Scope(tables=("surveys",)), [0, 0, 1], 0, 0),
        (Scope(tables=("surveys", "users")), [0, 0, 0], 1, 0),
        (Scope(exclude=("users",)), [1, 0, 1], 0, 0),
        (Scope(exclude_data=("users",)), [0, 0, 1], 0, 1),
    ],
    ids=["whole", "tables", "tables that are complete", "exclude", "exclude_data"],
)
def test_the_recipe_leaves_out_what_leads_out_of_a_part(
    postgres, type_out, control, tmp_path, scope, codes, foreign_keys, views
):
    """With one strict line an error at the foreign key or the view would end it, and lose what comes after."""
    engine = engine_for(postgres, postgres.database(sql=LEADING_OUT))
    done = type_out(engine.take(make_order(tmp_path, scope), control))
    assert [code for line, code in done.codes.items() if line.startswith("pg_restore")] == codes, done.output
    assert postgres.psql("SELECT count(*) FROM surveys", done.target) == "5"
    count = "SELECT count(*) FROM"
    assert postgres.psql(f"{count} pg_indexes WHERE indexname = 'surveys_of_user'", done.target) == "1"
    assert postgres.psql(f"{count} pg_constraint WHERE contype = 'f'", done.target) == str(foreign_keys)
    assert postgres.psql(f"{count} pg_views WHERE viewname = 'authors'", done.target) == str(views)
    assert ("surveys_user_id_fkey" in done.output) is not bool(foreign_keys)


def test_a_part_whose_table_cannot_be_made_fails_at_its_rows(postgres, type_out, control, tmp_path):
    """The type is not in a dump of tables; nobody may take that for success."""
    sql = "CREATE TYPE mood AS ENUM ('glad'); CREATE TABLE users AS SELECT 'glad'::mood"
    engine = engine_for(postgres, postgres.database(sql=sql))
    done = type_out(engine.take(make_order(tmp_path, Scope(tables=("users",))), control))
    assert done.codes["pg_restore --section=data --exit-on-error"] == 1
    assert 'type "public.mood" does not exist' in done.output
