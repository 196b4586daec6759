"""`amanat runs`: every attempt, newest first, with what became of it."""

import re

import pytest

from tests.support.scene import locked, staged, wait_for_open_run

HEAD = ["STARTED", "TOOK", "STAGE", "DATABASE", "POLICY", "OUTCOME", "ATTEMPT", "CODE", "DETAIL", "SNAPSHOT"]


@pytest.fixture
def amanat(tmp_path):
    return staged(tmp_path)


def shown(amanat, *args):
    """Rows of the table, by column."""
    head, *lines = amanat.ok("runs", *args).splitlines()
    assert head.split("\t") == HEAD
    return [dict(zip(HEAD, line.split("\t"), strict=True)) for line in lines]


def test_what_succeeded_and_what_failed(amanat):
    taken = amanat.json("snapshot", "app", "--policy=nightly")
    source = amanat.folder / "app.sqlite"
    source.rename(source.with_name("elsewhere"))
    amanat.fails(3, "snapshot", "app")
    failed, pruning, snapshot = shown(amanat)
    assert (failed["STAGE"], failed["OUTCOME"], failed["CODE"]) == ("snapshot", "failed", "source")
    assert "app.sqlite" in failed["DETAIL"]
    assert (failed["POLICY"], failed["ATTEMPT"], failed["SNAPSHOT"]) == ("manual", "1", "")
    assert (pruning["STAGE"], pruning["OUTCOME"]) == ("prune", "succeeded")
    assert (snapshot["POLICY"], snapshot["OUTCOME"], snapshot["SNAPSHOT"]) == ("nightly", "succeeded", taken["id"])
    assert re.fullmatch(r"[\d.]+s", snapshot["TOOK"])


def test_only_so_many_and_only_of_one_database(amanat):
    for _ in range(2):
        amanat.ok("snapshot", "app")
    amanat.query("UPDATE runs SET database = 'former' WHERE rowid = 1")
    assert len(amanat.json("runs")) == 4
    assert [row["database"] for row in amanat.json("runs", "--limit=1")] == ["app"]
    assert [row["database"] for row in amanat.json("runs", "former", "--limit=5")] == ["former"]
    assert "no database 'nope'" in amanat.fails(5, "runs", "nope")


def test_one_at_work_and_one_whose_process_died(amanat):
    with locked(amanat.folder / "app.sqlite"), amanat.started("snapshot", "app") as process:
        wait_for_open_run(amanat)
        assert [row["OUTCOME"] for row in shown(amanat)] == ["running"]
        process.kill()
        assert [(row["OUTCOME"], row["TOOK"]) for row in shown(amanat)] == [("died", "")]
    assert amanat.json("runs")[0]["outcome"] is None
