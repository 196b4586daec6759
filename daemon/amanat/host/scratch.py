"""Private folders for the secrets files of runs, below the state folder."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from amanat.host import files


class Scratch:
    def __init__(self, root: Path) -> None:
        self._root = root

    @contextlib.contextmanager
    def folder(self, run_id: str) -> Iterator[Path]:
        """Made 0700, removed at the end with all that is in it."""
        folder = self._root / run_id
        with files.explained(f"scratch folder {folder}"):
            folder.mkdir(mode=0o700, parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def runs(self) -> list[str]:
        """Runs that have one: alive, or dead without a chance to remove it."""
        return sorted(item.name for item in self._root.iterdir()) if self._root.is_dir() else []

    def sweep(self, run_id: str) -> None:
        shutil.rmtree(self._root / run_id, ignore_errors=True)
