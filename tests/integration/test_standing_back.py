"""A run that stood back is tried again, for as long as its policy's timeout allows; its instant is not lost."""

from dataclasses import replace
from datetime import timedelta

import pytest

from amanat import deferred
from amanat.domain.errors import InterruptedRunError, SourceError, YieldedError
from amanat.domain.events import Event
from amanat.domain.model import Outcome, Stage
from amanat.domain.policy import Configuration, Retry
from amanat.host.control import RunControl
from amanat.observability.metrics import DaemonState, RegisterCollector
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]

YIELDED = YieldedError("somebody waits", hint="later", transient=True)
FAILED = SourceError("server is starting up", transient=True)
ALWAYS = [YIELDED] * 100
PATIENT = Retry(attempts=2, backoff=timedelta(minutes=1))


class Clock(RunControl):
    """Pauses pass at once, by the workshop's clock."""

    workshop = None

    def wait(self, seconds):
        self.workshop.now += timedelta(seconds=seconds)
        self.check()


def stage(workshop, *errors):
    """The attempts to come raise ``errors``, each after a minute's work; those after them succeed."""
    coming = iter(errors)

    def engine_of(database):
        for error in coming:
            workshop.now += timedelta(minutes=1)
            raise error
        return deferred.engine_of(database)

    def controls(*, timeout, label):
        control = Clock(stop=workshop.app.stop)
        control.workshop = workshop
        return control

    workshop.app = replace(workshop.app, ports=replace(workshop.app.ports, engine_of=engine_of, controls=controls))
    workshop.policy = replace(workshop.policy, retry=PATIENT, timeout=timedelta(hours=2))
    workshop.configure(workshop.policy)


def outcomes(workshop):
    runs = [run for run in workshop.app.ports.register.recent_runs(50) if run.stage is Stage.SNAPSHOT]
    return [(run.attempt, run.outcome) for run in reversed(runs)]


def entries(workshop):
    return [entry.outcome for entry in workshop.app.ports.register.entries()]


def pauses(workshop):
    return [fields["pause_seconds"] / 60 for fields in workshop.told(Event.RUN_RETRIED)]


def wake(workshop, at):
    workshop.now = at
    return workshop.app.run_due(workshop.job)


def slot(workshop):
    register, key = workshop.app.ports.register, (Stage.SNAPSHOT, "nightly", "app")
    return register.last_slot(*key), register.missed_slots().get(key, 0)


def test_standing_back_does_not_count_as_a_failed_attempt(workshop):
    stage(workshop, YIELDED, YIELDED, FAILED, YIELDED)
    assert workshop.take().proven
    assert [outcome for _, outcome in outcomes(workshop)] == [
        "yielded",
        "yielded",
        "failed",
        "yielded",
        "succeeded",
    ]
    assert entries(workshop) == ["succeeded"]


def test_failures_are_counted_among_them(workshop):
    stage(workshop, FAILED, YIELDED, FAILED, YIELDED)
    with pytest.raises(SourceError):
        workshop.take()
    assert [outcome for _, outcome in outcomes(workshop)] == ["failed", "yielded", "failed"]
    assert entries(workshop) == ["failed"]


def test_the_pause_doubles_up_to_a_quarter_of_an_hour_and_the_timeout_ends_it(workshop):
    stage(workshop, *ALWAYS)
    with pytest.raises(YieldedError):
        workshop.take()
    assert pauses(workshop) == [1, 2, 4, 8, *[15] * 6]
    assert workshop.now <= T0 + workshop.policy.timeout
    assert workshop.now > T0 + workshop.policy.timeout - timedelta(minutes=20)
    assert {outcome for _, outcome in outcomes(workshop)} == {Outcome.YIELDED}
    assert entries(workshop) == ["yielded"]


def test_a_longer_pause_of_the_policy_is_kept(workshop):
    stage(workshop, YIELDED, YIELDED)
    policy = replace(workshop.policy, retry=Retry(backoff=timedelta(minutes=40)))
    assert workshop.take(policy=policy).proven
    assert pauses(workshop) == [40, 40]


def test_what_is_told_of_a_retry(workshop):
    stage(workshop, YIELDED)
    workshop.take()
    (told,) = workshop.told(Event.RUN_RETRIED)
    assert told == {
        "database": "app",
        "policy": "nightly",
        "attempt": 1,
        "pause_seconds": 60,
        "code": "yielded",
        "reason": "somebody waits",
    }


def test_an_instant_whose_runs_all_stood_back_is_tried_again_within_catch_up(workshop):
    stage(workshop, *ALWAYS)
    with pytest.raises(YieldedError):
        wake(workshop, T0)
    assert slot(workshop) == (None, 0)
    tried = len(outcomes(workshop))
    stage(workshop)
    taken = wake(workshop, T0 + timedelta(hours=6))
    assert taken.scheduled_at == T0
    assert outcomes(workshop)[-1] == (tried + 1, Outcome.SUCCEEDED)
    assert slot(workshop) == (T0, 0)


def test_and_after_that_it_is_counted_as_missed(workshop):
    assert wake(workshop, T0).proven
    stage(workshop, *ALWAYS)
    with pytest.raises(YieldedError):
        wake(workshop, T0 + timedelta(days=1))
    stage(workshop)
    assert wake(workshop, T0 + timedelta(days=2)).scheduled_at == T0 + timedelta(days=2)
    assert slot(workshop) == (T0 + timedelta(days=2), 1)
    assert workshop.told(Event.SLOT_MISSED)


def test_a_stop_during_the_pause_leaves_the_instant_open_and_an_entry(workshop):
    stage(workshop, YIELDED)
    emit = workshop.app.ports.emit

    def stop_after(event, /, **fields):
        emit(event, **fields)
        if event is Event.RUN_RETRIED:
            workshop.app.stop.set()

    workshop.app = replace(workshop.app, ports=replace(workshop.app.ports, emit=stop_after))
    with pytest.raises(InterruptedRunError):
        wake(workshop, T0)
    workshop.app.stop.clear()
    assert (slot(workshop), entries(workshop)) == ((None, 0), ["interrupted"])
    assert wake(workshop, T0 + timedelta(hours=1)).scheduled_at == T0


def test_metrics_of_a_policy_that_only_ever_stands_back(workshop):
    """Its age alerts: nothing makes it look done."""
    stage(workshop, *ALWAYS)
    with pytest.raises(YieldedError):
        workshop.take()
    configuration = Configuration(databases={"app": workshop.database}, policies={"nightly": workshop.policy})
    collector = RegisterCollector(workshop.app.ports, lambda: configuration, DaemonState())
    samples = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in collector.collect()
        for sample in family.samples
        if sample.labels.get("stage") == Stage.SNAPSHOT
    }
    assert samples["amanat_runs_total", "yielded"] == 11
    assert samples["amanat_runs_total", "failed"] == 0
    assert samples["amanat_run_last_success_timestamp_seconds", None] == 0
    assert samples["amanat_run_last_completion_timestamp_seconds", None] == 0
