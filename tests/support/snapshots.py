"""Snapshots for tests of retention: a time is enough, the rest can be said where it matters."""

from datetime import UTC, datetime
from typing import Any

from amanat.domain.model import EngineName, ProofLevel, Scope, Snapshot


def snapshot(taken_at: datetime, **said: Any) -> Snapshot:
    """Proven, present and 100 bytes, unless ``said`` otherwise; the id is its time."""
    values: dict[str, Any] = {
        "id": f"{taken_at.astimezone(UTC):%y%m%d%H%M%S}",
        "database": "atis",
        "engine": EngineName.SQLITE,
        "environment": "production",
        "policy": "nightly",
        "name": "nightly",
        "purpose": "",
        "by": "scheduler",
        "scope": Scope(),
        "path": "atis/some.sqlite",
        "size_bytes": 100,
        "source_bytes": 100,
        "sha256": "0" * 64,
        "proof": ProofLevel.READABLE,
        "required_proof": ProofLevel.READABLE,
        "taken_at": taken_at,
    }
    return Snapshot(**{**values, **said})
