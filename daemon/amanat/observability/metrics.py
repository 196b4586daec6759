"""Prometheus metrics, read from the register at each scrape: a restart resets nothing, a CLI run counts.

Names, labels and meanings: design section 8. Timestamps, never "seconds since".
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from amanat import __version__
from amanat.domain.aside import AsideKind
from amanat.domain.errors import AmanatError
from amanat.domain.model import FALLBACK, Outcome, ProofLevel, SnapshotState, Stage
from amanat.domain.policy import Configuration, Schedule
from amanat.domain.recovery import recoveries
from amanat.domain.retention_guards import RefusalReason
from amanat.domain.schedule import interval, jittered, next_instants
from amanat.ports import Ports

_PROOFS = (*ProofLevel, SnapshotState.DAMAGED, SnapshotState.MISSING)
_PAIR = ("database", "policy")
_STAGED = ("database", "policy", "stage")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

FAMILIES = {
    "run_last_success_timestamp_seconds": ("When the last run that succeeded ended; 0: never.", _STAGED),
    "run_last_completion_timestamp_seconds": (
        "When the last run that succeeded or failed ended; 0: never.",
        _STAGED,
    ),
    "run_duration_seconds": ("How long the last run that succeeded or failed took.", _STAGED),
    "runs_total": ("Runs by outcome.", (*_STAGED, "outcome")),
    "drill_duration_seconds": (
        "How long the last drill that succeeded took to restore: a measured time to recover.",
        _PAIR,
    ),
    "recovery_estimate_seconds": (
        "How long the database would take to restore, by the restores that were measured.",
        ("database",),
    ),
    "compression_fallbacks_total": (
        "Snapshots that pg_dump had to compress by itself, slowly.",
        _PAIR,
    ),
    "policy_interval_seconds": ("Longest regular pause between scheduled runs.", _STAGED),
    "policy_next_run_timestamp_seconds": ("When the next scheduled run starts.", _STAGED),
    "policy_missed_runs_total": ("Scheduled instants that were missed for good.", _STAGED),
    "snapshots": ("Snapshots by the proof they have reached, or damaged, or missing.", (*_PAIR, "proof")),
    "snapshot_size_bytes": ("Size of the newest snapshot.", _PAIR),
    "snapshot_source_bytes": ("Size of the database when the newest snapshot was taken.", _PAIR),
    "last_proven_snapshot_timestamp_seconds": ("When the newest proven snapshot was taken; 0: none.", _PAIR),
    "oldest_restorable_timestamp_seconds": ("When the oldest proven snapshot was taken; 0: none.", _PAIR),
    "retention_deleted_total": ("Snapshots that retention deleted.", _PAIR),
    "retention_refused_total": ("Prunings that a guard refused.", (*_PAIR, "reason")),
    "undo_until_timestamp_seconds": (
        "Until when the database that was live before the last swap is kept; 0: nothing is.",
        ("database",),
    ),
    "undo_size_bytes": ("What is kept of databases that were swapped out.", ("database",)),
    "warm_size_bytes": ("The restore that stands ready for a rollback; 0: none does.", ("database",)),
    "warm_snapshot_timestamp_seconds": ("When its snapshot was restored and proven; 0: none.", ("database",)),
    "register_chain_valid": (
        "1 if the register was what it was when the daemon last looked; 0: amanat register verify tells.",
        (),
    ),
    "store_free_bytes": ("Free space in the store's file system.", ()),
    "store_used_bytes": ("Bytes of all snapshots in the store.", ()),
    "clock_skew_seconds": ("How far the clock has jumped since the daemon started.", ()),
    "config_last_reload_successful": ("1 if the policy file in force is the one on the disk.", ()),
    "config_last_reload_success_timestamp_seconds": ("When the policy file was last taken over.", ()),
    "scheduler_heartbeat_timestamp_seconds": ("When the scheduler loop last came round.", ()),
    "build_info": ("The version that runs, as a label; always 1.", ("version",)),
}
"""Name without ``amanat_`` → help and labels; a name that ends with ``_total`` is a counter."""

NAMES = tuple(f"amanat_{name}" for name in FAMILIES)


@dataclass
class DaemonState:
    """What only the running daemon knows; written by the scheduler's face, read here and by ``/readyz``.

    ``chain_valid``: None until it was looked at.
    """

    heartbeat: float = 0.0
    config_ok: bool = True
    config_loaded: float = 0.0
    clock_skew: float = 0.0
    chain_valid: bool | None = None


class RegisterCollector(Collector):
    """``configuration``: asked at each scrape, it changes on reload."""

    def __init__(self, ports: Ports, configuration: Callable[[], Configuration], state: DaemonState) -> None:
        self._ports = ports
        self._configuration = configuration
        self._state = state

    def describe(self) -> Iterable[Metric]:
        return ()  # else the registry would collect once while it is built

    def collect(self) -> Iterator[Metric]:
        families = _Families()
        self._runs(families)
        self._recovery(families)
        self._policies(families)
        self._snapshots(families)
        self._asides(families)
        self._host(families)
        return families.all()

    def _runs(self, families: "_Families") -> None:
        """Every outcome from 0; times only of what is configured: a policy that is gone must not alert."""
        pairs = self._pairs()
        counts = {(*pair, stage, outcome): 0 for pair in pairs for stage in Stage for outcome in Outcome}
        refused = {(*pair, reason): 0 for pair in pairs for reason in RefusalReason}
        fallbacks = dict.fromkeys(pairs, 0)
        success = dict.fromkeys(self._stages(), 0.0)
        for row in self._ports.register.run_counts():
            key = (row.database, row.policy, row.stage)
            counts[*key, row.outcome] = counts.get((*key, row.outcome), 0) + row.count
            if row.outcome is Outcome.SUCCEEDED and key in success:
                success[key] = max(success[key], row.last_finished.timestamp())
                if row.code == FALLBACK:
                    fallbacks[row.database, row.policy] = row.count
            if row.stage is Stage.PRUNE and row.outcome is Outcome.REFUSED:
                refused[row.database, row.policy, RefusalReason(row.code)] = row.count
        families.put("runs_total", counts)
        families.put("compression_fallbacks_total", fallbacks)
        families.put("run_last_success_timestamp_seconds", success)
        families.put("retention_refused_total", refused)
        self._last_runs(families, dict.fromkeys(success, 0.0))

    def _last_runs(self, families: "_Families", completion: dict[tuple[str, str, Stage], float]) -> None:
        durations: dict[tuple[str, str, Stage], float] = {}
        for run in self._ports.register.last_runs(outcomes=(Outcome.SUCCEEDED, Outcome.FAILED)):
            key = (run.database, run.policy, run.stage)
            if run.finished_at and key in completion:
                completion[key] = run.finished_at.timestamp()
                durations[key] = (run.finished_at - run.started_at).total_seconds()
        families.put("run_last_completion_timestamp_seconds", completion)
        families.put("run_duration_seconds", durations)

    def _recovery(self, families: "_Families") -> None:
        """Nothing where nothing was measured: no number is better than one that nobody has seen."""
        succeeded = self._ports.register.last_runs(outcomes=(Outcome.SUCCEEDED,))
        drills = ((run, run.restore_seconds) for run in succeeded if run.stage is Stage.DRILL)
        measured = {(run.database, run.policy): took for run, took in drills if took is not None}
        families.put("drill_duration_seconds", measured)
        configured = self._configuration().databases
        told = recoveries(self._ports.register.histories())
        known = {
            (name,): each.seconds for name, each in told.items() if name in configured and each.seconds is not None
        }
        families.put("recovery_estimate_seconds", known)

    def _policies(self, families: "_Families") -> None:
        now = self._ports.now()
        missed = self._ports.register.missed_slots()
        for job in self._configuration().jobs():
            key = (job.database.name, job.policy.name, job.stage)
            slot = next(next_instants(job.schedule, now))
            start = jittered(job.schedule, slot, job.id)
            lost = missed.get((job.stage, job.policy.name, job.database.name), 0)
            families.put("policy_interval_seconds", {key: _interval(job.schedule, now.date())})
            families.put("policy_next_run_timestamp_seconds", {key: start.timestamp()})
            families.put("policy_missed_runs_total", {key: lost})

    def _snapshots(self, families: "_Families") -> None:
        newest = dict.fromkeys(self._pairs(), 0.0)
        oldest = dict(newest)
        by_proof = {(*pair, proof): 0 for pair in self._pairs() for proof in _PROOFS}
        used = 0
        for totals in self._ports.register.snapshot_totals():
            pair = (totals.database, totals.policy)
            by_proof.update({(*pair, proof): count for proof, count in totals.by_proof.items()})
            families.put("snapshot_size_bytes", {pair: totals.last_bytes})
            families.put("snapshot_source_bytes", {pair: totals.last_source_bytes})
            newest[pair] = totals.newest_proven.timestamp() if totals.newest_proven else 0.0
            oldest[pair] = totals.oldest_proven.timestamp() if totals.oldest_proven else 0.0
            used += totals.total_bytes
        families.put("snapshots", by_proof)
        families.put("last_proven_snapshot_timestamp_seconds", newest)
        families.put("oldest_restorable_timestamp_seconds", oldest)
        families.put("retention_deleted_total", dict.fromkeys(self._pairs(), 0) | self._ports.register.pruned())
        families.put("store_used_bytes", {(): used})

    def _asides(self, families: "_Families") -> None:
        known = {(name,): 0.0 for name in self._configuration().databases}
        until, kept, warm, proven = dict(known), dict(known), dict(known), dict(known)
        for aside in self._ports.register.asides.all():
            key = (aside.database,)
            if aside.kind is AsideKind.WARM:
                warm[key], proven[key] = aside.size_bytes, aside.since.timestamp()
            else:
                kept[key] = kept.get(key, 0.0) + aside.size_bytes
                until[key] = max(until.get(key, 0.0), aside.until.timestamp())
        families.put("undo_until_timestamp_seconds", until)
        families.put("undo_size_bytes", kept)
        families.put("warm_size_bytes", warm)
        families.put("warm_snapshot_timestamp_seconds", proven)

    def _host(self, families: "_Families") -> None:
        with contextlib.suppress(AmanatError):  # a store that is gone has no free space to tell of
            families.put("store_free_bytes", {(): self._ports.store.free_bytes()})
        if self._state.chain_valid is not None:
            families.put("register_chain_valid", {(): int(self._state.chain_valid)})
        families.put("clock_skew_seconds", {(): self._state.clock_skew})
        families.put("config_last_reload_successful", {(): int(self._state.config_ok)})
        families.put("config_last_reload_success_timestamp_seconds", {(): self._state.config_loaded})
        families.put("scheduler_heartbeat_timestamp_seconds", {(): self._state.heartbeat})
        families.put("build_info", {(__version__,): 1})

    def _stages(self) -> list[tuple[str, str, Stage]]:
        """What is to succeed: snapshots and pruning of every policy, and what else it has a schedule for."""
        always = [(*pair, stage) for pair in self._pairs() for stage in (Stage.SNAPSHOT, Stage.PRUNE)]
        jobs = [(job.database.name, job.policy.name, job.stage) for job in self._configuration().jobs()]
        return [*dict.fromkeys((*always, *jobs))]

    def _pairs(self) -> list[tuple[str, str]]:
        return [(database.name, policy.name) for policy, database in self._configuration().pairs()]


@lru_cache(maxsize=1024)
def _interval(schedule: Schedule, day: date) -> float:
    """Looks at days of instants, so it is not asked anew at each scrape."""
    return interval(schedule, datetime.combine(day, time(), tzinfo=UTC)).total_seconds()


class _Families:
    """Metric families by name, filled label set by label set."""

    def __init__(self) -> None:
        self._families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {
            name: (CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily)(
                f"amanat_{name}", text, labels=labels
            )
            for name, (text, labels) in FAMILIES.items()
        }

    def put(self, name: str, values: Mapping[Any, float]) -> None:
        """``values``: by the tuple of label values, in the order of the family's labels."""
        for labels, value in values.items():
            self._families[name].add_metric([str(label) for label in labels], value)

    def all(self) -> Iterator[Metric]:
        return iter(self._families.values())


def render(collector: Collector) -> bytes:
    """The page for ``/metrics``, in Prometheus's text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
