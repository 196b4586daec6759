"""Pruning with real files: what goes, what guards refuse, and a simulated year of nightlies with failures."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from amanat.domain.errors import SourceError, StoreError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, ProofLevel, SnapshotState, Stage
from amanat.domain.policy import KeepRules
from amanat.services import prune, reconcile
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]


def present(workshop):
    return [item for item in workshop.app.ports.register.snapshots() if item.state is SnapshotState.PRESENT]


def nights(workshop, count):
    for _ in range(count):
        workshop.take()
        workshop.now += timedelta(days=1)


def test_after_a_run_the_rules_hold_and_files_follow_rows(workshop):
    nights(workshop, 6)
    assert len(present(workshop)) == 3
    assert workshop.files() == sorted(
        name for item in present(workshop) for name in (item.path, f"{item.path}.manifest.json")
    )


def test_a_held_snapshot_stays_until_it_is_released(workshop):
    first = workshop.take()
    workshop.app.hold(first, reason="audit", by="aysel")
    workshop.now += timedelta(days=1)
    nights(workshop, 6)
    assert first.id in {item.id for item in present(workshop)}
    held = next(item for item in present(workshop) if item.id == first.id)
    workshop.app.release(held, reason="done", by="aysel")
    nights(workshop, 1)
    assert first.id not in {item.id for item in present(workshop)}


def test_a_plan_that_removes_more_than_half_needs_its_id(workshop):
    workshop.configure(replace(workshop.policy, keep=KeepRules(last=30)))
    workshop.policy = replace(workshop.policy, keep=KeepRules(last=30))
    nights(workshop, 8)
    workshop.now -= timedelta(days=1)
    workshop.configure(replace(workshop.policy, keep=KeepRules(last=2)))
    (refused,) = workshop.app.prune(database=None, by="aysel", confirmed="", wait=0)
    assert [refusal.reason for refusal in refused.refusals] == ["too-many"]
    assert len(present(workshop)) == 8
    row = workshop.app.ports.register.recent_runs(1)[0]
    assert (row.stage, row.outcome, row.code) == (Stage.PRUNE, Outcome.REFUSED, "too-many")
    (done,) = workshop.app.prune(database=None, by="aysel", confirmed=refused.plan.id, wait=0)
    assert len(done.deleted) == 6
    assert len(present(workshop)) == 2


def test_a_clock_that_jumped_ahead_deletes_nothing(workshop):
    nights(workshop, 4)
    before = present(workshop)
    workshop.now += timedelta(days=400)
    workshop.take()
    assert {item.id for item in before} < {item.id for item in present(workshop)}
    row = next(run for run in workshop.app.ports.register.recent_runs(5) if run.stage is Stage.PRUNE)
    assert (row.outcome, row.code) == (Outcome.REFUSED, "clock-jumped")


def test_a_clock_that_went_back_deletes_nothing(workshop):
    nights(workshop, 4)
    before = present(workshop)
    workshop.now = T0 - timedelta(days=3)
    workshop.configure(replace(workshop.policy, keep=KeepRules(last=1)))
    (refused,) = workshop.app.prune(database=None, by="aysel", confirmed="", wait=0)
    assert not refused.plan.remove or "clock-backwards" in [item.reason for item in refused.refusals]
    assert present(workshop) == before


def test_a_policy_without_rules_any_more_keeps_everything(workshop):
    nights(workshop, 3)
    workshop.configure()
    (found,) = prune.plans(workshop.app.ports, workshop.app.configuration, database="app")
    assert found.plan.remove == ()


def test_a_deletion_that_died_half_way_is_finished_by_reconcile(workshop, monkeypatch):
    workshop.configure(replace(workshop.policy, keep=KeepRules(last=1)))
    workshop.take()
    workshop.now += timedelta(days=1)

    def die(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(workshop.app.ports.store, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            workshop.take()
    repairs = reconcile.reconcile(workshop.app.ports, by="test")
    assert len(repairs.pruned) == 1
    assert len(present(workshop)) == 1
    assert len(workshop.files()) == 2


def test_a_year_of_nightlies_with_failures_keeps_what_the_rules_say(workshop):
    """Every ninth night the source is away; weekly and monthly ones must come through all the same."""
    rules = KeepRules(last=3, daily=7, weekly=4, monthly=12)
    workshop.policy = replace(workshop.policy, keep=rules, proof=ProofLevel.READABLE)
    workshop.configure(workshop.policy)
    good = []
    away = workshop.source.with_suffix(".away")
    for night in range(366):
        workshop.now = T0 + timedelta(days=night)
        if night % 9 == 8:
            workshop.source.rename(away)
            with pytest.raises(SourceError):
                workshop.take()
            away.rename(workshop.source)
        else:
            good.append(workshop.take().taken_at.date())
    kept = sorted(item.taken_at.date() for item in present(workshop))
    assert kept == sorted(_expected(good))
    assert len(workshop.files()) == 2 * len(kept)


def _expected(good: list[date]) -> set[date]:
    """The rules in the plainest words, over the nights that succeeded."""

    def newest_of_each(bucket, count):
        newest = {bucket(day): day for day in good}
        wanted = sorted(newest, reverse=True)[:count]
        first = {good[0]} if len(newest) < count else set()
        return {newest[key] for key in wanted} | first

    return (
        set(good[-3:])
        | newest_of_each(lambda day: day, 7)
        | newest_of_each(lambda day: day.isocalendar()[:2], 4)
        | newest_of_each(lambda day: (day.year, day.month), 12)
    )


def test_a_file_that_somebody_removed_keeps_no_other_from_being_kept(workshop):
    workshop.policy = replace(workshop.policy, keep=KeepRules(last=1))
    workshop.configure(replace(workshop.policy, keep=KeepRules(last=5)))
    one = workshop.take(policy=replace(workshop.policy, keep=KeepRules(last=5)))
    workshop.now += timedelta(days=1)
    other = workshop.take(policy=replace(workshop.policy, keep=KeepRules(last=5)))
    (workshop.store / other.path).unlink()
    workshop.configure(workshop.policy)
    (planned,) = prune.plans(workshop.app.ports, workshop.app.configuration, database="app")
    assert [item.id for item in planned.plan.keep] == [one.id]
    workshop.app.prune(database=None, by="aysel", confirmed="", wait=0)
    assert [item.id for item in present(workshop)] == [one.id]
    assert [fields["snapshot"] for fields in workshop.told(Event.SNAPSHOT_LOST)] == [other.id]


def test_a_loss_is_recorded_once_and_taken_back_when_the_files_are_back(workshop):
    taken = workshop.take()
    manifest = workshop.store / f"{taken.path}.manifest.json"
    aside = manifest.rename(workshop.store.parent / "aside")
    for _ in range(2):
        workshop.app.record_losses(by="scheduler")
    assert len(workshop.told(Event.SNAPSHOT_LOST)) == 1
    assert present(workshop) == []
    aside.rename(manifest)
    workshop.app.record_losses(by="scheduler")
    assert [item.id for item in present(workshop)] == [taken.id]
    kinds = [(entry.kind, entry.outcome) for entry in workshop.app.ports.register.entries()]
    assert kinds[1:] == [("loss", "failed"), ("adoption", "succeeded")]


def test_a_store_that_is_not_mounted_is_no_loss(workshop):
    workshop.take()
    workshop.store.rename(workshop.store.with_name("unmounted"))
    with pytest.raises(StoreError, match="is missing"):
        workshop.app.record_losses(by="scheduler")
    assert len(present(workshop)) == 1


def test_an_empty_store_that_should_not_be_is_not_mounted(workshop):
    """Neither a loss nor a place for the next snapshot, until a person says that it really is empty."""
    workshop.take()
    workshop.store.rename(workshop.store.with_name("unmounted"))
    workshop.store.mkdir()
    for attempt in (workshop.take, lambda: workshop.app.record_losses(by="scheduler")):
        with pytest.raises(StoreError, match="is empty, and the register knows 1"):
            attempt()
    workshop.app.reconcile(by="aysel")
    assert workshop.take().proven
