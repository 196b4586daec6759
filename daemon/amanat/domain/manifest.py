"""The manifest beside each artefact: all that is needed to use it without Amanat (design section 5)."""

import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from amanat.domain import manifest_description
from amanat.domain.chain import Head
from amanat.domain.errors import IntegrityError
from amanat.domain.manifest_reading import Fields
from amanat.domain.model import (
    MANIFEST_SUFFIX,
    EngineName,
    Facts,
    ProofLevel,
    Scope,
    Snapshot,
    TableRows,
    utc_text,
)

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A further file of the unit, in the artefact's folder."""

    file: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """``tools``: name → version of what made the artefact. ``recipe``: shell lines that restore it.

    ``register_head``: of the register when it was written; None: by a release without, or in an empty one.
    """

    snapshot: Snapshot
    facts: Facts
    companions: tuple[Companion, ...] = ()
    tools: Mapping[str, str] = field(default_factory=dict)
    archive_version: str = ""
    recipe: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    register_head: Head | None = None


def encode(manifest: Manifest) -> dict[str, Any]:
    """JSON-ready; times in UTC, the artefact by its file name (the manifest lies beside it)."""
    snapshot = manifest.snapshot
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
        "facts": _encoded_facts(manifest.facts),
        "proof": {
            "level": snapshot.proof,
            "required": snapshot.required_proof,
            "at": _text(snapshot.proof_at),
            "run": snapshot.proof_run,
        },
        **({"register_head": asdict(manifest.register_head)} if manifest.register_head else {}),
        "tools": dict(manifest.tools),
        "warnings": list(manifest.warnings),
        "restore": list(manifest.recipe),
    }


def _encoded_facts(facts: Facts) -> dict[str, Any]:
    """Without ``rows`` and ``description`` where nobody took them, as in manifests of earlier releases."""
    told = facts.description
    description = {"description": manifest_description.encode(told)} if told else {}
    rows = {"rows": [asdict(table) for table in facts.rows]} if facts.rows else {}
    return {
        "engine_version": facts.engine_version,
        "source_bytes": facts.source_bytes,
        "tables": list(facts.tables),
        "counts": dict(facts.counts),
        **rows,
        **description,
        "extra": dict(facts.extra),
    }


def decode(data: object, path: str) -> Manifest:
    """``path``: of the manifest, relative to the store.

    IntegrityError for all that ``encode`` would not have written for a snapshot in that folder.
    """
    try:
        manifest = _manifest(Fields(data), path.rpartition("/")[0])
        _require_nothing_else(data, manifest)
    except ValueError as exc:
        raise IntegrityError(
            f"manifest {path!r} cannot be read: {exc}", hint="it was edited or is of another version"
        ) from exc
    return manifest


def _manifest(data: Fields, folder: str) -> Manifest:
    _require_known_version(data)
    _require_own_folder(data.name("database"), folder)
    artefact = data.inner("artefact")
    companions = _companions(data, _file(artefact))
    return Manifest(
        snapshot=_snapshot(data, companions),
        facts=_facts(data.inner("facts")),
        companions=companions,
        tools=data.texts_by_name("tools"),
        archive_version=artefact.text("archive_version"),
        recipe=data.texts("restore"),
        warnings=data.texts("warnings"),
        register_head=_head(data.inner("register_head")) if "register_head" in data else None,
    )


def _head(part: Fields) -> Head:
    return Head(sequence=part.count("sequence"), hash=part.hexadecimal("hash", 64))


def _require_known_version(data: Fields) -> None:
    version = data.count("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {version}, this amanat knows {SCHEMA_VERSION}")


def _require_own_folder(database: str, folder: str) -> None:
    if database != folder:
        raise ValueError(f"its database is {database!r}, whose folder is not {folder!r}")


def _require_nothing_else(data: object, manifest: Manifest) -> None:
    """All types were checked, so equality tells the rest: keys that nobody would read, and lose."""
    if isinstance(data, dict) and (written := encode(manifest)) != data:
        extra = [key for key in data if written.get(key) != data[key]]
        raise ValueError(f"{reprlib.repr(extra)} holds what this amanat does not know")


def _file(part: Fields) -> str:
    name = part.name("file")
    if name.endswith(MANIFEST_SUFFIX):
        raise ValueError(f"the artefact or one of its companions is named like a manifest: {name!r}")
    return name


def _companions(data: Fields, artefact: str) -> tuple[Companion, ...]:
    """They are deleted with the artefact, so a manifest must not claim other files."""
    companions = tuple(_companion(part) for part in data.list_of_inner("companions"))
    names = [companion.file for companion in companions]
    for name in names:
        if not name.startswith(f"{artefact}.") or name == f"{artefact}." or names.count(name) > 1:
            raise ValueError(f"companions: {name!r} does not belong to the artefact {artefact!r}, or stands twice")
    return companions


def _companion(part: Fields) -> Companion:
    return Companion(file=_file(part), size_bytes=part.count("size_bytes"), sha256=part.hexadecimal("sha256", 64))


def _facts(part: Fields) -> Facts:
    return Facts(
        engine_version=part.text("engine_version"),
        source_bytes=part.count("source_bytes"),
        tables=part.texts("tables"),
        counts=part.counts_by_name("counts"),
        rows=tuple(_rows(table) for table in part.list_of_inner("rows")) if "rows" in part else (),
        description=manifest_description.decode(part.inner("description")) if "description" in part else None,
        extra=part.plain("extra"),
    )


def _rows(part: Fields) -> TableRows:
    return TableRows(
        schema=part.text("schema"),
        name=part.text("name"),
        rows=part.count("rows"),
        bytes=part.count("bytes"),
        sha256=part.hexadecimal("sha256", 64),
    )


def _scope(part: Fields) -> Scope:
    return Scope(
        tables=part.texts("tables"), exclude=part.texts("exclude"), exclude_data=part.texts("exclude_data")
    )


def _snapshot(data: Fields, companions: tuple[Companion, ...]) -> Snapshot:
    artefact, proof, folder = data.inner("artefact"), data.inner("proof"), data.name("database")
    return Snapshot(
        id=data.hexadecimal("id", 12),
        database=folder,
        engine=data.word("engine", EngineName),
        environment=data.text("environment"),
        policy=data.name("policy"),
        name=data.name("name"),
        purpose=data.text("purpose"),
        by=data.text("by"),
        scope=_scope(data.inner("scope")),
        path=f"{folder}/{artefact.name('file')}",
        size_bytes=artefact.count("size_bytes"),
        source_bytes=data.inner("facts").count("source_bytes"),
        sha256=artefact.hexadecimal("sha256", 64),
        taken_at=data.time("taken_at"),
        scheduled_at=data.optional_time("scheduled_at"),
        proof=proof.word("level", ProofLevel),
        required_proof=proof.word("required", ProofLevel),
        proof_at=proof.optional_time("at"),
        proof_run=proof.optional_text("run"),
        companions=tuple(f"{folder}/{item.file}" for item in companions),
    )


def _text(time: datetime | None) -> str | None:
    return None if time is None else utc_text(time)
