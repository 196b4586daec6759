"""Values to rows and back."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from functools import lru_cache

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import IntegrityError
from amanat.domain.model import EngineName, Outcome, ProofLevel, Run, Scope, Snapshot, SnapshotState, Stage

SNAPSHOTS = """
    SELECT snapshots.*, (SELECT json_group_array(reason) FROM
        (SELECT reason FROM holds WHERE snapshot = snapshots.id AND released_at IS NULL ORDER BY id)) AS held
    FROM snapshots WHERE
"""
"""What ``snapshot_of`` reads; a condition follows."""

_RUNS = "no entry tells it: put back a copy of the state folder, or `amanat register rebuild --move-aside`"


@contextlib.contextmanager
def understood(what: str = "the register", hint: str = "`amanat register verify` tells where") -> Iterator[None]:
    """IntegrityError for a value that amanat never wrote."""
    try:
        yield
    except (ValueError, TypeError) as exc:
        raise IntegrityError(f"{what} holds what amanat did not write: {exc}", hint=hint) from exc


def understood_runs() -> contextlib.AbstractContextManager[None]:
    """The same for what no entry covers."""
    return understood("the register's record of runs and slots", _RUNS)


def time_text(time: datetime) -> str:
    """Fixed width, so that comparing text compares times."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def optional_time_text(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def optional_time_of(text: str | None) -> datetime | None:
    return None if text is None else time_of(text)


def scope_text(scope: Scope) -> str:
    return json.dumps(
        {"tables": scope.tables, "exclude": scope.exclude, "exclude_data": scope.exclude_data},
        ensure_ascii=False,
    )


@lru_cache(maxsize=256)
def scope_of(text: str) -> Scope:
    """The same few texts stand in row after row, and parsing them took most of the time of a list."""
    return Scope(**{key: tuple(patterns) for key, patterns in json.loads(text).items()})


@lru_cache(maxsize=256)
def texts_of(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def snapshot_row(snapshot: Snapshot) -> dict[str, object]:
    """Column → value; holds live in a table of their own."""
    return {
        "id": snapshot.id,
        "database": snapshot.database,
        "engine": snapshot.engine,
        "environment": snapshot.environment,
        "policy": snapshot.policy,
        "name": snapshot.name,
        "purpose": snapshot.purpose,
        "by": snapshot.by,
        "scope": scope_text(snapshot.scope),
        "path": snapshot.path,
        "size_bytes": snapshot.size_bytes,
        "source_bytes": snapshot.source_bytes,
        "sha256": snapshot.sha256,
        "taken_at": time_text(snapshot.taken_at),
        "scheduled_at": optional_time_text(snapshot.scheduled_at),
        "proof": snapshot.proof,
        "required_proof": snapshot.required_proof,
        "proof_at": optional_time_text(snapshot.proof_at),
        "proof_run": snapshot.proof_run,
        "read_at": optional_time_text(snapshot.read_at),
        "failed_proof": snapshot.failed_proof,
        "state": snapshot.state,
        "companions": json.dumps(snapshot.companions, ensure_ascii=False),
        "manifest_sha256": snapshot.manifest_sha256,
    }


def snapshot_of(row: sqlite3.Row) -> Snapshot:
    """Needs the columns of ``snapshots`` and ``held``, a JSON list of the reasons of holds in force."""
    return Snapshot(
        id=row["id"],
        database=row["database"],
        engine=EngineName(row["engine"]),
        environment=row["environment"],
        policy=row["policy"],
        name=row["name"],
        purpose=row["purpose"],
        by=row["by"],
        scope=scope_of(row["scope"]),
        path=row["path"],
        size_bytes=row["size_bytes"],
        source_bytes=row["source_bytes"],
        sha256=row["sha256"],
        taken_at=time_of(row["taken_at"]),
        scheduled_at=optional_time_of(row["scheduled_at"]),
        proof=ProofLevel(row["proof"]),
        required_proof=ProofLevel(row["required_proof"]),
        proof_at=optional_time_of(row["proof_at"]),
        proof_run=row["proof_run"],
        read_at=optional_time_of(row["read_at"]),
        failed_proof=ProofLevel(row["failed_proof"]) if row["failed_proof"] else None,
        state=SnapshotState(row["state"]),
        held=texts_of(row["held"]),
        companions=texts_of(row["companions"]),
        manifest_sha256=row["manifest_sha256"],
    )


def run_row(run: Run) -> dict[str, object]:
    return {
        "id": run.id,
        "stage": run.stage,
        "database": run.database,
        "policy": run.policy,
        "by": run.by,
        "purpose": run.purpose,
        "scheduled_at": optional_time_text(run.scheduled_at),
        "attempt": run.attempt,
        "started_at": time_text(run.started_at),
        "finished_at": optional_time_text(run.finished_at),
        "outcome": run.outcome,
        "code": run.code,
        "reason": run.reason,
        "hint": run.hint,
        "note": run.note,
        "snapshot": run.snapshot,
        "artefact": run.artefact,
        "restore_seconds": run.restore_seconds,
    }


def run_of(row: sqlite3.Row) -> Run:
    with understood_runs():
        return Run(
            id=row["id"],
            stage=Stage(row["stage"]),
            database=row["database"],
            policy=row["policy"],
            by=row["by"],
            purpose=row["purpose"],
            scheduled_at=optional_time_of(row["scheduled_at"]),
            attempt=row["attempt"],
            started_at=time_of(row["started_at"]),
            finished_at=optional_time_of(row["finished_at"]),
            outcome=Outcome(row["outcome"]) if row["outcome"] else None,
            code=row["code"],
            reason=row["reason"],
            hint=row["hint"],
            note=row["note"],
            snapshot=row["snapshot"],
            artefact=row["artefact"],
            restore_seconds=row["restore_seconds"],
        )


def entry_row(entry: Entry) -> dict[str, str | int | None]:
    return {
        "at": time_text(entry.at),
        "by": entry.by,
        "kind": entry.kind,
        "database": entry.database,
        "environment": entry.environment,
        "policy": entry.policy,
        "purpose": entry.purpose,
        "scope": entry.scope,
        "outcome": entry.outcome,
        "snapshot": entry.snapshot,
        "run": entry.run,
        "detail": entry.detail,
    }


def entry_of(row: sqlite3.Row) -> Entry:
    """Without what only the chain is for."""
    values = {field.name: row[field.name] for field in fields(Entry)}
    return Entry(**{**values, "at": time_of(row["at"]), "kind": EntryKind(row["kind"])})


def insert(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> None:
    """``table`` and the column names are ours, never user text."""
    columns, marks = ", ".join(row), ", ".join(f":{column}" for column in row)
    connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", row)  # noqa: S608
