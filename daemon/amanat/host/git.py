"""At which git commit a folder is, read as git keeps it (gitrepository-layout(5); for worktrees git-worktree(1)).

Not by ``git rev-parse``: git refuses to look into another user's repository (``safe.directory``), and the daemon's
user is seldom the application's.
"""

import re
from collections.abc import Iterator
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SYMBOLIC = "ref: "
_ELSEWHERE = "gitdir: "
_MOST_STEPS = 5


def commit_of(folder: Path) -> str | None:
    """Of the repository that holds ``folder``; None where there is none, or it cannot be read or is empty."""
    try:
        return next(_commits(folder.resolve()), None)
    except (OSError, ValueError):
        return None


def _commits(folder: Path) -> Iterator[str]:
    for candidate in (folder, *folder.parents):
        marker = candidate / ".git"
        if marker.exists():
            private = _private_folder(marker)
            yield from _resolved(private, _shared_folder(private), "HEAD", _MOST_STEPS)
            return


def _private_folder(marker: Path) -> Path:
    """In a worktree or a submodule ``.git`` is a file that says where."""
    if marker.is_dir():
        return marker
    return marker.parent / _text(marker).removeprefix(_ELSEWHERE)


def _shared_folder(private: Path) -> Path:
    shared = private / "commondir"
    return private / _text(shared) if shared.is_file() else private


def _resolved(private: Path, shared: Path, name: str, steps: int) -> Iterator[str]:
    """A branch stands in a file of its own, or among the packed ones."""
    if ".." in name or name.startswith("/") or not steps:
        return
    found = next((_text(folder / name) for folder in (private, shared) if (folder / name).is_file()), "")
    found = found or _packed(shared / "packed-refs", name)
    if found.startswith(_SYMBOLIC):
        yield from _resolved(private, shared, found.removeprefix(_SYMBOLIC), steps - 1)
    elif _COMMIT.fullmatch(found):
        yield found


def _packed(file: Path, name: str) -> str:
    lines = _text(file).splitlines() if file.is_file() else []
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {name}")), "")


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8").strip()
