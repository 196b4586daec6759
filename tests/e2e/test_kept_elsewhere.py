"""What is kept beside a database is of that one alone, whatever the policy file, a link or a mount says today."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.applications import PostgresqlApplication, SqliteApplication
from tests.support.cli import Amanat

pytestmark = pytest.mark.slow

PURPOSE = "--purpose=failed"
ROLLBACK = ("rollback", "app", "--yes", PURPOSE)
SOURCE = "engine: sqlite\n    path: current/app.sqlite"


def text(path):
    with closing(sqlite3.connect(path)) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM texts ORDER BY rowid")]


def write(path, value):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS texts (value text)")
        connection.execute("INSERT INTO texts VALUES (?)", (value,))


class Linked(SqliteApplication):
    """Its database lies behind a link, which a deployment moves; a second one lies elsewhere."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("one", "two"):
            (folder / name).mkdir()
            write(folder / name / "app.sqlite", f"release {name}")
        self.link("one")
        self.path = folder / "current" / "app.sqlite"
        self.amanat = Amanat(folder)
        self._source = SOURCE
        self.configure()

    def link(self, name):
        current = self.folder / "current"
        current.unlink(missing_ok=True)
        if name:
            current.symlink_to(name)

    def texts(self):
        return {name: text(self.folder / name / "app.sqlite") for name in ("one", "two")}

    def asides(self):
        return [aside["name"] for aside in self.amanat.json("status")["asides"]]


@pytest.fixture
def linked(tmp_path):
    made = Linked(tmp_path)
    made.snapshot()
    write(made.path, "later")
    return made


def test_neither_undo_nor_rollback_puts_one_database_into_the_place_of_another(linked):
    amanat = linked.amanat
    amanat.ok(*ROLLBACK)
    linked.link("two")
    before = linked.texts()
    for command in (("undo", "app", "--yes"), ROLLBACK):
        said = amanat.fails(4, *command)
        assert (
            str(linked.folder / "one" / "app.sqlite") in said and str(linked.folder / "two" / "app.sqlite") in said
        )
        assert "--from-elsewhere" in said
    assert linked.texts() == before
    assert str(linked.folder / "two" / "app.sqlite") in amanat.fails(4, "accept", "app")
    done = amanat.json(*ROLLBACK, "--from-elsewhere")
    assert "of another database: its path is" in done["warnings"][0]
    assert linked.texts() == {"one": ["release one"], "two": ["release one"]}


def test_undo_of_another_environment_is_refused(linked):
    linked.amanat.ok(*ROLLBACK)
    policies = linked.amanat.folder / "policies.yaml"
    policies.write_text(policies.read_text().replace("environment: staging", "environment: production"))
    said = linked.amanat.fails(4, "undo", "app", "--yes")
    assert "environment staging" in said and "in production now" in said


@pytest.mark.parametrize("place", ["two", ""])
def test_what_cannot_be_seen_is_not_forgotten(linked, place):
    """The time of the one is over, the other is held; neither is there for a moment."""
    amanat = linked.amanat
    linked.configure(more="undo_window: 1s")
    amanat.ok(*ROLLBACK)
    amanat.ok(*ROLLBACK)
    amanat.ok("hold", "kept:app", "--reason=evidence")
    kept = linked.asides()
    hidden = [linked.folder / name for name in ("hidden-1", "hidden-2")]
    for name, where in zip(kept, hidden, strict=True):
        Path(name).rename(where)
    linked.link(place)
    done = amanat.run("reconcile")
    assert str(linked.folder / ("two" if place else "current") / "app.sqlite") in done.stdout + done.stderr
    assert linked.asides() == kept
    linked.link("one")
    hidden[0].rename(kept[0])
    hidden[1].rename(kept[1])
    assert amanat.json("reconcile")["expired"] == [kept[1]]
    Path(kept[0]).unlink()
    done = amanat.run("reconcile")
    assert "is held (evidence), and cannot be seen" in done.stdout + done.stderr
    assert linked.asides() == [kept[0]]


def test_a_swap_that_was_done_is_settled_where_it_was_done(linked):
    amanat = linked.amanat
    linked.configure(hooks="{after_swap: [{shell: 'kill -9 $PPID'}]}")
    amanat.run(*ROLLBACK)
    linked.configure()
    for place in ("two", ""):
        linked.link(place)
        done = amanat.run("reconcile")
        assert "cannot be settled yet" in done.stdout + done.stderr
        amanat.fails(4 if place else 3, "accept", "app")
        assert len(amanat.query("SELECT * FROM swaps")) == 1
    linked.link("one")
    amanat.ok("undo", "app", "--yes")
    assert linked.texts()["one"] == ["release one", "later"]


def test_accept_gives_up_a_swap_of_which_nothing_can_be_seen(linked):
    amanat = linked.amanat
    linked.configure(hooks="{after_swap: [{shell: 'kill -9 $PPID'}]}")
    amanat.run(*ROLLBACK)
    linked.configure()
    (swap,) = amanat.query("SELECT outgoing FROM swaps")
    Path(swap["outgoing"]).unlink()
    done = amanat.run("reconcile")
    assert f"nor {swap['outgoing']} is there" in done.stdout + done.stderr
    done = amanat.run("accept", "app")
    assert done.returncode == 0
    assert "is given up" in done.stdout + done.stderr
    assert amanat.query("SELECT * FROM swaps") == []
    (entry,) = amanat.query("SELECT outcome, detail FROM entries WHERE kind = 'rollback'")
    assert entry["outcome"] == "interrupted" and "not known" in entry["detail"]


def test_accept_drops_what_a_dead_undo_was_about_to_swap_in(linked):
    amanat = linked.amanat
    amanat.ok(*ROLLBACK)
    (kept,) = linked.asides()
    with closing(sqlite3.connect(linked.path)) as other:
        other.execute("SELECT * FROM texts").fetchall()
        with amanat.started("undo", "app", "--yes") as process:
            process.wait_for("the swap", lambda: amanat.query("SELECT 1 FROM swaps"))
            process.kill()
    assert kept in amanat.ok("accept", "app")
    assert linked.asides() == [] and not Path(kept).exists()


def test_the_last_one_is_the_last_that_was_swapped_whatever_the_clock_said(linked):
    amanat = linked.amanat
    amanat.ok(*ROLLBACK)
    amanat.query("UPDATE asides SET since = '2100-01-01T00:00:00.000000Z', until = '2100-01-02T00:00:00.000000Z'")
    write(linked.path, "second")
    amanat.ok(*ROLLBACK)
    amanat.ok("undo", "app", "--yes")
    assert linked.texts()["one"] == ["release one", "second"]


@pytest.mark.parametrize("command", [("undo", "app"), ("rollback", "app", PURPOSE)])
def test_who_was_shown_another_state_does_not_swap(linked, command):
    """The one waits for the other, and does not undo what he did."""
    amanat = linked.amanat
    amanat.ok(*ROLLBACK)
    there, go = linked.folder / "there", linked.folder / "go"
    linked.configure(
        hooks=f"{{before_restore: [{{shell: 'touch {there}; until test -e {go}; do sleep 0.1; done'}}]}}"
    )
    with amanat.started("undo", "app", "--yes") as first:
        first.wait_for("the hook", there.exists)
        with amanat.started(*command, "--yes", "--wait=1m") as second:
            second.wait_for("what is shown", lambda: "what was written since" in second.output().lower())
            go.touch()
            assert first.wait() == 0
            assert second.wait() == 4
            assert "since" in second.output()
    assert linked.texts()["one"] == ["release one", "later"]
    assert len(amanat.query("SELECT * FROM entries WHERE kind IN ('undo', 'rollback')")) == 2


def test_without_the_daemon_a_snapshot_lets_go_of_what_is_over(linked):
    amanat = linked.amanat
    linked.configure(more="undo_window: 1s")
    amanat.ok(*ROLLBACK)
    (kept,) = linked.asides()
    amanat.query("UPDATE asides SET until = since")
    linked.snapshot()
    assert linked.asides() == [] and not Path(kept).exists()


def test_a_clock_ahead_of_every_run_drops_nothing(linked):
    """By a look of the command line alone: the register is told of two days ago."""
    amanat = linked.amanat
    amanat.ok(*ROLLBACK)
    for table, columns in {"runs": ("started_at", "finished_at"), "run_totals": ("last_finished",),
                           "asides": ("since", "until")}.items():  # fmt: skip
        for column in columns:
            amanat.query(f"UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%fZ', {column}, '-2 days')")
    kept = linked.asides()
    assert amanat.json("reconcile")["expired"] == []
    linked.snapshot()
    assert linked.asides() == kept
    assert amanat.json("reconcile")["expired"] == kept


def test_postgresql_of_another_name_or_another_server(tmp_path, postgres):
    application = PostgresqlApplication(tmp_path, postgres)
    amanat, name = application.amanat, application.conninfo["dbname"]
    taken = application.snapshot()
    amanat.ok(*ROLLBACK)
    staging = PostgresqlApplication(tmp_path, postgres)
    before = staging.digests()
    for command in (("undo", "app", "--yes"), (*ROLLBACK, f"--to={taken}")):
        said = amanat.fails(4, *command)
        assert f"database {name}" in said or f"database is {name}" in said
        assert staging.conninfo["dbname"] in said
    amanat.query("UPDATE asides SET until = since")
    done = amanat.run("reconcile")
    assert "is left alone: it is of system identifier" in done.stdout + done.stderr
    assert staging.digests() == before
    amanat.query("UPDATE asides SET place = replace(place, 'system identifier ', 'system identifier 1')")
    application.configure()
    assert "system identifier 1" in amanat.fails(4, "undo", "app", "--yes")
    assert amanat.json("reconcile")["expired"] == []
    amanat.ok("undo", "app", "--yes", "--from-elsewhere")
