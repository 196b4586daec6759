"""The store as a folder: staging, commit, deletion, and what lies there (fulfils ``ports.Store``)."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from amanat.domain.errors import StoreError
from amanat.domain.model import MANIFEST_SUFFIX
from amanat.host import files
from amanat.ports.run import Control
from amanat.ports.store import Found
from amanat.store import looking

if TYPE_CHECKING:  # who lists opens no manifest
    from amanat.domain.manifest import Companion, Manifest

_STAGING = ".staging"
_OURS_AT_THE_TOP = {_STAGING, "README.md"}


class LocalStore:
    """``root`` must exist: a store that is not mounted must not be made anew on the wrong disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def require(self) -> None:
        """StoreError if the folder is missing, is not a folder or cannot be written."""
        import tempfile

        if not self.root.is_dir():
            raise StoreError(
                f"store folder {self.root} is missing",
                hint=f"mount it, or make it once: mkdir -m 700 {self.root}",
            )
        with files.explained(f"store {self.root} cannot be written"):
            (self.root / _STAGING).mkdir(mode=0o700, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root / _STAGING):
                pass  # it could be made; without a name, so that no crash leaves it behind

    def folders(self) -> list[Path]:
        with files.explained(f"store {self.root}"):
            inside = [item for item in self.root.iterdir() if item.is_dir()]
        return [self.root, *sorted(item for item in inside if item.name == _STAGING or item.name[:1] != ".")]

    @contextlib.contextmanager
    def staging(self, run_id: str) -> Iterator[Path]:
        """A private folder on the store's file system, removed at the end with all that is in it.

        Locked meanwhile: whoever sweeps may have another register, which knows nothing of this run.
        """
        folder = self.staged(run_id)
        with files.explained(f"staging folder {folder}"):
            folder.mkdir(mode=0o700)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(descriptor)

    def staged_runs(self) -> list[str]:
        folder = self.root / _STAGING
        return sorted(item.name for item in folder.iterdir() if item.is_dir()) if folder.is_dir() else []

    def staged(self, run_id: str) -> Path:
        return self.root / _STAGING / run_id

    def sweep(self, run_id: str) -> None:
        """Not while a run works in it."""
        folder = self.staged(run_id)
        if not folder.is_dir():
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)

    def is_free(self, path: str) -> bool:
        """Whether neither a file nor a manifest lies there; makes the database's folder."""
        target = self.path(path)
        with files.explained(f"store folder {target.parent}"):
            if not target.parent.is_dir():
                target.parent.mkdir(mode=0o700)
                files.sync(self.root)
            return not (os.path.lexists(target) or os.path.lexists(_manifest_path(target)))

    def commit(self, manifest: "Manifest", artefact: Path, companions: Mapping[str, Path]) -> str:
        """Rename companions and artefact into place, and the manifest last: the commit mark.

        ``companions``: final file name → staged file. All staged files have been synced by the caller.
        Returns the SHA-256 of the manifest's file.
        """
        from amanat.store import manifest_files

        target = self.path(manifest.snapshot.path)
        mark = _manifest_path(artefact)
        with files.explained(f"snapshot {target} cannot be put into place"):
            text = manifest_files.text(manifest)
            files.replace_text(mark, text)
            try:
                for name, staged in companions.items():
                    staged.rename(target.with_name(name))
                artefact.rename(target)
                files.sync(target.parent)
                mark.rename(_manifest_path(target))
                files.sync(target.parent)
            except BaseException:
                for name in (_manifest_path(target).name, target.name, *companions):
                    target.with_name(name).unlink(missing_ok=True)
                raise
        return hashlib.sha256(text.encode()).hexdigest()

    def delete(self, path: str, companions: tuple[str, ...]) -> None:
        """Manifest first, then the files; gone already is no error. Symlinks are removed, not followed."""
        target = self.path(path)
        with files.explained(f"snapshot {target} cannot be deleted"):
            for item in (_manifest_path(target), target, *(self.path(name) for name in companions)):
                item.unlink(missing_ok=True)
            if target.parent.is_dir():
                files.sync(target.parent)

    def is_bare(self) -> bool:
        with files.explained(f"store {self.root}"):
            return not any(item.is_dir() for item in self.root.iterdir() if not item.name.startswith("."))

    def has_manifest(self, path: str) -> bool:
        return os.path.lexists(_manifest_path(self.path(path)))

    def holds(self, path: str) -> bool:
        target = self.path(path)
        return target.is_file() and _manifest_path(target).is_file()

    def units(self, database: str) -> frozenset[str]:
        folder = self.path(f"{database}/{MANIFEST_SUFFIX}").parent
        with files.explained(f"store folder {folder}"):
            return frozenset(f"{database}/{name}" for name in looking.with_mark(folder, MANIFEST_SUFFIX))

    def path(self, relative: str) -> Path:
        """Where a path of the register lies; StoreError if it would leave the store."""
        pure = PurePosixPath(relative)
        if pure.is_absolute() or ".." in pure.parts or len(pure.parts) != 2:  # noqa: PLR2004 - folder/file
            raise StoreError(f"path {relative!r} leaves the store", hint="the register or a manifest was edited")
        if (self.root / pure.parts[0]).is_symlink():
            raise StoreError(
                f"{self.root / pure.parts[0]} is a symlink", hint="use a real folder, or a bind mount"
            )
        return self.root / pure

    def relative(self, path: Path) -> str | None:
        """The register's form of a path given by a person, or None if it lies elsewhere."""
        with contextlib.suppress(ValueError):
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        return None

    def read_manifest(self, path: str) -> "Manifest":
        """IntegrityError when it is missing or not one of ours."""
        from amanat.store import manifest_files

        return manifest_files.read(_manifest_path(self.path(path)))

    def survey(self) -> Found:
        """Everything below the store, by name: reading every manifest would take minutes one day."""
        with files.explained(f"store {self.root}"):
            found = frozenset(self._files())
        marks = frozenset(name for name in found if name.endswith(MANIFEST_SUFFIX) and name.count("/") == 1)
        return Found(present=found - marks, marked=frozenset(name.removesuffix(MANIFEST_SUFFIX) for name in marks))

    def secure(self, staged: Path) -> int:
        with files.explained(f"{staged.name} cannot be written to the disk"):
            staged.chmod(0o600)
            files.sync(staged)
            return staged.stat().st_size

    def describe(self, artefact: Path, control: Control) -> tuple[int, str]:
        """(bytes, SHA-256) of a staged file, synced to the disk first."""
        size = self.secure(artefact)
        with files.explained(f"{artefact.name} cannot be read back"):
            return size, files.sha256(artefact, control)

    def companion(self, name: str, staged: Path, control: Control) -> "Companion":
        from amanat.domain.manifest import Companion

        size, digest = self.describe(staged, control)
        return Companion(file=name, size_bytes=size, sha256=digest)

    def reread(self, artefact: Path, control: Control) -> str:
        """SHA-256 of what the disk holds, not of what the page cache remembers."""
        with files.explained(f"{artefact} cannot be read"):
            return files.sha256(artefact, control, from_disk=True)

    def free_bytes(self) -> int:
        with files.explained(f"store {self.root}"):
            return files.free_bytes(self.root)

    def hand_out(self, path: str, folder: Path) -> Path:
        """Leave the artefact in ``folder`` too: a hard link, or a copy where links cannot reach."""
        source, target = self.path(path), folder / PurePosixPath(path).name
        with files.explained(f"the snapshot is in the store, but not in {folder}"):
            try:
                os.link(source, target)
            except OSError as exc:
                if isinstance(exc, FileExistsError | FileNotFoundError):
                    raise
                files.copy(source, target)
        return target

    def _files(self) -> Iterator[str]:
        for top in self.root.iterdir():
            if top.name in _OURS_AT_THE_TOP or top.name.startswith("."):
                continue
            if top.is_dir() and not top.is_symlink():
                yield from looking.files_below(top, f"{top.name}/")
            else:
                yield top.name


def _manifest_path(artefact: Path) -> Path:
    return artefact.with_name(artefact.name + MANIFEST_SUFFIX)
