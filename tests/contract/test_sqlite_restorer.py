"""A SQLite artefact is restored beside the live file, whole or in part; what stands there is known and dropped."""

import os
import re
import sqlite3
import stat
import time
from contextlib import closing
from functools import partial

import pytest

from amanat.domain.changes import Changed
from amanat.domain.errors import IntegrityError, RefusedError, SourceError, StoreError, TimeoutExceededError
from amanat.domain.model import ProofLevel
from amanat.domain.policy import CodecName, Compression, SqliteSource
from amanat.domain.sql_check import SqlCheck, parse_expectation
from amanat.engines.sqlite import SqliteEngine, SqliteRestorer
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from amanat.ports.restoring import RestoreOrder
from tests.contract.engine_contract import make_order
from tests.support import unprivileged
from tests.support.sqlite_databases import build, rows
from tests.support.sqlite_swaps import DEAD, Workplace, changing_calls, child, digests, killed, mode, told

TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL);
INSERT INTO users (name) VALUES ('a'), ('b'), ('c');
CREATE TABLE posts (id INTEGER PRIMARY KEY, user INTEGER REFERENCES users (id), body TEXT);
INSERT INTO posts (user, body) VALUES (1, 'x'), (2, 'y');
CREATE INDEX posts_user ON posts (user);
CREATE TRIGGER posts_once BEFORE INSERT ON posts BEGIN SELECT 1; END;
CREATE VIEW names AS SELECT name FROM users;
CREATE VIRTUAL TABLE words USING fts5 (word);
INSERT INTO words VALUES ('kitab');
CREATE TABLE migrations (id INTEGER PRIMARY KEY, migration TEXT, batch INTEGER);
INSERT INTO migrations (migration, batch) VALUES ('first', 1);
"""


@pytest.fixture
def at(tmp_path):
    (tmp_path / "live").mkdir()
    return Workplace(build(tmp_path / "live" / "app.sqlite", TABLES))


def take(at, folder, **fields):
    (run := folder / "run").mkdir()
    order = make_order(run, **{"proof": ProofLevel.RESTORED, **fields})
    return SqliteEngine(SqliteSource(path=at.live)).take(order, RunControl())


def restore(at, artefact, target, **fields):
    order = RestoreOrder(artefact=artefact.path, facts=artefact.facts, name=str(target), **fields)
    return at.restorer.restore(order, at.place(), RunControl())


def differences(rehearsed):
    return [difference.describe() for difference in rehearsed.comparison.differences]


def execute(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("codec", [CodecName.NONE, CodecName.ZSTD])
def test_the_whole_of_it_stands_beside_private_and_alone(at, tmp_path, codec):
    artefact = take(at, tmp_path, compression=Compression(codec=codec))
    done = restore(at, artefact, at.beside())
    assert (differences(done), done.comparison.not_compared, done.warnings) == ([], (), ())
    assert digests(at.beside()) == digests(at.live)
    assert stat.S_IMODE(at.beside().stat().st_mode) == 0o600
    assert {path.name for path in at.live.parent.iterdir()} == {"app.sqlite", at.beside().name}


def test_what_differs_is_told_and_stays_for_who_ordered_it(at, tmp_path):
    artefact = take(at, tmp_path)
    execute(artefact.path, "DELETE FROM users WHERE id = 2")
    check = SqlCheck(sql="SELECT count(*) FROM posts", expect=parse_expectation("3"))
    found = differences(restore(at, artefact, at.beside(), checks=[check]))
    assert any(line.startswith("rows of users: expected 3 rows") for line in found), found
    assert any("SELECT count(*) FROM posts" in line for line in found), found
    assert at.beside().exists()


def test_one_that_stands_in_has_the_journal_mode_of_the_live_one(at, tmp_path):
    artefact = take(at, tmp_path)
    execute(at.live, "PRAGMA journal_mode = DELETE")
    restore(at, artefact, tmp_path / "new.sqlite")
    restore(at, artefact, at.beside(), stands_in=True)
    assert (mode(tmp_path / "new.sqlite"), mode(at.beside())) == ("wal", "delete")


@pytest.mark.parametrize("there", ["", "-wal", "-shm", "-journal"])
@pytest.mark.parametrize("dangling", [True, False])
def test_nothing_is_ever_overwritten(at, tmp_path, there, dangling):
    artefact, target = take(at, tmp_path), tmp_path / "new.sqlite"
    path = tmp_path / f"new.sqlite{there}"
    path.symlink_to("nowhere") if dangling else path.touch()
    with pytest.raises(RefusedError, match="already"):
        restore(at, artefact, target)
    assert not list(tmp_path.glob("*.part-*"))


def test_too_little_room_is_told_before_anything_is_written(at, tmp_path, root):
    artefact, folder = take(at, tmp_path), tmp_path / "small"
    folder.mkdir()
    mount = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=32k tmpfs "$0" && exec "$@"', str(folder))
    refused = told(child(at.live, "restore", artefact.path, folder / "new.sqlite", around=mount))
    assert refused["error"] == "SpaceError"
    assert re.search(r"has 32.0 KiB free, and the restore takes \d+.0 KiB", refused["message"])


def test_some_tables_alone_come_with_their_own(at, tmp_path):
    target = tmp_path / "new.sqlite"
    done = restore(at, take(at, tmp_path), target, tables=("post*", "words"))
    assert differences(done) == []
    objects = {name for (name,) in rows(target, "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'words_%'")}
    assert objects == {"posts", "posts_user", "posts_once", "words"}
    assert rows(target, "SELECT * FROM posts") == [(1, 1, "x"), (2, 2, "y")]
    assert rows(target, "SELECT word FROM words WHERE words MATCH 'kitab'") == [("kitab",)]


def test_of_some_tables_only_these_are_compared(at, tmp_path):
    artefact = take(at, tmp_path)
    execute(artefact.path, "DELETE FROM users", "UPDATE posts SET body = 'z'", "DROP INDEX posts_user")
    found = differences(restore(at, artefact, tmp_path / "new.sqlite", tables=("posts",)))
    assert [line.split(":")[0] for line in found] == ["index posts.posts_user", "rows of posts"]


@pytest.mark.parametrize("tables", [(), ("posts", "words")])
def test_the_schema_alone_has_no_rows(at, tmp_path, tables):
    target = tmp_path / "new.sqlite"
    assert differences(restore(at, take(at, tmp_path), target, tables=tables, schema_only=True)) == []
    assert rows(target, "SELECT * FROM posts") == rows(target, "SELECT * FROM words") == []
    wanted = "SELECT count(*) FROM sqlite_schema"
    assert tables or rows(target, wanted) == rows(at.live, wanted)


def test_a_pattern_that_means_no_table_is_an_error(at, tmp_path):
    artefact, target = take(at, tmp_path), tmp_path / "new.sqlite"
    with pytest.raises(SourceError, match="no table matches 'postz', did you mean posts"):
        restore(at, artefact, target, tables=("users", "postz"))
    assert not list(tmp_path.glob("new.sqlite*"))


@pytest.mark.parametrize("codec", [CodecName.NONE, CodecName.ZSTD])
def test_what_does_not_restore_leaves_nothing(at, tmp_path, codec):
    artefact = take(at, tmp_path, compression=Compression(codec=codec))
    artefact.path.write_bytes(b"nothing" * 1000)
    for tables in ((), ("users",)):
        with pytest.raises(IntegrityError, match="does not restore"):
            restore(at, artefact, tmp_path / "new.sqlite", tables=tables)
    assert not list(tmp_path.glob("new.sqlite*"))


def test_a_killed_restore_leaves_no_half_of_a_database_and_is_swept(at, tmp_path):
    artefact = build(tmp_path / "live" / "artefact", TABLES, journal_mode="delete")
    arguments = ("restore", artefact.name, at.beside(DEAD).name)
    *_, rename, _ = calls = changing_calls(tmp_path / "live", at.live.name, *arguments)
    assert rename[0] == "rename", calls
    for call in (calls[1], rename):
        killed(tmp_path / "live", call, at.live.name, *arguments)
        assert not at.beside(DEAD).exists() and list(at.live.parent.glob("*.part-*"))
        at.restorer.sweep(at.place(), RunControl())
        assert {path.name for path in at.live.parent.iterdir()} == {at.live.name, "artefact"}


def test_what_dead_runs_restored_is_swept_and_no_more(at):
    for name in (at.beside(DEAD), at.beside(), at.before(DEAD), at.before()):
        name.touch()
    for ending in ("-wal", "-shm"):
        at.beside(DEAD).with_name(at.beside(DEAD).name + ending).touch()
    assert at.restorer.sweep(at.place(), RunControl()) == [str(at.beside(DEAD))]
    left = {path.name for path in at.live.parent.iterdir()}
    assert left == {at.live.name, at.beside().name, at.before(DEAD).name, at.before().name}
    assert at.restorer.sweep(at.place(), RunControl()) == []


def test_what_stands_aside_has_a_size_and_is_dropped_with_all_beside_it(at):
    asked = (at.place(), RunControl())
    at.before().write_bytes(b"x" * 1000)
    at.before().with_name(f"{at.before().name}-wal").touch()
    assert at.restorer.size(str(at.before()), *asked) == 1000
    for _ in range(2):
        at.restorer.drop(str(at.before()), *asked)
        assert at.restorer.size(str(at.before()), *asked) is None
    assert [path.name for path in at.live.parent.iterdir()] == [at.live.name]
    with pytest.raises(RefusedError, match="is the live database"):
        at.restorer.drop(str(at.live), *asked)
    assert 0 < at.restorer.free_bytes(*asked) <= os.statvfs(at.live.parent).f_bavail * 4096


def required(at):
    return told(child(at.live, "require"))


def test_a_swap_that_can_be_done_is_not_refused_and_leaves_nothing(at):
    assert required(at) == {}
    assert [path.name for path in at.live.parent.iterdir()] == [at.live.name]


def test_what_keeps_a_swap_from_being_done_is_told_before(at):
    (other := at.live.with_name("other")).hardlink_to(at.live)
    assert "2 hard links" in required(at)["message"]
    other.unlink()
    at.live.rename(other)
    assert "does not exist" in required(at)["message"]
    at.live.write_bytes(b"nothing" * 1000)
    assert "not a SQLite database" in required(at)["message"]


def test_who_may_not_give_it_its_owner_is_told_before(at, root):
    """Neither root nor the owner: one right is kept there, to pass every folder."""
    os.chown(at.live, 12345, 23456)
    refused = told(child(at.live, "require", around=unprivileged.around()))
    assert refused["error"] == "RefusedError" and "Operation not permitted" in refused["message"]
    assert [path.name for path in at.live.parent.iterdir()] == [at.live.name]


def test_a_file_that_is_mounted_by_itself_cannot_be_exchanged(at, tmp_path, root):
    (other := tmp_path / "other").write_bytes(at.live.read_bytes())
    mount = ("unshare", "--mount", "sh", "-c", f'mount --bind "$0" {at.live} && exec "$@"', str(other))
    refused = told(child(at.live, "require", around=mount))
    assert refused["error"] == "RefusedError" and "cannot be exchanged" in refused["message"]


def test_a_folder_that_cannot_be_written_is_told_before(at, root):
    mount = ("unshare", "--mount", "sh", "-c", 'mount --bind -o ro "$0" "$0" && exec "$@"', str(at.live.parent))
    refused = told(child(at.live, "require", around=mount))
    assert refused["error"] == "RefusedError" and "Read-only file system" in refused["message"]


def test_a_folder_that_is_not_there_is_told(at, tmp_path):
    with pytest.raises(StoreError, match="No such file or directory"):
        restore(at, take(at, tmp_path), tmp_path / "missing" / "new.sqlite")


def test_what_was_written_since_is_told(at, tmp_path):
    facts = take(at, tmp_path).facts
    asked = partial(at.restorer.changes, facts, at.place(), RunControl(), seconds=5.0)
    assert list(asked().describe()) == []
    execute(
        at.live,
        "INSERT INTO users (name) VALUES ('d')",
        "DROP TABLE posts",
        "CREATE TABLE tags (id INTEGER PRIMARY KEY)",
        "INSERT INTO tags VALUES (1)",
        "DROP VIEW names",
        "CREATE VIEW names AS SELECT 1",
        "INSERT INTO migrations (migration, batch) VALUES ('second', 2), ('third', 2)",
    )
    changes = asked()
    assert changes.tables == (
        Changed(name="migrations", then=1, now=3),
        Changed(name="posts", then=2, now=None),
        Changed(name="tags", then=None, now=1),
        Changed(name="users", then=3, now=4),
    )
    assert changes.sequences == (Changed(name="users", then=4, now=5),)
    assert changes.migrations == ("second", "third")
    assert set(changes.schema) == {
        "table posts: dropped since",
        "table tags: made since",
        "view names: altered since",
    }
    assert changes.not_counted == ()


def test_what_nobody_counted_then_is_not_compared(at, tmp_path):
    facts = take(at, tmp_path, proof=ProofLevel.READABLE, counts=("users",)).facts
    execute(at.live, "DELETE FROM users WHERE id = 1", "DELETE FROM posts")
    changes = at.restorer.changes(facts, at.place(), RunControl(), seconds=5.0)
    assert changes.tables == (Changed(name="users", then=3, now=2),)
    assert changes.not_counted == ("migrations", "posts", "words")


def test_who_gets_no_look_at_it_says_so_when_the_time_is_over(at, tmp_path):
    facts = take(at, tmp_path).facts
    execute(at.live, "PRAGMA journal_mode = DELETE")
    with closing(sqlite3.connect(at.live, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        found = at.restorer.changes(facts, at.place(), RunControl(), seconds=0.5)
        assert 0.4 < time.monotonic() - began < 2
    assert found.not_counted == facts.tables


def test_small_tables_are_counted_first(at, tmp_path):
    execute(
        at.live, "CREATE TABLE a_log (id INTEGER)", "INSERT INTO a_log VALUES (1), (2), (3), (4), (5), (6), (7)"
    )
    facts = take(at, tmp_path).facts

    class Reins(RunControl):
        """Lets some tables be counted, and then there is no more time."""

        left = len(facts.rows) - 1

        def check(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise TimeoutExceededError("took too long", hint="")

    found = at.restorer.changes(facts, at.place(), Reins(), seconds=5.0)
    assert found.not_counted == ("a_log",)


def test_a_link_in_a_policy_is_followed_to_the_file(at, tmp_path):
    (link := tmp_path / "link.sqlite").symlink_to(at.live)
    place = Place(run=DEAD, folder=tmp_path, scratch=tmp_path, is_dead=lambda _: False)
    names = SqliteRestorer(SqliteSource(path=link)).names(place, RunControl())
    assert (names.live, names.beside, names.before) == (str(at.live), str(at.beside(DEAD)), str(at.before(DEAD)))
