"""The register's narrow questions against the same answer worked out in Python from all that was written."""

import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.model import Outcome, ProofLevel, Run, Scope, SnapshotState, Stage
from amanat.register import snapshots
from amanat.register.register import Register
from tests.support.snapshots import snapshot

T = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
SCOPES = (Scope(), Scope(tables=("users",)))
ENDED = (Outcome.SUCCEEDED, Outcome.FAILED)
DATABASES, POLICIES = ("atis", "demo"), ("nightly", "manual")
GONE = {SnapshotState.PRUNED}
SUMMED = {SnapshotState.PRESENT, SnapshotState.DAMAGED, SnapshotState.MISSING}

some_snapshots = st.lists(
    st.builds(
        lambda hours, **said: snapshot(T + timedelta(hours=hours), **said),
        hours=st.integers(0, 3),  # few, so that times are equal
        id=st.from_regex(r"[0-9a-f]{12}", fullmatch=True),
        database=st.sampled_from(DATABASES),
        policy=st.sampled_from(POLICIES),
        scope=st.sampled_from(SCOPES),
        proof=st.sampled_from(ProofLevel),
        required_proof=st.sampled_from(ProofLevel),
        state=st.sampled_from(SnapshotState),
        size_bytes=st.integers(0, 100),
        source_bytes=st.integers(0, 100),
    ),
    max_size=12,
    unique_by=lambda each: each.id,
)
some_runs = st.lists(
    st.builds(
        lambda number, hours, ended, **said: Run(
            id=f"{number:012x}",
            by="x",
            started_at=T + timedelta(hours=hours),
            finished_at=T + timedelta(hours=ended) if said["outcome"] else None,
            **said,
        ),
        number=st.integers(0, 1_000_000),
        hours=st.integers(0, 3),
        ended=st.integers(-1, 4),  # a clock that was set back ends a run before it began
        stage=st.sampled_from(Stage),
        database=st.sampled_from(DATABASES),
        policy=st.sampled_from(POLICIES),
        outcome=st.none() | st.sampled_from(Outcome),
        code=st.sampled_from(("", "source")),
    ),
    max_size=12,
    unique_by=lambda run: run.id,
)


def filled(folder, *, kept=(), runs=()):
    register = Register(Path(folder))
    for item in kept:
        entry = Entry(at=T, by="x", kind=EntryKind.SNAPSHOT, database=item.database, snapshot=item.id)
        register.add_snapshot(item, entry)
    for run in runs:
        register.start_run(replace(run, finished_at=None, outcome=None, code=""))
        if run.outcome:
            register.finish_run(run)
    return closing(register)


def newest_first(found):
    return sorted(sorted(found, key=lambda each: each.id), key=lambda each: each.taken_at, reverse=True)


@settings(max_examples=25, deadline=None)
@given(some_snapshots, st.integers(1, 4))
def test_pages_are_the_whole_list_in_order(kept, page):
    pages = mock.patch.object(snapshots, "_PAGE", page)
    with tempfile.TemporaryDirectory() as folder, filled(folder, kept=kept) as register, pages:
        for database in (None, *DATABASES):
            mine = [item for item in newest_first(kept) if database in (None, item.database)]
            assert register.snapshots(database=database) == mine
            there = [item for item in mine if item.state not in GONE]
            assert register.snapshots(database=database, gone=False) == there


@settings(max_examples=25, deadline=None)
@given(some_snapshots)
def test_the_newest_of_a_kind(kept):
    with tempfile.TemporaryDirectory() as folder, filled(folder, kept=kept) as register:
        for database in (None, *DATABASES):
            for policy in (None, *POLICIES):
                for scope in (None, *SCOPES):
                    for proven in (False, True):
                        fits = [
                            item
                            for item in newest_first(kept)
                            if database in (None, item.database)
                            and policy in (None, item.policy)
                            and scope in (None, item.scope)
                            and (item.proven or not proven)
                        ]
                        found = register.newest_snapshot(
                            database=database, policy=policy, scope=scope, proven=proven
                        )
                        assert found == next(iter(fits), None)


@settings(max_examples=25, deadline=None)
@given(some_snapshots)
def test_sums_over_snapshots(kept):
    with tempfile.TemporaryDirectory() as folder, filled(folder, kept=kept) as register:
        pairs = {(item.database, item.policy) for item in kept if item.state not in GONE}
        assert register.groups() == sorted(pairs)
        assert register.groups("atis") == sorted(pair for pair in pairs if pair[0] == "atis")
        pruned = Counter((item.database, item.policy) for item in kept if item.state in GONE)
        assert register.pruned() == pruned
        totals = {(each.database, each.policy): each for each in register.snapshot_totals()}
        summed = [item for item in kept if item.state in SUMMED]
        assert totals.keys() == {(item.database, item.policy) for item in summed}
        for pair, each in totals.items():
            mine = [item for item in summed if (item.database, item.policy) == pair]
            proven = [item.taken_at for item in mine if item.proven]
            last = max(item.taken_at for item in mine)
            assert (each.proven, each.newest_proven, each.oldest_proven) == (
                len(proven),
                max(proven, default=None),
                min(proven, default=None),
            )
            assert each.by_proof == Counter(
                item.proof if item.state is SnapshotState.PRESENT else item.state for item in mine
            )
            there = [item.size_bytes for item in mine if item.state is not SnapshotState.MISSING]
            assert (each.total_bytes, each.present) == (sum(there), len(there))
            assert (each.last_bytes, each.last_source_bytes) in {
                (item.size_bytes, item.source_bytes) for item in mine if item.taken_at == last
            }


@settings(max_examples=25, deadline=None)
@given(some_runs)
def test_sums_over_runs(runs):
    with tempfile.TemporaryDirectory() as folder, filled(folder, runs=runs) as register:
        ended = [run for run in runs if run.outcome]
        counts = Counter((run.stage, run.policy, run.database, run.outcome, run.code) for run in ended)
        found = {
            (each.stage, each.policy, each.database, each.outcome, each.code): each
            for each in register.run_counts()
        }
        assert {kind: each.count for kind, each in found.items()} == counts
        for kind, each in found.items():
            mine = [run for run in ended if (run.stage, run.policy, run.database, run.outcome, run.code) == kind]
            assert each.last_finished == max(run.finished_at for run in mine)
        known = [*(run.started_at for run in runs), *(run.finished_at for run in ended)]
        assert register.last_seen() == max(known, default=None)
        for stage in Stage:
            for database in DATABASES:
                mine = [
                    run for run in ended if (run.stage, run.database, run.policy) == (stage, database, "nightly")
                ]
                for outcomes in (ENDED, (Outcome.SKIPPED,)):
                    fits = [run for run in mine if run.outcome in outcomes]
                    newest = register.newest_run(stage, "nightly", database, outcomes=outcomes)
                    assert (newest and newest.finished_at) == max((run.finished_at for run in fits), default=None)
                    assert newest is None or newest in fits
        last = {
            (run.stage, run.policy, run.database): run.finished_at for run in register.last_runs(outcomes=ENDED)
        }
        finals = [run for run in ended if run.outcome in ENDED]
        for run in finals:
            assert run.finished_at <= last[run.stage, run.policy, run.database]
        assert last.keys() == {(run.stage, run.policy, run.database) for run in finals}
