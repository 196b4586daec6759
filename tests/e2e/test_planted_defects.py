"""For each planted defect the command that is to say so does, by name, and the others see nothing.

Which is which stands in the table of documentation/proof.md: it is what is tested here, row by row.
"""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.cli import Amanat
from tests.support.defect_cases import ARTEFACT, MANIFEST, POSTGRESQL, REGISTER, SQLITE
from tests.support.defects import Nights, run_sqlite
from tests.support.documents import ROOT, rows
from tests.support.postgres_plugin import Postgres
from tests.support.sqlite_databases import build

pytestmark = pytest.mark.slow

COMMANDS = {
    "`stored`": ("verify", "{id}", "--level=stored"),
    "`readable`": ("verify", "{id}", "--level=readable"),
    "`restored`": ("drill", "app"),
    "`register verify`": ("register", "verify"),
}
LEVELS, REGISTER_VERIFY = [*COMMANDS][:3], [*COMMANDS][3]
TABLE = {
    (defect, engine): dict(zip(COMMANDS, words, strict=True))
    for defect, engine, *words in rows(ROOT / "documentation/proof.md", "planted defect")
}
EITHER = "either"
UNSEEN = "–"
SQLITE_TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
CREATE TABLE surveys (id INTEGER PRIMARY KEY, title TEXT NOT NULL, owner INTEGER REFERENCES users (id));
CREATE INDEX surveys_owner ON surveys (owner);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
INSERT INTO users SELECT i, 'user ' || i FROM n;
INSERT INTO surveys SELECT id, 'survey ' || id, id FROM users;
"""
POSTGRESQL_TABLES = """
CREATE EXTENSION pg_trgm;
CREATE COLLATION words (PROVIDER = builtin, LOCALE = 'C.UTF-8');
CREATE TABLE users (id serial PRIMARY KEY, name text COLLATE words NOT NULL);
INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 500) n;
CREATE INDEX users_name ON users (name);
CREATE TABLE surveys (id int PRIMARY KEY, title text, owner int);
INSERT INTO surveys SELECT n, 'survey ' || n, n FROM generate_series(1, 500) n;
ALTER TABLE surveys ADD CONSTRAINT surveys_owner FOREIGN KEY (owner) REFERENCES users;
CREATE TABLE notes (id int);
"""
ONE_ROW = "UPDATE surveys SET title = upper(title) WHERE id = 3"
POLICIES = """
version: 1
databases:
  app: {}
policies:
  nightly: {{databases: [app], on_demand: true, {}, keep: {{last: 9}}}}
  lax: {{databases: [app], on_demand: true, proof: readable, keep: {{last: 9}}}}
"""


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory):
    amanat = Amanat(tmp_path_factory.mktemp("sqlite"))
    file = build(amanat.folder / "app.sqlite", SQLITE_TABLES)
    amanat.policies(POLICIES.format("{engine: sqlite, environment: staging, path: app.sqlite}", "proof: restored"))
    return found_well(Nights.of(amanat, lambda sql: run_sqlite(file, sql), ONE_ROW), tmp_path_factory)


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory, postgres_workspace):
    """PostgreSQL 18: since 17 there are collations that have a version on every machine."""
    with contextlib.closing(Postgres(postgres_workspace.server(18))) as postgres:
        yield nights_on(postgres, tmp_path_factory)


def nights_on(postgres, tmp_path_factory):
    where = postgres.database(sql=POSTGRESQL_TABLES)
    amanat = Amanat(tmp_path_factory.mktemp("postgresql"))
    database = {"engine": "postgresql", "environment": "staging", "connection": where, "client": str(postgres.bin)}
    amanat.policies(POLICIES.format(json.dumps(database), "compression: {codec: none}"))
    nights = Nights.of(amanat, lambda sql: postgres.psql(sql, where["dbname"]), ONE_ROW)
    return found_well(nights, tmp_path_factory)


def found_well(nights, tmp_path_factory):
    """The control: without a defect each command ends with 0."""
    found = outcomes(nights, COMMANDS, tmp_path_factory.mktemp("control"))
    assert {command: word for command, (word, *_) in found.items()} == dict.fromkeys(COMMANDS, UNSEEN)
    return nights


def outcomes(nights, commands, folder):
    """Of each command on a copy of its own: how it ended, what it said, and the state of the snapshot then."""

    def outcome(command):
        amanat = nights.copy(folder / COMMANDS[command][0] / COMMANDS[command][-1]).amanat
        done = amanat.run(*(word.format(id=nights.id) for word in COMMANDS[command]), "--json")
        (state,) = amanat.query("SELECT state FROM snapshots WHERE id = ?", nights.id)
        return *told(done), state["state"]

    with ThreadPoolExecutor(len(commands)) as together:
        return dict(zip(commands, together.map(outcome, commands), strict=True))


def told(done):
    if done.returncode == 0:
        return UNSEEN, ""
    error = json.loads(done.stderr)["error"]
    found = json.loads(done.stdout)["findings"] if done.stdout else []
    said = [f"{finding['kind']}: {finding['reason']}" for finding in found] or [error["message"]]
    return f"{done.returncode} {error['kind']}", "\n".join(said)


def check(case, row, nights, folder):
    nights = nights.copy(folder / "planted")
    nights = case.plant(nights) or nights
    names = {"file": nights.artefact.name, "older": nights.older, "id": nights.id}
    expected = {command: row[command] for command in (*turning(row), REGISTER_VERIFY)}
    found = outcomes(nights, expected, folder)
    assert {command: word for command, (word, *_) in found.items()} == expected
    for command, (word, said, state) in found.items():
        of_register = command == REGISTER_VERIFY
        assert word == UNSEEN or in_order(case.register if of_register else case.proof, said, names)
        assert state == ("present" if of_register or word in {UNSEEN, "3 drift"} else "damaged")


def turning(row):
    """The highest level that sees nothing, the lowest that does: each does first what those below it do."""
    unseen = [level for level in LEVELS if row[level] == UNSEEN]
    seen = [level for level in LEVELS if row[level] != UNSEEN]
    return [*unseen[-1:], *seen[:1]]


def in_order(parts, said, names):
    at = 0
    for part in parts:
        sought = part.format(**names)
        assert sought in said[at:], f"{sought!r} is not in {said[at:]!r}"
        at = said.index(sought, at) + len(sought)
    return bool(parts)


@pytest.mark.parametrize("defect", [*ARTEFACT, *SQLITE])
def test_on_sqlite(defect, on_sqlite, tmp_path):
    check((ARTEFACT | SQLITE)[defect], row_of(defect, "SQLite"), on_sqlite, tmp_path)


@pytest.mark.parametrize("defect", [*ARTEFACT, *POSTGRESQL])
def test_on_postgresql(defect, on_postgresql, tmp_path):
    check((ARTEFACT | POSTGRESQL)[defect], row_of(defect, "PostgreSQL"), on_postgresql, tmp_path)


@pytest.mark.parametrize("defect", [*MANIFEST, *REGISTER])
def test_in_the_manifest_or_the_register(defect, on_sqlite, tmp_path):
    check((MANIFEST | REGISTER)[defect], TABLE[defect, EITHER], on_sqlite, tmp_path)


def row_of(defect, engine):
    return TABLE.get((defect, EITHER)) or TABLE[defect, engine]


def test_each_row_of_the_table_has_a_case_and_each_case_a_row():
    alike = {defect for defect in SQLITE if (defect, EITHER) in TABLE}
    assert alike <= POSTGRESQL.keys()
    cases = {
        **{(defect, EITHER): case for defect, case in (ARTEFACT | MANIFEST | REGISTER).items()},
        **{(defect, EITHER if defect in alike else "SQLite"): case for defect, case in SQLITE.items()},
        **{(defect, EITHER if defect in alike else "PostgreSQL"): case for defect, case in POSTGRESQL.items()},
    }
    assert cases.keys() == TABLE.keys()
    for key, case in cases.items():
        levels = [TABLE[key][level] for level in LEVELS]
        seen = [word for word in levels if word != UNSEEN]
        assert levels == [UNSEEN] * (len(LEVELS) - len(seen)) + seen[:1] * len(seen), "levels include those below"
        assert bool(seen) == bool(case.proof)
        assert (TABLE[key][REGISTER_VERIFY] != UNSEEN) == bool(case.register)
