"""One page for an auditor: what is kept of a database, what is proven, and whether the record of it holds.

It is redacted by what it is made of: nothing of how the database is reached, no reason of a failed run (which may
name hosts), no folder of this host; paths are those within the store.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from amanat.domain.errors import IntegrityError
from amanat.domain.model import Outcome, ProofLevel, Run, Snapshot, SnapshotState, Stage, utc_text
from amanat.domain.policy import MANUAL, Configuration, Policy
from amanat.domain.recovery import UNKNOWN, about, recoveries
from amanat.domain.units import format_duration, format_size
from amanat.ports import Ports
from amanat.services import audit, losses
from amanat.services.page import Page, Section
from amanat.services.report import optional_text

_HERE = (SnapshotState.PRESENT, SnapshotState.DAMAGED)
_ENDED = (Outcome.SUCCEEDED, Outcome.FAILED)
_LEAD = "Times are UTC. How the database is reached is left out; files are named as in the store."
_OF_RUNS = "From the register's table of runs, which its chain does not cover."
_LEVELS = (
    ("stored", "the bytes were read back from the disk, and are those that were written"),
    ("readable", "the whole file decodes, and holds what the database held at that moment"),
    ("restored", "it was restored into a scratch database and compared with the facts of that moment"),
)


def collect(ports: Ports, configuration: Configuration, database: str, *, version: str) -> dict[str, Any]:
    """JSON-ready. ``version``: of Amanat. Reads every manifest of the store, as ``register verify`` does."""
    known = losses.as_on_disk(ports, ports.register.each_snapshot(database=database, gone=False))
    known = [row for row in known if row.state is not SnapshotState.PRUNING]
    kept = [row for row in known if row.state in _HERE]
    policies = [policy for policy, one in configuration.pairs() if one.name == database]
    configured = configuration.databases.get(database)
    environments = {row.environment for row in kept} | ({configured.environment} if configured else set())
    return {
        "at": utc_text(ports.now()),
        "amanat": version,
        "database": database,
        "environments": sorted(environments),
        "engines": sorted({str(row.engine) for row in kept}),
        "kept": [
            _kept(policy, [row for row in known if row.policy == policy])
            for policy in sorted({row.policy for row in known})
        ],
        "newest_by_proof": [_newest(level, kept) for level in ProofLevel if level is not ProofLevel.NONE],
        "recovery": asdict(recoveries(ports.register.histories()).get(database, UNKNOWN)),
        "runs": [_run(run) for run in ports.register.last_runs(outcomes=_ENDED) if run.database == database],
        "holds": [_hold(row) for row in kept if row.held],
        "retention": [_retention(policy) for policy in policies or [MANUAL]],
        "chain": _chain(ports),
        "tools": _tools(ports, kept),
    }


def _kept(policy: str, known: list[Snapshot]) -> dict[str, Any]:
    """``known``: newest first, as they are on the disk."""
    here = [row for row in known if row.state in _HERE]
    times, proven = [row.taken_at for row in here], [row.taken_at for row in here if row.proven]
    states = (row.proof if row.state is SnapshotState.PRESENT else row.state for row in known)
    return {
        "policy": policy,
        "snapshots": len(here),
        "proven": len(proven),
        "by_proof": dict(Counter(map(str, states))),
        "bytes": sum(row.size_bytes for row in here),
        "newest": optional_text(max(times, default=None)),
        "oldest": optional_text(min(times, default=None)),
        "newest_proven": optional_text(max(proven, default=None)),
        "oldest_proven": optional_text(min(proven, default=None)),
    }


def _newest(level: ProofLevel, kept: Iterable[Snapshot]) -> dict[str, Any]:
    """The newest snapshot that reached the level and is whole; ``snapshot`` None: none did."""
    reached = (row for row in kept if row.state is SnapshotState.PRESENT and row.proof.reaches(level))
    row = next(reached, None)
    return {
        "level": level,
        "snapshot": row.id if row else None,
        "path": row.path if row else None,
        "taken_at": optional_text(row.taken_at if row else None),
        "proof_at": optional_text(row.proof_at if row else None),
        "read_at": optional_text(row.read_at if row else None),
    }


def _run(run: Run) -> dict[str, Any]:
    took = run.finished_at - run.started_at if run.finished_at else None
    return {
        "stage": run.stage,
        "policy": run.policy,
        "outcome": run.outcome,
        "finished_at": optional_text(run.finished_at),
        "seconds": took.total_seconds() if took is not None else None,
        "took": format_duration(took) if took is not None else None,
        "restore_seconds": run.restore_seconds,
    }


def _hold(row: Snapshot) -> dict[str, Any]:
    return {"snapshot": row.id, "path": row.path, "taken_at": utc_text(row.taken_at), "reasons": list(row.held)}


def _retention(policy: Policy) -> dict[str, Any]:
    when = {stage: f"{schedule.cron} in {schedule.timezone}" for stage, schedule in policy.schedules.items()}
    return {
        "policy": policy.name,
        "schedule": when.get(Stage.SNAPSHOT, "on demand"),
        "drills": when.get(Stage.DRILL),
        "rereading": when.get(Stage.VERIFY),
        "proof": policy.proof,
        "scope": policy.scope.describe(),
        "rules": policy.keep.describe(),
    }


def _chain(ports: Ports) -> dict[str, Any]:
    """The kinds of findings alone: their reasons may name folders."""
    found = audit.audit(ports)
    return {
        "valid": not found.findings,
        "remade": found.remade,
        "head": str(found.head) if found.head else None,
        "snapshots": found.snapshots,
        "manifests": found.manifests,
        "findings": [{"kind": finding.kind, "entry": finding.entry} for finding in found.findings],
    }


def _tools(ports: Ports, kept: Iterable[Snapshot]) -> dict[str, str]:
    """What made the newest snapshot, by its manifest; nothing where that cannot be read, which the chain tells."""
    newest = next(iter(kept), None)
    if newest is None:
        return {}
    try:
        manifest = ports.store.read_manifest(newest.path)
    except IntegrityError:
        return {}
    archive = {"archive format": manifest.archive_version} if manifest.archive_version else {}
    return {**manifest.tools, f"{newest.engine} (the database)": manifest.facts.engine_version, **archive}


def page(found: dict[str, Any]) -> Page:
    return Page(
        title=f"Evidence of the backups of {found['database']}",
        lead=f"Made by Amanat {found['amanat']} at {_time(found['at'])}. {_LEAD}{_warning(found['chain'])}",
        sections=tuple(_sections(found)),
    )


def _warning(chain: dict[str, Any]) -> str:
    """Above all, for whoever forged a row meant it to be read."""
    return (
        ""
        if chain["valid"]
        else " WARNING: the register is not what it was, so this page may tell what never was."
    )


def _sections(found: dict[str, Any]) -> Iterator[Section]:
    yield _table("Database", ("what", "value"), _about(found))
    yield _table("What is kept", _KEPT, ([_show(row[key]) for key in _KEPT_KEYS] for row in _sized(found["kept"])))
    yield _table("What is proven", _PROVEN, _proven(found))
    runs = (
        [row["stage"], row["policy"], _show(row["outcome"]), _time(row["finished_at"]), _show(row["took"])]
        for row in found["runs"]
    )
    yield _table("The last run of each kind", ("stage", "policy", "outcome", "ended", "took"), runs, note=_OF_RUNS)
    yield _table("Time to recover", ("what", "value"), _recovery(found["recovery"]))
    holds = ([row["path"], _time(row["taken_at"]), "; ".join(row["reasons"])] for row in found["holds"])
    yield _table("Holds", ("snapshot", "taken", "reason"), holds)
    rules = ([str(row[key]) for key in _RETENTION] for row in found["retention"])
    yield _table("Retention", ("policy", "schedule", "scope", "proof asked for", "what is kept"), rules)
    rounds = ([row[key] or "never" for key in _ROUNDS] for row in found["retention"])
    yield _table("Proven anew on a schedule", ("policy", "drills", "re-reading"), rounds)
    yield _table("The register's chain", ("what", "value"), _chain_rows(found["chain"]))
    yield _table("Tools", ("tool", "version"), [["amanat", found["amanat"]], *map(list, found["tools"].items())])


_PROVEN = ("level", "newest snapshot", "taken", "proven", "last read", "means")
_KEPT = ("policy", "snapshots", "proven", "by proof", "size", "oldest", "newest", "newest proven")
_KEPT_KEYS = ("policy", "snapshots", "proven", "proofs", "size", "oldest", "newest", "newest_proven")
_ROUNDS = ("policy", "drills", "rereading")
_RETENTION = ("policy", "schedule", "scope", "proof", "rules")


def _about(found: dict[str, Any]) -> list[list[str]]:
    return [
        ["database", found["database"]],
        ["engine", ", ".join(found["engines"])],
        ["environment", ", ".join(found["environments"])],
    ]


def _sized(kept: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in kept:
        proofs = ", ".join(f"{proof}: {count}" for proof, count in row["by_proof"].items() if count)
        times = {key: _time(row[key]) for key in ("oldest", "newest", "newest_proven")}
        yield {**row, **times, "proofs": proofs, "size": format_size(row["bytes"])}


def _proven(found: dict[str, Any]) -> list[list[str]]:
    meanings = dict(_LEVELS)
    return [
        [
            row["level"],
            row["path"] or "none",
            _time(row["taken_at"]),
            _time(row["proof_at"]),
            _time(row["read_at"]),
            meanings[row["level"]],
        ]
        for row in found["newest_by_proof"]
    ]


def _recovery(told: dict[str, Any]) -> list[list[str]]:
    seconds = told["seconds"]
    took = "not known" if seconds is None else about(seconds)
    return [["to restore the database", took], ["how that is known", told["explanation"]]]


def _chain_rows(chain: dict[str, Any]) -> list[list[str]]:
    broken = [
        f"{item['kind']} at entry {item['entry']}" if item["entry"] else item["kind"] for item in chain["findings"]
    ]
    return [
        ["state", "it holds" if chain["valid"] else f"it does not hold: {'; '.join(broken[:10])}"],
        ["head", chain["head"] or "no entry"],
        ["compared", f"{chain['snapshots']} snapshots and {chain['manifests']} manifests"],
        *([["of before", chain["remade"]]] if chain["remade"] else []),
    ]


def _table(title: str, head: tuple[str, ...], rows: Iterable[list[str]], *, note: str = "") -> Section:
    return Section(title=title, head=head, rows=tuple(tuple(row) for row in rows), note=note)


def _time(text: str | None) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}" if text else "never"


def _show(value: object) -> str:
    return "" if value is None else str(value)
