"""Where snapshots lie."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from amanat.ports.run import Control

if TYPE_CHECKING:  # most commands read none
    from amanat.domain.manifest import Companion, Manifest


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in a store, by name. All paths are relative to it.

    ``marked``: artefacts that have a manifest beside them, whether they are there themselves or not.
    ``present``: every file but these manifests.
    """

    marked: frozenset[str]
    present: frozenset[str]


class Store(Protocol):
    """Where snapshots lie; paths are relative, ``database/file``. Errors: StoreError, SpaceError."""

    root: Path

    def require(self) -> None:
        """StoreError if it is missing or cannot be written."""

    def folders(self) -> list[Path]:
        """Its own, the one for staging, and those of databases, as far as they are there."""

    def staging(self, run_id: str) -> AbstractContextManager[Path]:
        """A private folder on the store's own file system; gone at the end with all that is in it."""

    def staged_runs(self) -> list[str]:
        """Runs that left a staging folder behind (or are at work in it now)."""

    def staged(self, run_id: str) -> Path:
        """Where the staging folder of a run is, while there is one."""

    def sweep(self, run_id: str) -> None:
        """Remove the staging folder of a dead run."""

    def is_free(self, path: str) -> bool:
        """Whether nothing lies there; the caller holds the database's lock until it has committed."""

    def secure(self, staged: Path) -> int:
        """Its bytes; the file is private and on the disk (fsync) afterwards."""

    def describe(self, artefact: Path, control: Control) -> tuple[int, str]:
        """(bytes, SHA-256) of a staged file, which is on the disk (fsync) afterwards."""

    def companion(self, name: str, staged: Path, control: Control) -> "Companion":
        """The same for a companion, under its final name."""

    def reread(self, artefact: Path, control: Control) -> str:
        """SHA-256 of the bytes as the disk gives them."""

    def commit(self, manifest: "Manifest", artefact: Path, companions: Mapping[str, Path]) -> str:
        """Move staged files into place and write the manifest last; atomic per file, durable at the end.

        SHA-256 of the manifest's file.
        """

    def delete(self, path: str, companions: tuple[str, ...]) -> None:
        """Manifest first, then the files; may be repeated after a crash."""

    def is_bare(self) -> bool:
        """Whether no database has a folder in it: new, emptied, or not mounted."""

    def has_manifest(self, path: str) -> bool:
        """Whether the commit mark of an artefact was made."""

    def holds(self, path: str) -> bool:
        """Whether artefact and manifest both lie there."""

    def units(self, database: str) -> frozenset[str]:
        """The paths of a database for which ``holds`` is true, by one look at its folder."""

    def path(self, relative: str) -> Path:
        """StoreError if it would leave the store."""

    def relative(self, path: Path) -> str | None:
        """The store's form of a path that a person gave; None if it lies elsewhere."""

    def read_manifest(self, path: str) -> "Manifest":
        """With the SHA-256 of its file in the snapshot; IntegrityError when it is missing or cannot be read."""

    def survey(self) -> Found:
        """All that lies in the store; opens no file."""

    def free_bytes(self) -> int:
        """What may still be written."""

    def hand_out(self, path: str, folder: Path) -> Path:
        """Leave the artefact in another folder too, under its own name; never over a file that is there."""
