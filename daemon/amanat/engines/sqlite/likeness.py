"""Lets one file be what another is to the system: owner, group, mode and extended attributes, ACLs among them."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from amanat.domain.errors import RefusedError
from amanat.engines.sqlite import workshop


def take_on(path: Path, like: Path) -> tuple[str, ...]:
    """Warnings for attributes that could not be given. OSError where owner or mode cannot."""
    about = like.stat()
    owner = (about.st_uid, about.st_gid)
    if owner != (path.stat().st_uid, path.stat().st_gid):  # a service may not even ask: deploy/systemd
        os.chown(path, *owner)
    missing = tuple(_missing(path, like))
    path.chmod(stat.S_IMODE(about.st_mode))  # last: until then it is private
    return missing


def _missing(path: Path, like: Path) -> Iterator[str]:
    for name in os.listxattr(like):
        wanted = os.getxattr(like, name)
        try:
            os.setxattr(path, name, wanted)
        except OSError as exc:
            if name not in os.listxattr(path) or os.getxattr(path, name) != wanted:
                yield f"the attribute {name} of {like} could not be kept: {exc.strerror}"


def require_exchangeable(live: Path, run: str) -> None:
    """RefusedError unless a file like it can be made in its folder, and another link to it; both are tried."""
    if (links := live.stat().st_nlink) > 1:
        raise RefusedError(
            f"{live} has {links} hard links, and a swap would part them",
            hint="remove the others; what an interrupted swap left, amanat reconcile takes away",
        )
    try:
        _try_both(live, run)
    except OSError as exc:
        raise RefusedError(
            f"{live} cannot be exchanged: {exc.strerror} ({exc.filename or live.parent})",
            hint="run Amanat as the owner of the database or as root, with the right to write to its folder; it"
            " needs hard links there, and cannot replace a file that is mounted by itself",
        ) from exc


def _try_both(live: Path, run: str) -> None:
    with workshop.opened(live, run) as folder:
        probe = folder / "probe"
        probe.touch(mode=0o600)
        take_on(probe, live)
        (folder / "link").hardlink_to(live)
