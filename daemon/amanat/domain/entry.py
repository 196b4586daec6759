"""One line of the audit record: what is told, of what, and by whom."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from amanat.domain.model import Outcome, Snapshot, require_aware


class EntryKind(StrEnum):
    """What the audit record tells of."""

    SNAPSHOT = "snapshot"
    VERIFY = "verify"
    DRILL = "drill"
    HOLD = "hold"
    RELEASE = "release"
    DELETION = "deletion"
    RESTORE = "restore"
    ROLLBACK = "rollback"
    UNDO = "undo"
    WARM = "warm"
    DROP = "drop"
    MIGRATION = "migration"
    ENFORCEMENT = "enforcement"
    ADOPTION = "adoption"
    LOSS = "loss"
    CHAIN = "chain"
    REBUILD = "rebuild"


BEGUN = "begun"
"""The outcome of the entry that a deletion begins with, before any file goes; its end has an entry of its own."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the audit record: when, who, why, where, what."""

    at: datetime
    by: str
    kind: EntryKind
    database: str
    environment: str = ""
    policy: str = ""
    purpose: str = ""
    scope: str = ""
    outcome: str = ""
    snapshot: str | None = None
    run: str | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        require_aware(self.at)

    @classmethod
    def about(
        cls,
        snapshot: Snapshot,
        kind: EntryKind,
        *,
        at: datetime,
        by: str,
        outcome: Outcome = Outcome.SUCCEEDED,
        purpose: str | None = None,
        run: str | None = None,
        detail: str = "",
    ) -> "Entry":
        """What happened to a snapshot; ``purpose``: the snapshot's own, unless there is another reason."""
        return cls(
            at=at,
            by=by,
            kind=kind,
            database=snapshot.database,
            environment=snapshot.environment,
            policy=snapshot.policy,
            purpose=snapshot.purpose if purpose is None else purpose,
            scope=snapshot.scope.describe(),
            outcome=outcome,
            snapshot=snapshot.id,
            run=run,
            detail=detail or snapshot.path,
        )
