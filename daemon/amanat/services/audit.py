"""Is the register what it was? The chain, the rows beside it, and what the store's manifests know of both."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from amanat.domain import chain
from amanat.domain.chain import Break, BreakKind, Head, Row, Walk
from amanat.domain.errors import IntegrityError
from amanat.domain.manifest import Manifest
from amanat.domain.model import Snapshot, SnapshotState
from amanat.ports import Ports
from amanat.ports.store import Found
from amanat.services import losses, remade

LOST = "lost"
"""The kind of a finding that files are gone; the register itself may be whole."""

# A manifest tells what they were at first.
_CHANGING = {"proof", "proof_at", "proof_run", "read_at", "failed_proof", "state", "held"}
_HERE = (SnapshotState.PRESENT, SnapshotState.DAMAGED)
_FIXED = [field.name for field in fields(Snapshot) if field.name not in _CHANGING]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``kind``: how something is not what it was. ``entry``: where the chain says so, if it is the chain."""

    kind: str
    reason: str
    entry: int | None = None


@dataclass(frozen=True, kw_only=True)
class Audit:
    """``head``: the last entry that holds. ``findings``: by entry, then the others; none: all is well.

    ``remade``: a sentence where the register was made anew, of what is not compared for that; else empty.
    """

    head: Head | None
    snapshots: int
    manifests: int
    findings: tuple[Finding, ...]
    remade: str = ""


def audit(ports: Ports, *, noted: Head | None = None) -> Audit:
    """Reads all of the register and every manifest, and holds up nobody. ``noted``: a head kept elsewhere.

    The store is looked at first: what is committed meanwhile is then not missed in the register.
    """
    there = ports.store.survey()
    marked = sorted(there.marked)
    if not marked:
        losses.require_filled(ports, sum(row["state"] in _HERE for row, _ in ports.register.subjects()))
    under_way = {run.artefact for run in ports.register.open_runs() if ports.locks.is_alive(run.id)}
    highest = ports.register.last_number()
    walk = chain.walk(ports.register.stored_entries())
    rows, manifests = list(_of_rows(ports, there)), _Manifests(ports)
    breaks = [walk.broken or _cut_by_number(walk, highest), noted and _misplaced(ports, noted, "the head given")]
    findings = [_finding(broken) for broken in breaks if broken]
    findings += [_finding(broken) for broken in remade.dated(ports, manifests.former)]
    findings += [finding for finding in rows if finding]
    findings += list(_of_holds(ports))
    findings += [found for path in marked if path not in under_way for found in manifests.judged(path)]
    findings.sort(key=lambda finding: (finding.entry is None, finding.entry))
    return Audit(
        head=walk.head,
        snapshots=len(rows),
        manifests=len(marked),
        findings=tuple(findings),
        remade=remade.sentence(manifests.former, manifests.uncompared),
    )


def tail(ports: Ports, after: Head | None) -> Walk:
    """What was appended since an earlier walk ended at ``after``, and whether that is still there."""
    if after and (broken := _misplaced(ports, after, "this process")):
        return Walk(head=after, broken=broken)
    entries = ports.register.stored_entries(after=after.sequence if after else 0)
    return chain.walk(entries, after=after)


def _finding(broken: Break) -> Finding:
    return Finding(kind=broken.kind, reason=broken.reason, entry=broken.sequence)


def _cut_by_number(walk: Walk, highest: int) -> Break | None:
    """SQLite never gives a number twice, and so remembers the highest."""
    last = walk.head.sequence if walk.head else 0
    if highest <= last:
        return None
    what = f"the register ends at entry {last}, and there was an entry {highest}"
    return Break(kind=BreakKind.CUT, sequence=last + 1, reason=what)


def _misplaced(ports: Ports, head: Head, who: str) -> Break | None:
    """Why a head that ``who`` knows is not on the chain; None: it is."""
    stored = ports.register.hash_at(head.sequence)
    if stored == head.hash:
        return None
    if stored is not None:
        what = f"entry {head.sequence} is not the one that {who} knows: it, or one before it, was written anew"
        return Break(kind=BreakKind.EDITED, sequence=head.sequence, reason=what)
    end = ports.register.head()
    last = end.sequence if end else 0
    if last > head.sequence:
        what = f"entry {head.sequence}, which {who} knows, is not there"
        return Break(kind=BreakKind.REMOVED, sequence=head.sequence, reason=what)
    what = f"the register ends at entry {last}, but {who} knows entry {head.sequence}"
    return Break(kind=BreakKind.CUT, sequence=last + 1, reason=what)


def _of_rows(ports: Ports, there: Found) -> Iterator[Finding | None]:
    """One for each snapshot; None: its row is as its newest entry says, and so are its files."""
    for snapshot, entry in ports.register.subjects():
        yield _of_row(snapshot, entry) or _of_files(ports, snapshot, there)
    for gone in ports.register.orphans():
        yield Finding(kind="row removed", reason=f"entries tell of snapshot {gone}, and it has no row")


def _of_row(snapshot: Row, entry: Row | None) -> Finding | None:
    if entry is None:
        return Finding(kind="row added", reason=f"the row of snapshot {snapshot['id']} has no entry")
    if columns := chain.altered(snapshot, entry):
        what = f"the row of snapshot {snapshot['id']} is not as entry {entry['sequence']} says"
        told = (_told(column, entry.get(column), snapshot.get(column)) for column in columns)
        return Finding(kind="row edited", reason=f"{what}: {'; '.join(told)}")
    return None


def _of_files(ports: Ports, snapshot: Row, there: Found) -> Finding | None:
    """Who misses them looks again: they may be younger than the survey, or deleted by the rules since."""
    path = str(snapshot["path"])
    if snapshot["state"] not in _HERE or (path in there.present and path in there.marked):
        return None
    row = next(iter(ports.register.snapshots_like(str(snapshot["id"]))), None)
    if row and losses.is_lost(ports, row):
        reason = f"the register has {path} as {row.state}, and {_gone(ports, path)}"
        return Finding(kind=LOST, reason=reason)
    return None


def _gone(ports: Ports, path: str) -> str:
    return "its file is gone" if ports.store.has_manifest(path) else "its manifest is gone"


def _of_holds(ports: Ports) -> Iterator[Finding]:
    for snapshot in ports.register.untold_holds():
        what = f"a hold on snapshot {snapshot} is not as its entry tells: by whom, when, why, or until when"
        yield Finding(kind="hold edited", reason=what)


def _told(name: str, expected: object, found: object) -> str:
    """With values, where they are short texts or numbers."""
    values = f" (expected {expected}, found {found})"
    return name + values if all(isinstance(value, str | int) for value in (expected, found)) else name


class _Manifests:
    """Manifests against the register."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.former = remade.former(ports)
        self.uncompared = 0

    def judged(self, path: str) -> Iterator[Finding]:
        """``path``: of the artefact."""
        try:
            manifest = self._ports.store.read_manifest(path)
        except IntegrityError as exc:
            if self._ports.store.has_manifest(path):  # else it was pruned since
                yield Finding(kind="manifest unreadable", reason=exc.message)
            return
        if found := self._against_row(manifest, path):
            yield found
        if broken := self._misplaced_head(manifest, path):
            yield _finding(broken)

    def _against_row(self, manifest: Manifest, path: str) -> Finding | None:
        try:
            row = self._ports.register.snapshot_at(path)
        except IntegrityError:
            return None  # the row itself was found to be edited
        if row is None:
            return Finding(kind="not registered", reason=f"{path} has a manifest, and no row in the register")
        if differing := _differing(manifest.snapshot, row):
            what = f"the manifest of {path} is not what the register knows: {'; '.join(differing)}"
            return Finding(kind="manifest edited", reason=what)
        return None

    def _misplaced_head(self, manifest: Manifest, path: str) -> Break | None:
        """Manifests from before the register was made anew know the one that was lost, and none of this one."""
        head, former = manifest.register_head, self.former
        if head is None:
            return None
        if former is None or former.ended is None or manifest.snapshot.taken_at > former.ended:
            return _misplaced(self._ports, head, f"the manifest of {path}")
        self.uncompared += 1
        return remade.contradiction(self._ports, former, manifest, path)


def _differing(said: Snapshot, row: Snapshot) -> list[str]:
    """``manifest_sha256`` alone: something else in it, such as facts or the recipe."""
    found = [name for name in _FIXED if getattr(said, name) != getattr(row, name)]
    if row.manifest_sha256 is None or found != ["manifest_sha256"]:
        others = (name for name in found if name != "manifest_sha256")
        return [_told(name, getattr(row, name), getattr(said, name)) for name in others]
    return ["its SHA-256, so facts, proof, recipe or another part that the row does not repeat"]
