"""May a migration begin now? What is known of the database against what a snapshot of it says: a pure decision."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from amanat.domain import whereabouts
from amanat.domain.model import Facts, ProofLevel, Run, Snapshot, SnapshotState, utc_text
from amanat.domain.policy import Database
from amanat.domain.units import format_duration, format_size

_GROWTH = 1.1  # what is restored is not larger, but sorting and the server's log need room for a while


class Reason(StrEnum):
    """Why the gate is closed; ``documentation/gate.md`` has them all."""

    NO_SNAPSHOT = "no-snapshot"
    DAMAGED = "damaged"
    NOT_PROVEN = "not-proven"
    PART = "part"
    OLD = "old"
    MIGRATED = "migrated"
    OTHER_DATABASE = "other-database"
    OTHER_ENVIRONMENT = "other-environment"
    RUNNING = "running"
    LOCKS = "locks"
    ROOM = "room"


PASSING = frozenset({Reason.RUNNING, Reason.LOCKS})
"""What may be over in a while."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    reason: Reason
    message: str
    hint: str


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds locks that a change of the schema would have to wait for.

    ``key``: the same as long as it is the same transaction, as far as that can be told. ``ours``: a session of
    Amanat's own, told of by its run where that is known.
    """

    key: str
    description: str
    ours: bool = False


@dataclass(frozen=True, kw_only=True)
class Live:
    """What the database is now. ``identity``: what tells it from others, as far as the role may know.

    ``migrations``: as in the facts of a snapshot; None: locks of others keep us from asking. ``free_bytes``: where
    it would be restored beside; None: unknown.
    """

    identity: Mapping[str, str]
    migrations: Sequence[Mapping[str, object]] | None
    source_bytes: int
    free_bytes: int | None
    holders: tuple[Holder, ...]


def locked_away(holders: Iterable[Holder]) -> Live:
    """A database that cannot even be looked at, because of them."""
    return Live(identity={}, migrations=None, source_bytes=0, free_bytes=None, holders=tuple(holders))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """``level`` None: that which its policy asked for. ``policy`` None: of any."""

    database: Database
    max_age: timedelta
    level: ProofLevel | None = None
    policy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """``facts`` None: its manifest cannot be read. ``problem``: what is known against it, else empty."""

    snapshot: Snapshot
    facts: Facts | None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``snapshot``: what one could go back to; None: none serves. Open without refusals."""

    snapshot: Snapshot | None
    refusals: tuple[Refusal, ...]

    @property
    def is_open(self) -> bool:
        return not self.refusals

    @property
    def may_pass(self) -> bool:
        """Whether it could open by waiting alone."""
        return all(refusal.reason in PASSING for refusal in self.refusals)


def judge(
    candidates: Iterable[Candidate], live: Live, running: Sequence[Run], wanted: Wanted, now: datetime
) -> Verdict:
    """``candidates``: newest first. The newest that serves is taken; if none does, the newest says why not.

    ``running``: runs at work on this database that hold it up.
    """
    around = (*_running(running), *_held(live, running), *_room(live))
    newest: tuple[Refusal, ...] = ()
    for one in candidates:
        refusals = tuple(_against(one, live, wanted, now))
        if not refusals:
            return Verdict(snapshot=one.snapshot, refusals=around)
        newest = newest or refusals
    return Verdict(snapshot=None, refusals=(*(newest or (_none(wanted),)), *around))


@dataclass(frozen=True, kw_only=True)
class _Case:
    snapshot: Snapshot
    facts: Facts
    live: Live
    wanted: Wanted
    now: datetime

    def against(self, reason: Reason, message: str, hint: str = "") -> Refusal:
        told = f"snapshot {self.snapshot.id} {message}"
        return Refusal(reason=reason, message=told, hint=hint or _anew(self.wanted))


def _anew(wanted: Wanted) -> str:
    policy = f" --policy={wanted.policy}" if wanted.policy else ""
    return f"take a new one: amanat snapshot{policy}, or ask with --take"


def _none(wanted: Wanted) -> Refusal:
    of = f" under policy {wanted.policy}" if wanted.policy else ""
    message = f"there is no snapshot of {wanted.database.name}{of}"
    return Refusal(reason=Reason.NO_SNAPSHOT, message=message, hint=_anew(wanted))


def _against(one: Candidate, live: Live, wanted: Wanted, now: datetime) -> Iterator[Refusal]:
    snapshot = one.snapshot
    if one.problem or one.facts is None or snapshot.state is not SnapshotState.PRESENT:
        why = one.problem or f"its files are {snapshot.state}"
        yield Refusal(reason=Reason.DAMAGED, message=f"snapshot {snapshot.id}: {why}", hint=_anew(wanted))
        return
    case = _Case(snapshot=snapshot, facts=one.facts, live=live, wanted=wanted, now=now)
    for check in (_unproven, _part, _old, _environment, _other, _migrated):
        yield from check(case)


def _unproven(case: _Case) -> Iterator[Refusal]:
    level, reached = case.wanted.level or case.snapshot.required_proof, case.snapshot.proof
    if not reached.reaches(level):
        hint = f"amanat verify {case.snapshot.id} --level={level}"
        yield case.against(Reason.NOT_PROVEN, f"is proven to the level {reached}, not {level}", hint)


def _part(case: _Case) -> Iterator[Refusal]:
    if not case.snapshot.scope.is_whole:
        yield case.against(Reason.PART, f"is of a part of the database: {case.snapshot.scope.describe()}")


def _old(case: _Case) -> Iterator[Refusal]:
    """One from the future says that a clock is wrong, and so nothing of its age."""
    age, limit = case.now - case.snapshot.taken_at, case.wanted.max_age
    if age < timedelta(0):
        ahead = f"is dated {format_duration(-age)} ahead of the clock"
        yield case.against(Reason.OLD, ahead, f"set the clock right, or {_anew(case.wanted)}")
    elif age > limit:
        yield case.against(Reason.OLD, f"is {format_duration(age)} old, more than {format_duration(limit)}")


def _environment(case: _Case) -> Iterator[Refusal]:
    of, here = case.snapshot.environment, case.wanted.database.environment
    if of != here:
        yield case.against(Reason.OTHER_ENVIRONMENT, f"is of the environment {of}, not {here}")


def _other(case: _Case) -> Iterator[Refusal]:
    for told in whereabouts.differences(whereabouts.of(case.facts), case.live.identity):
        yield case.against(Reason.OTHER_DATABASE, f"is of another database: {told}")


def _migrated(case: _Case) -> Iterator[Refusal]:
    """Who cannot be asked now is locked, which is a reason of its own."""
    known, here = case.facts.extra.get("migrations"), case.live.migrations
    if here is None:
        return
    if not isinstance(known, Sequence):
        if here:
            yield case.against(Reason.MIGRATED, "does not say which migrations the database had seen")
    elif list(known) != list(here):
        message = f"was taken at the migration {last_of(known)}, and the database is now at {last_of(here)}"
        yield case.against(Reason.MIGRATED, message)


def last_of(migrations: Sequence[Mapping[str, object]]) -> str:
    told = [f"{each.get('name') or 'none'} ({each['framework']}, {each['count']} applied)" for each in migrations]
    return ", ".join(told) or "none"


def _running(running: Sequence[Run]) -> Iterator[Refusal]:
    for run in running:
        message = f"a {run.stage} of {run.database} has been running since {utc_text(run.started_at)} ({run.id})"
        yield Refusal(reason=Reason.RUNNING, message=message, hint="wait for it: --wait 10m")


def _held(live: Live, running: Sequence[Run]) -> Iterator[Refusal]:
    for holder in live.holders:
        if not (holder.ours and running):
            yield Refusal(
                reason=Reason.LOCKS,
                message=f"a migration would wait for {holder.description}",
                hint="let it end, or wait for it: --wait 10m",
            )


def _room(live: Live) -> Iterator[Refusal]:
    needed = int(live.source_bytes * _GROWTH)
    if live.free_bytes is not None and live.free_bytes < needed:
        yield Refusal(
            reason=Reason.ROOM,
            message=f"{format_size(live.free_bytes)} are free, and to go back takes about {format_size(needed)}",
            hint="make room on the disk of the database",
        )
