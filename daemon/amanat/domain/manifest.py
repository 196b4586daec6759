"""The manifest beside each artefact: all that is needed to use it without Amanat (design section 5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from amanat.domain.errors import IntegrityError
from amanat.domain.model import EngineName, Facts, ProofLevel, Scope, Snapshot, utc_text

SCHEMA_VERSION = 1
SUFFIX = ".manifest.json"


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A further file of the unit, in the artefact's folder."""

    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """``tools``: name → version of what made the artefact. ``recipe``: shell lines that restore it."""

    snapshot: Snapshot
    facts: Facts
    companions: tuple[Companion, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    archive_version: str = ""
    recipe: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def encode(manifest: Manifest) -> dict[str, Any]:
    """JSON-ready; times in UTC, the artefact by its file name (the manifest lies beside it)."""
    snapshot, facts = manifest.snapshot, manifest.facts
    return {
        "schema_version": SCHEMA_VERSION,
        "id": snapshot.id,
        "database": snapshot.database,
        "engine": snapshot.engine,
        "environment": snapshot.environment,
        "policy": snapshot.policy,
        "name": snapshot.name,
        "purpose": snapshot.purpose,
        "by": snapshot.by,
        "scope": {
            "tables": list(snapshot.scope.tables),
            "exclude": list(snapshot.scope.exclude),
            "exclude_data": list(snapshot.scope.exclude_data),
        },
        "scheduled_at": _text(snapshot.scheduled_at),
        "taken_at": utc_text(snapshot.taken_at),
        "artefact": {
            "file": snapshot.path.rsplit("/", 1)[-1],
            "size_bytes": snapshot.size_bytes,
            "sha256": snapshot.sha256,
            "archive_version": manifest.archive_version,
        },
        "companions": [
            {"file": item.file, "size_bytes": item.size_bytes, "sha256": item.sha256}
            for item in manifest.companions
        ],
        "facts": {
            "engine_version": facts.engine_version,
            "source_bytes": facts.source_bytes,
            "tables": list(facts.tables),
            "counts": dict(facts.counts),
            "extra": dict(facts.extra),
        },
        "proof": {
            "level": snapshot.proof,
            "required": snapshot.required_proof,
            "at": _text(snapshot.proof_at),
            "run": snapshot.proof_run,
        },
        "tools": dict(manifest.tools),
        "warnings": list(manifest.warnings),
        "restore": list(manifest.recipe),
    }


def decode(data: Any, folder: str) -> Manifest:
    """``folder``: where the manifest lies, relative to the store. IntegrityError when it is not a manifest."""
    try:
        _require_known_version(data["schema_version"])
        return _decode(data, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise IntegrityError(
            f"manifest in {folder} cannot be read: {exc!r}", hint="it was edited or is of another version"
        ) from exc


def _require_known_version(version: Any) -> None:
    if version != SCHEMA_VERSION:
        raise ValueError(f"schema version {version}, this amanat knows {SCHEMA_VERSION}")


def _decode(data: Any, folder: str) -> Manifest:
    companions = tuple(Companion(**item) for item in data["companions"])
    facts = data["facts"]
    return Manifest(
        snapshot=_snapshot(data, folder, companions),
        facts=Facts(**{**facts, "tables": tuple(facts["tables"])}),
        companions=companions,
        tools=data["tools"],
        archive_version=data["artefact"]["archive_version"],
        recipe=tuple(data["restore"]),
        warnings=tuple(data["warnings"]),
    )


def _snapshot(data: Any, folder: str, companions: tuple[Companion, ...]) -> Snapshot:
    artefact, proof = data["artefact"], data["proof"]
    for file in (artefact["file"], *(item.file for item in companions)):
        if "/" in file or file in {"", ".", ".."}:
            raise ValueError(f"file name {file!r} leaves the folder")
    return Snapshot(
        id=data["id"],
        database=data["database"],
        engine=EngineName(data["engine"]),
        environment=data["environment"],
        policy=data["policy"],
        name=data["name"],
        purpose=data["purpose"],
        by=data["by"],
        scope=Scope(**{key: tuple(patterns) for key, patterns in data["scope"].items()}),
        path=f"{folder}/{artefact['file']}",
        size_bytes=artefact["size_bytes"],
        source_bytes=data["facts"]["source_bytes"],
        sha256=artefact["sha256"],
        taken_at=datetime.fromisoformat(data["taken_at"]),
        scheduled_at=_time(data["scheduled_at"]),
        proof=ProofLevel(proof["level"]),
        required_proof=ProofLevel(proof["required"]),
        proof_at=_time(proof["at"]),
        proof_run=proof["run"],
        companions=tuple(f"{folder}/{item.file}" for item in companions),
    )


def _text(time: datetime | None) -> str | None:
    return None if time is None else utc_text(time)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
