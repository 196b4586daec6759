"""Which snapshot a person means: id, unique prefix, path, ``latest[:DATABASE[:POLICY]]``."""

from pathlib import Path

from amanat.domain.errors import ConfigurationError, NotFoundError
from amanat.domain.model import Scope, Snapshot, SnapshotState
from amanat.ports import Ports
from amanat.services import losses

_HERE = (SnapshotState.PRESENT, SnapshotState.DAMAGED)


def snapshot(ports: Ports, reference: str) -> Snapshot:
    """NotFoundError when there is none; ConfigurationError when a prefix fits several."""
    if reference == "latest" or reference.startswith("latest:"):
        return _latest(ports, reference)
    if "/" in reference or "." in reference:
        return _by_path(ports, reference)
    return _by_prefix(ports, reference)


def _latest(ports: Ports, reference: str) -> Snapshot:
    _, database, policy, *rest = [*reference.split(":"), "", ""]
    if any(rest):
        raise ConfigurationError(f"{reference}: too many colons", hint="write latest:DATABASE:POLICY")
    for scope in (Scope(), None):  # a part of a database is not what `latest` promises, if there is a whole one
        found = ports.register.newest_snapshot(
            database=database or None, policy=policy or None, scope=scope, proven=True
        )
        if found:
            return found
    raise NotFoundError(f"no proven snapshot for {reference}", hint="`amanat list` shows what there is")


def _by_path(ports: Ports, reference: str) -> Snapshot:
    relative = ports.store.relative(Path(reference)) or reference
    found = ports.register.snapshot_at(relative) or ports.register.snapshot_at(reference)
    if not found:
        raise NotFoundError(f"no snapshot lies at {reference}", hint="`amanat list` shows the paths")
    return found


def _by_prefix(ports: Ports, reference: str) -> Snapshot:
    found = ports.register.snapshots_like(reference.lower()) if reference else []
    if len(found) > 1:
        some = ", ".join(item.id for item in found[:5])
        raise ConfigurationError(f"{reference} fits {len(found)} snapshots: {some}", hint="write more of the id")
    if not found:
        raise NotFoundError(f"no snapshot {reference!r}", hint="`amanat list` shows what there is")
    return found[0]


def require_here(ports: Ports, found: Snapshot) -> Snapshot:
    """NotFoundError if its files are gone, as far as the register knows."""
    if found.state not in _HERE:
        gone = losses.what_is_gone(ports, found) or "`amanat reconcile` takes up again what was put back"
        raise NotFoundError(f"snapshot {found.id} is {found.state}: {gone}", hint="choose another: `amanat list`")
    return found
