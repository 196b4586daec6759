"""Whether what lies in the store is what the register knows, before any of it is read for good."""

from amanat.domain.errors import IntegrityError
from amanat.domain.manifest import Manifest
from amanat.domain.model import Snapshot
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services import losses


def manifest_of(ports: Ports, snapshot: Snapshot, control: Control) -> Manifest:
    """Its artefact is there, and its companions are what they were; IntegrityError for all else.

    The artefact's own bytes are read by the proof ``stored``.
    """
    artefact = ports.store.path(snapshot.path)
    if not artefact.is_file():
        raise IntegrityError(
            losses.what_is_gone(ports, snapshot),
            hint="if there is another copy, put it back and run `amanat reconcile`; a manifest alone is of no use",
        )
    manifest = ports.store.read_manifest(snapshot.path)
    if (told := manifest.snapshot.sha256) != snapshot.sha256:
        raise IntegrityError(
            f"the manifest of {artefact.name} and the register disagree on its SHA-256: "
            f"{told[:16]}… and {snapshot.sha256[:16]}…",
            hint="one of them was edited; compare with another copy",
        )
    if snapshot.manifest_sha256 not in (None, manifest.snapshot.manifest_sha256):
        raise IntegrityError(
            f"the manifest of {artefact.name} was edited since it was written",
            hint="the register keeps its SHA-256; compare with another copy",
        )
    _check_companions(ports, manifest, snapshot, control)
    return manifest


def _check_companions(ports: Ports, manifest: Manifest, snapshot: Snapshot, control: Control) -> None:
    artefact = ports.store.path(snapshot.path)
    for companion in manifest.companions:
        file = artefact.with_name(companion.file)
        if not file.is_file() or ports.store.reread(file, control) != companion.sha256:
            raise IntegrityError(
                f"{companion.file} is gone or not what was written",
                hint="it belongs to the snapshot; take a new one, and find out who changes files in the store",
            )
