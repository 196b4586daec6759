"""A register that was made anew: what is not compared for that, and what contradicts that it was."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from amanat.domain.chain import Break, BreakKind
from amanat.domain.entry import EntryKind
from amanat.domain.manifest import Manifest
from amanat.domain.retention_guards import CLOCK_TOLERANCE
from amanat.ports import Ports

_LONGEST_RUN = timedelta(days=1)  # a snapshot that was under way meanwhile is dated by its beginning


@dataclass(frozen=True, kw_only=True)
class Former:
    """The register of before, as the first entry tells. ``ended`` None: at no time that can be believed."""

    at: str
    by: str
    ended: datetime | None


def former(ports: Ports) -> Former | None:
    """None: this register was not made anew."""
    first = next(iter(ports.register.stored_entries()), None)
    if first is None or first["kind"] != EntryKind.REBUILD:
        return None
    ended = _time(str(first["at"]))
    believed = ended if ended and ended <= ports.now() + CLOCK_TOLERANCE else None
    return Former(at=str(first["at"]), by=str(first["by"]), ended=believed)


def _time(text: str) -> datetime | None:
    with contextlib.suppress(ValueError):  # edited, which the walk has found
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else None
    return None


def sentence(before: Former | None, uncompared: int) -> str:
    if before is None:
        return ""
    heads = f"the heads in {uncompared} manifests of before are not compared"
    return f"the register was made anew at {before.at} by {before.by}; {heads}"


def dated(ports: Ports, before: Former | None) -> Iterator[Break]:
    """The first entry of the future, and the first that is older than the register it stands in."""
    entries = ports.register.stored_entries
    for entry in islice(entries(since=ports.now() + CLOCK_TOLERANCE), 1):
        what = f"entry {entry['sequence']} is dated {entry['at']}, which is to come"
        yield Break(kind=BreakKind.AHEAD, sequence=int(entry["sequence"] or 0), reason=what)
    if before is None or before.ended is None:
        return
    for entry in islice(entries(after=1, until=before.ended - _LONGEST_RUN), 1):
        what = f"entry {entry['sequence']} is dated {entry['at']}, before the register was made anew, as it says"
        yield Break(kind=BreakKind.BEFORE, sequence=int(entry["sequence"] or 0), reason=what)


def contradiction(ports: Ports, before: Former, manifest: Manifest, path: str) -> Break | None:
    """A manifest that is older than the register, and yet knows an entry of it."""
    head, ended = manifest.register_head, before.ended
    if head is None or ended is None or manifest.snapshot.taken_at > ended - _LONGEST_RUN:
        return None
    if ports.register.hash_at(head.sequence) != head.hash:
        return None
    what = f"the manifest of {path} was written before the register is said to have been made anew"
    return Break(kind=BreakKind.EDITED, sequence=1, reason=f"{what}, and knows entry {head.sequence} of it")
