"""The metrics page: what the register knows, also after a restart, and nothing that misleads an alert."""

from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from amanat.domain.errors import IntegrityError, SourceError
from amanat.domain.model import Outcome, ProofLevel, Stage
from amanat.domain.policy import Drills, Schedule
from amanat.observability.metrics import NAMES, DaemonState, RegisterCollector, render
from amanat.services.status import status
from tests.support.workshop import T0, workshop

__all__ = ["workshop"]
PAIR = {"database": "app", "policy": "nightly"}


@pytest.fixture
def page(workshop):
    state = DaemonState(heartbeat=5.0, config_loaded=6.0, chain_valid=True)
    collector = RegisterCollector(workshop.app.ports, lambda: workshop.app.configuration, state)

    def scrape():
        families = text_string_to_metric_families(render(collector).decode())
        return {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    return scrape


def value(found, name, **labels):
    return found[f"amanat_{name}", *sorted({**PAIR, **labels}.items())]


def test_a_policy_that_never_ran_reads_zero_and_not_healthy(page):
    found = page()
    assert value(found, "run_last_success_timestamp_seconds", stage="snapshot") == 0
    assert value(found, "last_proven_snapshot_timestamp_seconds") == 0
    for stage in Stage:
        for outcome in Outcome:
            assert value(found, "runs_total", stage=stage, outcome=outcome) == 0
    assert value(found, "retention_refused_total", reason="too-many") == 0


def test_a_success_is_seen_with_times_sizes_and_next_run(workshop, page):
    taken = workshop.take()
    found = page()
    assert value(found, "run_last_success_timestamp_seconds", stage="snapshot") == T0.timestamp()
    assert value(found, "last_proven_snapshot_timestamp_seconds") == T0.timestamp()
    assert value(found, "oldest_restorable_timestamp_seconds") == T0.timestamp()
    assert value(found, "snapshot_size_bytes") == taken.size_bytes
    assert value(found, "snapshots", proof="readable") == 1
    assert value(found, "policy_interval_seconds", stage="snapshot") == 86400
    assert (
        value(found, "policy_next_run_timestamp_seconds", stage="snapshot") == (T0 + timedelta(days=1)).timestamp()
    )
    assert found[("amanat_store_used_bytes",)] == taken.size_bytes
    assert found[("amanat_scheduler_heartbeat_timestamp_seconds",)] == 5.0


def test_a_failure_never_touches_the_success_timestamp(workshop, page):
    workshop.take()
    workshop.source.unlink()
    workshop.now += timedelta(days=1)
    with pytest.raises(SourceError):
        workshop.take()
    found = page()
    assert value(found, "run_last_success_timestamp_seconds", stage="snapshot") == T0.timestamp()
    assert value(found, "run_last_completion_timestamp_seconds", stage="snapshot") == workshop.now.timestamp()
    assert value(found, "runs_total", stage="snapshot", outcome="failed") == 1


def test_every_name_of_the_design_is_on_the_page_once_there_is_something_to_say(workshop, page):
    workshop.app.drill(workshop.take(), by="aysel", wait=0)
    names = {name for name, *_ in page()}
    assert names == set(NAMES)


def test_a_drill_that_failed_measures_no_time_to_recover(workshop, page):
    taken = workshop.take()
    path = workshop.app.ports.store.path(taken.path)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError):
        workshop.app.drill(taken, by="aysel", wait=0)
    found = page()
    assert not any(name == "amanat_drill_duration_seconds" for name, *_ in found)
    assert value(found, "runs_total", stage="drill", outcome="failed") == 1


def test_a_drill_that_failed_leaves_what_the_last_good_one_measured(workshop, page):
    taken = workshop.take()
    workshop.app.drill(taken, by="aysel", wait=0)
    before = value(page(), "drill_duration_seconds")
    workshop.app.ports.store.path(taken.path).write_bytes(b"x")
    with pytest.raises(IntegrityError):
        workshop.app.drill(taken, by="aysel", wait=0)
    assert value(page(), "drill_duration_seconds") == before


def test_what_a_policy_schedules_reads_zero_until_it_has_succeeded_and_nothing_else_does(workshop, page):
    weekly = Schedule(cron="0 4 * * sun", timezone="UTC")
    workshop.configure(replace(workshop.policy, drills=Drills(schedule=weekly)))
    found = page()
    assert value(found, "run_last_success_timestamp_seconds", stage="drill") == 0
    assert value(found, "policy_interval_seconds", stage="drill") == 7 * 86400
    assert ("amanat_run_last_success_timestamp_seconds", *sorted({**PAIR, "stage": "verify"}.items())) not in found
    workshop.app.drill(workshop.take(), by="aysel", wait=0)
    found = page()
    assert value(found, "run_last_success_timestamp_seconds", stage="drill") == T0.timestamp()
    assert value(found, "run_last_completion_timestamp_seconds", stage="drill") == T0.timestamp()


def test_the_time_to_recover_is_told_once_it_was_measured(workshop, page):
    key = ("amanat_recovery_estimate_seconds", ("database", "app"))
    taken = workshop.take()
    assert key not in page()
    workshop.app.drill(taken, by="aysel", wait=0)
    found = page()
    assert found[key] == pytest.approx(value(found, "drill_duration_seconds"))
    assert found[key] > 0


def test_every_proof_by_restoring_measures_and_comparing_is_no_part_of_it(workshop):
    policy = replace(workshop.policy, proof=ProofLevel.RESTORED)
    workshop.configure(policy)
    taken = workshop.take(policy=policy)
    workshop.app.verify(taken, level=ProofLevel.RESTORED, by="aysel", wait=0)
    workshop.app.verify(taken, level=ProofLevel.READABLE, by="aysel", wait=0)
    measured = [
        run.restore_seconds for run in workshop.app.ports.register.recent_runs(9) if run.stage is not Stage.PRUNE
    ]
    assert measured[0] is None and len([seconds for seconds in measured if seconds]) == 2
    (found,) = status(workshop.app.ports, workshop.app.configuration)["recovery"].items()
    assert (found[0], found[1]["basis"]) == ("app", "measured")
    assert found[1]["explanation"].startswith("measured in 2 restores of ")


def test_a_policy_that_is_gone_leaves_no_timestamp_to_alert_on(workshop, page):
    workshop.take()
    workshop.configure(replace(workshop.policy, name="other"))
    found = page()
    assert (
        "amanat_run_last_success_timestamp_seconds",
        *sorted({**PAIR, "stage": "snapshot"}.items()),
    ) not in found


def test_a_store_that_is_gone_does_not_break_the_page(workshop, page):
    workshop.store.rename(workshop.store.with_name("elsewhere"))
    assert ("amanat_store_free_bytes",) not in page()
