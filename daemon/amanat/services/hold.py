"""Holds: a named reason that forbids deletion until it is released."""

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import ConfigurationError, NotFoundError
from amanat.domain.model import Snapshot
from amanat.ports import Ports
from amanat.services import find


def hold(ports: Ports, snapshot: Snapshot, *, reason: str, by: str) -> None:
    find.require_here(ports, snapshot)
    ports.register.hold(snapshot, _given(reason), _entry(ports, snapshot, EntryKind.HOLD, reason, by))


def release(ports: Ports, snapshot: Snapshot, *, reason: str, by: str) -> None:
    """Release all holds on the snapshot; NotFoundError when there is none."""
    if not snapshot.held:
        raise NotFoundError(f"snapshot {snapshot.id} is not held", hint="`amanat show` lists the holds")
    _given(reason)
    ports.register.release(snapshot, _entry(ports, snapshot, EntryKind.RELEASE, reason, by))


def _given(reason: str) -> str:
    if not reason.strip():
        raise ConfigurationError("the reason is empty", hint='say why: --reason "kept for the audit of 2026"')
    return reason.strip()


def _entry(ports: Ports, snapshot: Snapshot, kind: EntryKind, reason: str, by: str) -> Entry:
    return Entry.about(snapshot, kind, at=ports.now(), by=by, purpose=reason.strip())
