"""From request to committed snapshot: the order of a run, its retries, and what a failure leaves."""

import os
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.errors import BusyError, ConfigurationError, IntegrityError, ProofError, SourceError, SpaceError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, ProofLevel, Scope, SnapshotState, Stage
from amanat.domain.policy import MANUAL, Retry
from amanat.engines.sqlite.proof import SqliteProver
from amanat.services import find
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]


def runs(workshop, stage=Stage.SNAPSHOT):
    return [run for run in workshop.app.ports.register.recent_runs(50) if run.stage is stage]


def test_a_snapshot_is_committed_proven_registered_and_documented(workshop):
    taken = workshop.take(purpose="why")
    assert workshop.files() == [taken.path, f"{taken.path}.manifest.json"]
    assert taken.proven and taken.taken_at == T0
    assert workshop.app.ports.register.snapshots() == [taken]
    assert taken.read_at == taken.proof_at
    assert workshop.app.ports.store.read_manifest(taken.path).snapshot == replace(taken, read_at=None)
    (run,) = runs(workshop)
    assert (run.outcome, run.snapshot, run.artefact) == (Outcome.SUCCEEDED, taken.id, taken.path)
    assert taken.path in workshop.database.register_document.read_text()


def test_the_manifest_tells_of_the_application(workshop, tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(f"{'ab' * 20}\n")
    database = replace(workshop.database, application=tmp_path)
    told = [workshop.take(database=database, version="2.7"), workshop.take(version="2.7"), workshop.take()]
    extras = [workshop.app.ports.store.read_manifest(taken.path).facts.extra for taken in told]
    assert [extra.get("application") for extra in extras] == [
        {"version": "2.7", "commit": "ab" * 20},
        {"version": "2.7"},
        None,
    ]


def test_the_path_is_named_in_the_row_before_the_file_is_there(workshop, monkeypatch):
    seen = []
    store = workshop.app.ports.store
    commit = store.commit

    def look(*args, **kwargs):
        seen.append((runs(workshop)[0].artefact, workshop.files()))
        return commit(*args, **kwargs)

    monkeypatch.setattr(store, "commit", look)
    taken = workshop.take()
    assert seen[0][0] == taken.path
    assert all(name.startswith(".staging/") for name in seen[0][1])


def test_two_snapshots_of_one_second_get_two_files(workshop):
    one, other = workshop.take(), workshop.take()
    assert one.path != other.path
    assert other.path.endswith("_2.sqlite")


def test_a_transient_failure_is_tried_again_and_each_attempt_has_its_row(workshop):
    real = workshop.app.ports.engine_of
    failures = iter([SourceError("server is starting up", transient=True)])

    def engine_of(database):
        for failure in failures:
            raise failure
        return real(database)

    workshop.app = replace(workshop.app, ports=replace(workshop.app.ports, engine_of=engine_of))
    policy = replace(workshop.policy, retry=Retry(attempts=2, backoff=timedelta(milliseconds=1)))
    taken = workshop.take(policy=policy, scheduled_at=T0)
    assert taken.proven
    assert [(run.attempt, run.outcome) for run in reversed(runs(workshop))] == [(1, "failed"), (2, "succeeded")]
    assert len(workshop.told(Event.RUN_RETRIED)) == 1


@pytest.mark.parametrize(("transient", "attempts"), [(True, 3), (False, 1)])
def test_only_transient_failures_are_retried_and_only_so_often(workshop, transient, attempts):
    def engine_of(_database):
        raise SourceError("no", transient=transient)

    workshop.app = replace(workshop.app, ports=replace(workshop.app.ports, engine_of=engine_of))
    policy = replace(workshop.policy, retry=Retry(attempts=3, backoff=timedelta(milliseconds=1)))
    with pytest.raises(SourceError):
        workshop.take(policy=policy)
    assert [run.outcome for run in runs(workshop)] == [Outcome.FAILED] * attempts
    (entry,) = workshop.app.ports.register.entries()
    assert (entry.outcome, entry.detail) == ("failed", "no")


def test_a_failure_leaves_no_file_and_harms_no_older_snapshot(workshop):
    older = workshop.take()
    before = workshop.files()
    workshop.source.rename(workshop.source.with_suffix(".gone"))
    with pytest.raises(SourceError):
        workshop.take()
    assert workshop.files() == before
    assert workshop.app.ports.register.snapshots() == [older]


def test_a_proof_that_fails_commits_nothing(workshop, monkeypatch):
    """The disk gives other bytes back than were written."""
    real = os.posix_fadvise

    def forget(descriptor, start, length, advice):
        real(descriptor, start, length, advice)
        Path(f"/proc/self/fd/{descriptor}").resolve().write_bytes(bytes(length))

    monkeypatch.setattr(os, "posix_fadvise", forget)
    with pytest.raises(IntegrityError, match="not what was written"):
        workshop.take()
    assert workshop.files() == []
    assert runs(workshop)[0].code == "integrity"


@pytest.mark.parametrize("level", [ProofLevel.STORED, ProofLevel.READABLE])
def test_an_artefact_is_examined_once_and_only_if_that_was_asked_for(workshop, monkeypatch, level):
    examined = []
    real = SqliteProver.prove_readable

    def look(self, artefact, *rest):
        examined.append(artefact.name)
        real(self, artefact, *rest)

    monkeypatch.setattr(SqliteProver, "prove_readable", look)
    workshop.take(policy=replace(workshop.policy, proof=level))
    assert len(examined) == (level is ProofLevel.READABLE)


def test_what_is_found_while_the_disk_is_read_fails_the_proof(workshop, monkeypatch):
    def fail(*_):
        raise ProofError("the artefact is not a readable database", hint="take a new snapshot")

    monkeypatch.setattr(SqliteProver, "prove_readable", fail)
    with pytest.raises(ProofError):
        workshop.take()
    assert workshop.files() == []
    assert runs(workshop)[0].code == "proof"


def test_too_little_space_is_refused_before_a_byte_is_written(workshop, monkeypatch):
    monkeypatch.setattr(workshop.app.ports.store, "free_bytes", lambda: 100)
    with pytest.raises(SpaceError, match="needs about"):
        workshop.take()
    assert workshop.files() == []


def test_a_purpose_can_be_required(workshop):
    policy = replace(workshop.policy, purpose_required=True)
    with pytest.raises(ConfigurationError, match="requires a purpose"):
        workshop.take(policy=policy, purpose="  ")
    assert workshop.take(policy=policy, purpose="release").purpose == "release"


def test_a_locked_database_is_busy_and_the_row_says_skipped(workshop):
    control = workshop.app.ports.controls(timeout=None, label={})
    with workshop.app.locks.database("app", control, wait=0), pytest.raises(BusyError):
        workshop.take(wait=0.1)
    assert [(run.outcome, run.code) for run in runs(workshop)] == [(Outcome.SKIPPED, "busy")]


def test_one_run_at_a_time_on_a_database(workshop):
    errors = []

    def take():
        try:
            workshop.take(wait=30)
        except Exception as exc:  # noqa: BLE001 - told to the test
            errors.append(exc)

    threads = [threading.Thread(target=take) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(workshop.app.ports.register.snapshots()) == 5
    assert len({item.path for item in workshop.app.ports.register.snapshots()}) == 5


def test_counts_in_the_file_name_are_the_snapshots_own(workshop):
    policy = replace(workshop.policy, file_name="{environment}_{count.users}users_{date}")
    assert workshop.take(policy=policy).path == "app/local_2users_20260101.sqlite"


def test_the_scope_of_the_request_wins_and_is_registered(workshop):
    taken = workshop.take(policy=MANUAL, scope=Scope(tables=("use*",)))
    assert taken.scope.describe() == "tables: use*"
    with pytest.raises(SourceError, match="surveys"):
        workshop.take(policy=MANUAL, scope=Scope(tables=("surveys",)))


def test_verify_raises_the_level_and_finds_damage(workshop):
    policy = replace(workshop.policy, proof=ProofLevel.STORED)
    taken = workshop.take(policy=policy)
    proven = workshop.app.verify(taken, level=ProofLevel.READABLE, by="aysel", wait=0)
    assert proven.proof is ProofLevel.READABLE
    kept = workshop.app.verify(proven, level=ProofLevel.STORED, by="aysel", wait=0)
    assert kept.proof is ProofLevel.READABLE
    file = workshop.store / taken.path
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    with pytest.raises(IntegrityError, match="not what was written"):
        workshop.app.verify(kept, level=ProofLevel.STORED, by="aysel", wait=0)
    (row,) = workshop.app.ports.register.snapshots()
    assert (row.state, row.proven) == (SnapshotState.DAMAGED, False)


def test_a_document_that_cannot_be_written_is_told_and_harms_nothing(workshop):
    workshop.database.register_document.parent.parent.joinpath("docs").write_text("a file, not a folder")
    assert workshop.take().proven
    assert workshop.told(Event.DOCUMENT_FAILED)


def test_waiting_for_the_lock_is_not_part_of_the_timeout(workshop):
    """A run that waited as long as its timeout must still have all of it for its work."""
    policy = replace(workshop.policy, timeout=timedelta(seconds=0.5))
    control = workshop.app.ports.controls(timeout=None, label={})
    taken = []
    waiting = threading.Thread(target=lambda: taken.append(workshop.take(policy=policy, wait=10)))
    with workshop.app.locks.database("app", control, wait=0):
        waiting.start()
        waiting.join(1.0)
        assert taken == []
    waiting.join(10)
    assert taken[0].proven


def test_chosen_tables_cannot_stand_for_a_policys_snapshot(workshop):
    with pytest.raises(ConfigurationError, match="cannot go under policy nightly"):
        workshop.take(scope=Scope(tables=("users",)))
    assert runs(workshop) == []


def test_latest_means_the_whole_database_where_there_is_one(workshop):
    whole = workshop.take()
    workshop.now += timedelta(hours=1)
    part = workshop.take(policy=MANUAL, scope=Scope(tables=("users",)))
    ports = workshop.app.ports
    assert find.snapshot(ports, "latest:app").id == whole.id
    assert find.snapshot(ports, "latest:app:manual").id == part.id
