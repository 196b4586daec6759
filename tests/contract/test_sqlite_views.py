"""A part of a SQLite database keeps the views that need nothing else, and names those that it leaves out."""

import pytest

from amanat.domain.model import Scope
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import SqliteEngine
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.sqlite_databases import build, rows

VIEWS = """
CREATE TABLE t (a); CREATE TABLE u (b);
INSERT INTO t VALUES (1); INSERT INTO u VALUES (2);
CREATE VIEW of_t AS SELECT a FROM t;
CREATE VIEW of_u AS SELECT b FROM u;
CREATE VIEW "of both" AS SELECT a FROM of_t WHERE a NOT IN (SELECT b FROM of_u);
CREATE VIEW by_the_application AS SELECT its_own(a) FROM t;
CREATE TRIGGER into_t INSTEAD OF INSERT ON of_t BEGIN INSERT INTO t VALUES (NEW.a); END;
"""


@pytest.mark.parametrize(
    ("scope", "kept", "told"),
    [
        (Scope(exclude=("u",)), ["by_the_application", "of_t"], ["of both, of_u"]),
        (Scope(exclude_data=("u",)), ["by_the_application", "of both", "of_t", "of_u"], []),
        (Scope(tables=("t",)), [], []),
    ],
    ids=["exclude", "exclude_data", "tables"],
)
def test_views_of_a_part(tmp_path, scope, kept, told):
    source = build(tmp_path / "app.sqlite", VIEWS)
    (tmp_path / "run").mkdir()
    artefact = SqliteEngine(SqliteSource(path=source)).take(
        make_order(tmp_path / "run", scope=scope), RunControl()
    )
    found = rows(artefact.path, "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY name")
    assert [name for (name,) in found] == kept
    assert [warning.rpartition(": ")[2] for warning in artefact.warnings] == told
