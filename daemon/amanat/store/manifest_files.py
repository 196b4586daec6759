"""A manifest as a file: its text, and what is wrong with one that cannot be read."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from amanat.domain import manifest as manifests
from amanat.domain.errors import IntegrityError, StoreError
from amanat.domain.manifest import Manifest
from amanat.domain.model import MANIFEST_SUFFIX


def text(manifest: Manifest) -> str:
    return json.dumps(manifests.encode(manifest), indent=2, ensure_ascii=False) + "\n"


def read(file: Path) -> Manifest:
    """With the SHA-256 of the file in its snapshot; IntegrityError when it is missing or not one of ours."""
    content = _bytes_of(file)
    manifest = _decode(file, content)
    digest = hashlib.sha256(content).hexdigest()
    return replace(manifest, snapshot=replace(manifest.snapshot, manifest_sha256=digest))


def _bytes_of(manifest: Path) -> bytes:
    try:
        return manifest.read_bytes()
    except PermissionError as exc:
        raise StoreError(
            f"manifest {manifest} cannot be read: {exc.strerror}",
            hint=f"it belongs to {manifest.owner()}: run as that user",
        ) from exc
    except OSError as exc:
        raise _unreadable(manifest, exc) from exc


def _decode(file: Path, content: bytes) -> Manifest:
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise _unreadable(file, exc) from exc
    manifest = manifests.decode(data, f"{file.parent.name}/{file.name}")
    expected = f"{manifest.snapshot.path.rsplit('/', 1)[-1]}{MANIFEST_SUFFIX}"
    if file.name != expected:
        raise IntegrityError(f"manifest {file} names another artefact", hint=f"its own name was {expected}")
    return manifest


def _unreadable(manifest: Path, exc: Exception) -> IntegrityError:
    return IntegrityError(
        f"manifest {manifest} cannot be read: {exc}", hint="without it the artefact is not a snapshot"
    )
