"""Chosen tables of a PostgreSQL snapshot are restored with what they need, or all of them without rows."""

import pytest

from amanat.domain.errors import SourceError
from amanat.domain.policy import PostgresqlSource
from amanat.engines.postgresql import PostgresqlRestorer
from amanat.host.control import RunControl
from amanat.ports.restoring import RestoreOrder
from tests.contract.engine_contract import make_order
from tests.support import postgres_rich
from tests.support.postgres_subject import engine_for
from tests.support.rehearsal_place import place

__all__ = ["place"]

SHOP = """
CREATE SCHEMA app; CREATE SCHEMA other; SET search_path = app, public;
CREATE TYPE mood AS ENUM ('good', 'bad'); CREATE DOMAIN price AS numeric CHECK (VALUE >= 0);
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := 1; RETURN NEW; END';
CREATE FUNCTION short(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT left($1, 3)';
CREATE TABLE users (id serial PRIMARY KEY, mood mood DEFAULT 'good');
INSERT INTO users (mood) SELECT 'bad' FROM generate_series(1, 200);
CREATE TABLE orders (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner int NOT NULL, cost price, text text, n int);
INSERT INTO orders (owner, cost, text) SELECT n, n, repeat(n::text, 9) FROM generate_series(1, 150) n;
ALTER TABLE orders ADD CONSTRAINT owned FOREIGN KEY (owner) REFERENCES users;
CREATE TABLE lines (id int, orders int CONSTRAINT of_order REFERENCES orders); INSERT INTO lines VALUES (1, 1), (2, 2);
CREATE INDEX orders_short ON orders (short(text));
CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touched();
CREATE VIEW costly AS SELECT orders.* FROM orders JOIN users ON owner = users.id;
CREATE TABLE days (at date, n int, PRIMARY KEY (at)) PARTITION BY RANGE (at);
CREATE TABLE may PARTITION OF days FOR VALUES FROM ('2026-05-01') TO ('2026-06-01');
INSERT INTO days VALUES ('2026-05-02', 1); CREATE TABLE other.users (id int);
COMMENT ON TABLE orders IS 'bought'; SELECT pg_catalog.lo_from_bytea(0, 'large');
"""
RELATIONS = """
SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'p', 'v')
AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
"""


def relations(postgres, name):
    return sorted(postgres.psql(RELATIONS, name).split())


@pytest.fixture
def restored(tmp_path, place):
    """Restores into a database of a name of its own: which relations are there, the differences, the warnings."""
    made = []

    def restore(postgres, sql, *, rights=None, **chosen):
        database = postgres.database(sql=sql)
        (tmp_path / "taken").mkdir()
        artefact = engine_for(postgres, database).take(make_order(tmp_path / "taken"), RunControl())
        name = f"{database['dbname']}_part"
        made.append((postgres, name))
        user = {"user": postgres.role(rights)} if rights else {}
        source = PostgresqlSource(parameters={**database, **user})
        asked = PostgresqlRestorer(source, None, extra_client_folders=(postgres.bin,))
        order = RestoreOrder(artefact=artefact.path, facts=artefact.facts, name=name, **chosen)
        found = asked.restore(order, place, RunControl())
        differences = [each.describe() for each in found.comparison.differences]
        assert found.comparison.not_compared == ()
        return name, differences, found.warnings

    yield restore
    for postgres, name in made:
        postgres.psql(f'DROP DATABASE IF EXISTS "{name}"')


@pytest.mark.parametrize("rights", [None, "CREATEDB"], ids=["superuser", "plain"])
def test_tables_come_with_what_they_need(postgres, restored, rights):
    name, differences, warnings = restored(postgres, SHOP, tables=("orders", "app.l*"), rights=rights)
    assert differences == []
    assert relations(postgres, name) == ["app.lines", "app.orders"]
    assert warnings == ("left out, for it leads out of the chosen tables: FK CONSTRAINT orders owned",)
    assert postgres.psql("SELECT count(*), max(cost) FROM app.orders", name).strip() == "150|150"
    assert postgres.psql("SELECT nextval('app.orders_id_seq')", name).strip() == "151"
    kept = postgres.psql("SELECT conname FROM pg_constraint WHERE contype = 'f'", name).split()
    assert kept == ["of_order"]
    assert postgres.psql("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal", name).split() == ["touched"]
    assert postgres.psql("SELECT count(*) FROM pg_largeobject_metadata", name).strip() == "0"
    assert postgres.psql("SELECT obj_description('app.orders'::regclass)", name).strip() == "bought"


@pytest.mark.parametrize(
    ("pattern", "there"),
    [
        ("users", ["app.users", "other.users"]),
        ("days", ["app.days", "app.may"]),
        ("may", ["app.days", "app.may"]),
    ],
)
def test_a_bare_name_means_every_schema_and_a_whole_its_partitions(postgres, restored, pattern, there):
    name, differences, warnings = restored(postgres, SHOP, tables=(pattern,))
    assert (differences, warnings) == ([], ())
    assert relations(postgres, name) == there


@pytest.mark.parametrize("postgres_matrix", [14, 18], indirect=True, ids=["pg14", "pg18"])
def test_all_tables_of_a_rich_database_without_the_rest(postgres_matrix, restored):
    _, differences, _ = restored(postgres_matrix, postgres_rich.schema(postgres_matrix.major), tables=("*",))
    assert differences == []


def test_only_the_schema(postgres, restored):
    name, differences, warnings = restored(postgres, SHOP, schema_only=True)
    assert (differences, warnings) == ([], ())
    assert "app.costly" in relations(postgres, name)
    assert postgres.psql("SELECT count(*) FROM app.orders", name).strip() == "0"
    assert postgres.psql("SELECT count(*) FROM pg_largeobject_metadata", name).strip() == "0"


def test_only_the_schema_of_some_tables(postgres, restored):
    name, differences, _ = restored(postgres, SHOP, tables=("users", "orders"), schema_only=True)
    assert differences == []
    assert relations(postgres, name) == ["app.orders", "app.users", "other.users"]
    assert postgres.psql("SELECT count(*) FROM app.users", name).strip() == "0"


def test_a_name_that_means_no_table_makes_nothing(postgres, restored):
    with pytest.raises(SourceError, match="no table matches 'order', did you mean orders"):
        restored(postgres, SHOP, tables=("users", "order"))
    assert "_part" not in postgres.psql("SELECT datname FROM pg_database")
