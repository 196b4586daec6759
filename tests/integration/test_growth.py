"""A register that has grown for years: what a run, a scrape or a list costs, counted rather than timed."""

import contextlib
import json
import time
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import pytest

from amanat.domain.model import Outcome, ProofLevel, SnapshotState, Stage
from amanat.domain.policy import KeepRules
from amanat.faces.cli import output
from amanat.observability.metrics import DaemonState, RegisterCollector, render
from amanat.register.register import Register
from amanat.services import find, prune, reconcile, report, status
from amanat.store.local import LocalStore
from tests.support.many_snapshots import NEWEST, Growth, fill
from tests.support.metered import metered
from tests.support.workshop import Workshop

KEPT = 10
LONG = 3000
SOME = 100
LITTLE_MORE = 1.2  # index trees are a level deeper


@contextlib.contextmanager
def grown(folder, *, count=KEPT, pruned=0):
    """A workshop whose policy has ``count`` snapshots, and has had ``pruned`` more."""
    folder.mkdir()
    growth = Growth(count=count, pruned=pruned, every=timedelta(days=1))
    fill(growth, state=folder / "state", store=folder / "store")
    (folder / "store").rename(folder / "filled")
    made = Workshop(folder)
    made.store.rmdir()
    (folder / "filled").rename(made.store)
    made.policy = replace(made.policy, keep=KeepRules(last=KEPT, daily=KEPT))
    made.configure(made.policy)
    made.now = NEWEST + timedelta(days=1)
    try:
        yield made
    finally:
        made.app.ports.register.close()


def scrape(workshop):
    collector = RegisterCollector(workshop.app.ports, lambda: workshop.app.configuration, DaemonState())
    return render(collector)


ASKED = {
    "a run with its pruning": lambda workshop: workshop.take(),
    "a look for losses": lambda workshop: workshop.app.record_losses(by="x"),
    "status": lambda workshop: status.status(workshop.app.ports, workshop.app.configuration),
    "a list": lambda workshop: list(report.listed(workshop.app.ports, None, everything=False)),
    "a list of one database": lambda workshop: list(report.listed(workshop.app.ports, "app", everything=False)),
    "the newest runs": lambda workshop: workshop.app.ports.register.recent_runs(20),
    "those of a database": lambda workshop: workshop.app.ports.register.recent_runs(20, database="app"),
    "those of one that has none": lambda workshop: workshop.app.ports.register.recent_runs(20, database="x"),
    "latest": lambda workshop: find.snapshot(workshop.app.ports, "latest:app:nightly"),
    "a prefix": lambda workshop: find.snapshot(workshop.app.ports, newest(workshop).id[:11]),
    "plans": lambda workshop: prune.plans(workshop.app.ports, workshop.app.configuration, database=None),
    "reconcile": lambda workshop: reconcile.look(workshop.app.ports),
}


def newest(workshop):
    return workshop.app.ports.register.newest_snapshot(database="app", proven=True)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """By what was asked: the work with a short and with a long history of pruned snapshots and their runs."""
    found = {}
    for pruned in (SOME, LONG):
        with grown(tmp_path_factory.mktemp("grown") / "workshop", pruned=pruned) as workshop:
            workshop.database = replace(workshop.database, register_document=None)  # it tells the whole history
            workshop.configure(workshop.policy)
            for name, ask in ASKED.items():
                with metered(workshop.app.ports.register) as counted:
                    ask(workshop)
                found.setdefault(name, []).append(counted)
    return found


@pytest.mark.parametrize("name", ASKED)
def test_history_costs_nothing(work, name):
    short, long = work[name]
    assert short.statements == long.statements
    assert long.steps <= LITTLE_MORE * short.steps


def test_a_run_makes_few_statements_however_many_snapshots_are_kept(tmp_path):
    counted = []
    for number, count in enumerate((KEPT, 500)):
        with grown(tmp_path / str(number), count=count) as workshop:
            workshop.policy = replace(workshop.policy, keep=KeepRules(last=1000))
            workshop.configure(workshop.policy)
            with metered(workshop.app.ports.register) as work:
                workshop.take()
            counted.append(work.statements)
    assert counted[0] == counted[1] < 60


def test_metrics_of_ten_thousand_snapshots(tmp_path):
    """The budget is 50 ms on a quiet machine; steps tell more than time."""
    with grown(tmp_path / "workshop", count=0) as workshop:
        fill(Growth(count=10_000), state=workshop.app.settings.state)
        scrape(workshop)
        began = time.perf_counter()
        with metered(workshop.app.ports.register) as work:
            page = scrape(workshop).decode()
        took = time.perf_counter() - began
    assert 'amanat_snapshots{database="app",policy="nightly",proof="readable"} 10000.0' in page
    assert work.steps < 300_000
    assert took < 0.5


def test_a_list_streams(tmp_path):
    fill(Growth(count=5000), state=tmp_path)
    register = Register(tmp_path)
    tracemalloc.start()
    seen = sum(1 for _ in register.each_snapshot())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    register.close()
    assert seen == 5000
    assert peak < 6_000_000  # a page of a thousand, and the next


def test_who_stops_reading_a_list_holds_up_nobody(tmp_path):
    """A pager that waits for hours must not keep the write-ahead log from being folded into the file."""
    fill(Growth(count=2500), state=tmp_path)
    register = Register(tmp_path)
    listing = register.each_snapshot()
    first = next(listing)
    register.set_state(first, SnapshotState.MISSING)
    busy, _, _ = register._database._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0
    assert sum(1 for _ in listing) == 2499
    register.close()


def test_reconcile_opens_no_manifest_that_the_register_knows(tmp_path, monkeypatch):
    with grown(tmp_path / "workshop", count=50) as workshop:

        def opened(_store, path):
            raise AssertionError(path)

        monkeypatch.setattr(LocalStore, "read_manifest", opened)
        repairs = reconcile.look(workshop.app.ports)
        assert (repairs.count, repairs.foreign) == (0, ())


def test_json_of_a_list_is_the_same_one_by_one(capsys):
    for rows in ([], [{"a": [1, {"b": "line\u2028break\n"}]}], [{"a": 1}, {"a": []}, "x"]):
        output.print_json_list(iter(rows))
        assert capsys.readouterr().out == json.dumps(rows, ensure_ascii=False, indent=2) + "\n"


def test_many_snapshots_are_as_real_ones(tmp_path):
    """What stands in for years in tests and benchmarks: all its rows and files agree."""
    with grown(tmp_path / "workshop", count=3, pruned=4) as workshop:
        register = workshop.app.ports.register
        repairs = reconcile.look(workshop.app.ports)
        assert (repairs.count, repairs.foreign) == (0, ())
        assert [item.state for item in register.snapshots()] == ["present"] * 3 + ["pruned"] * 4
        assert {(row.stage, row.outcome, row.count) for row in register.run_counts()} == {
            (Stage.SNAPSHOT, Outcome.SUCCEEDED, 7),
            (Stage.PRUNE, Outcome.SUCCEEDED, 7),
        }
        proven = workshop.app.verify(newest(workshop), level=ProofLevel.STORED, by="x", wait=0)
        assert proven.proven
