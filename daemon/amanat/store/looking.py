"""What lies in a folder, by name alone: nothing is opened, so that a hundred thousand files are no matter."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path, prefix: str = "") -> Iterator[str]:
    """Paths relative to ``folder``, symlinks among them; where we may not look, there is nothing of ours."""
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(Path(entry.path), f"{prefix}{entry.name}/")
            elif entry.is_file() or entry.is_symlink():
                yield f"{prefix}{entry.name}"


def with_mark(folder: Path, suffix: str) -> Iterator[str]:
    """Names of the files in ``folder`` beside which one lies that is named the same with ``suffix``."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        names = {entry.name for entry in entries if entry.is_file()}
        yield from (name for name in names if f"{name}{suffix}" in names)
