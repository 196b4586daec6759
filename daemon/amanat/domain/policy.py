"""Databases and policies as values, already validated (``settings.policies`` makes them from YAML)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from enum import StrEnum
from pathlib import Path

from amanat.domain.hooks import Hooks
from amanat.domain.model import MANUAL_POLICY, EngineName, ProofLevel, Scope, Stage
from amanat.domain.sql_check import SqlCheck
from amanat.domain.units import format_size, format_span


@dataclass(frozen=True, kw_only=True)
class Secret:
    """Where a password is: a systemd credential, a file, or an environment variable (``kind`` names which)."""

    kind: str
    name: str


@dataclass(frozen=True, kw_only=True)
class SqliteSource:
    path: Path


@dataclass(frozen=True, kw_only=True)
class PostgresqlSource:
    """``parameters``: libpq keywords (host, dbname, service, sslmode, …) but never a password."""

    parameters: Mapping[str, str]
    password: Secret | str | None = field(default=None, repr=False)
    client: Path | None = None


@dataclass(frozen=True, kw_only=True)
class LaravelSource:
    """An application folder whose ``.env`` says where the database is; read at each run."""

    folder: Path
    connection: str | None = None
    client: Path | None = None


Source = SqliteSource | PostgresqlSource | LaravelSource


@dataclass(frozen=True, kw_only=True)
class Database:
    """A configured source. ``engine`` is None where only the application's ``.env`` can tell. ``application``: the
    folder of the application whose database it is. ``rollback_log``: the document that tells of restores and
    rollbacks. ``asked_as``: how one that is not in the policy file is named on a command line.
    """

    name: str
    environment: str
    source: Source
    engine: EngineName | None = None
    register_document: Path | None = None
    rollback_log: Path | None = None
    application: Path | None = None
    hooks: Hooks = field(default_factory=dict)
    asked_as: str = ""

    @property
    def reference(self) -> str:
        return self.asked_as or self.name


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When a policy is due: a five-field cron line in an IANA zone.

    ``catch_up``: how old a missed instant may be and still be made good.
    ``jitter``: a run starts up to this much after its instant.
    """

    cron: str
    timezone: str
    catch_up: timedelta = timedelta(0)
    jitter: timedelta = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class KeepRules:
    """How many proven snapshots to keep; rules combine by OR, ``max_bytes`` is a limit on top.

    ``all``: keep everything (the built-in policy ``manual``).
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: timedelta | None = None
    max_bytes: int | None = None
    all: bool = False

    def describe(self) -> str:
        """In words: ``the newest 3; the newest of each of 7 days; …``."""
        if self.all:
            return "everything"
        units = {"hours": self.hourly, "days": self.daily, "weeks": self.weekly}
        units |= {"months": self.monthly, "years": self.yearly}
        parts = [f"the newest {self.last}"] if self.last else []
        parts += [f"the newest of each of {count} {unit}" for unit, count in units.items() if count]
        if self.within:
            parts.append(f"all within {format_span(self.within)} of the newest")
        limit = f", but no more than {format_size(self.max_bytes)}" if self.max_bytes else ""
        return f"{'; '.join(parts)}{limit}"


@dataclass(frozen=True, kw_only=True)
class Retry:
    """How often a transient failure is tried in all, and the pause before the second attempt (then doubled)."""

    attempts: int = 1
    backoff: timedelta = timedelta(minutes=1)


class CodecName(StrEnum):
    """``auto``: the engine's choice of what every reader can read; for SQLite, nothing."""

    AUTO = "auto"
    GZIP = "gzip"
    ZSTD = "zstd"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Compression:
    """``level``: in the codec's own terms; None: the fastest within the size budget."""

    codec: CodecName = CodecName.AUTO
    level: int | None = None


@dataclass(frozen=True, kw_only=True)
class Window:
    """Wall times of every day, in ``zone``; over midnight where ``end`` is not after ``begin``."""

    begin: time
    end: time
    zone: str


@dataclass(frozen=True, kw_only=True)
class Drills:
    """How many of the newest and of the older snapshots are drilled, and what a drill may cost.

    ``max_bytes``: of the database, not of its snapshot. ``not_between``: when none begins, or goes on.
    """

    schedule: Schedule
    newest: int = 1
    sample: int = 1
    max_bytes: int | None = None
    max_duration: timedelta | None = None
    not_between: tuple[Window, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Rereading:
    """How much of what is stored is read again: ``percent`` of the bytes, the longest unread first."""

    schedule: Schedule
    percent: int = 5


class DrillPlace(StrEnum):
    """``own``: the server that the database is on. ``throw_away``: one that is made for each drill."""

    OWN = "own"
    THROW_AWAY = "throw_away"


@dataclass(frozen=True, kw_only=True)
class Warm:
    """A proven restore is kept for a rollback. ``min_free``: it goes when less than that is free where it stands;
    None: less than its own size.
    """

    min_free: int | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """``schedule`` None: on demand only.

    ``parallel``: connections that read at once. ``yield_after``: how long another session may wait for a lock
    behind a dump; None: for ever. ``counts``: tables whose rows are counted even if the file name needs it not.
    ``drill_server``: where PostgreSQL snapshots are restored for the proof; None: on the database's own server if
    the role may, else on one that is thrown away. ``before_swap``: questions to a restore before it goes live,
    beside ``checks``. ``undo_window``: how long a database that was swapped out, or is warm, is kept.
    """

    name: str
    databases: tuple[str, ...]
    schedule: Schedule | None = None
    scope: Scope = field(default_factory=Scope)
    proof: ProofLevel = ProofLevel.READABLE
    keep: KeepRules
    file_name: str = "database_backup_{timestamp}_{name}"
    purpose_required: bool = False
    timeout: timedelta = timedelta(hours=6)
    retry: Retry = field(default_factory=Retry)
    globals: bool = True
    compression: Compression = field(default_factory=Compression)
    parallel: int = 1
    yield_after: timedelta | None = timedelta(seconds=5)
    drills: Drills | None = None
    drill_server: PostgresqlSource | DrillPlace | None = None
    rereading: Rereading | None = None
    checks: tuple[SqlCheck, ...] = ()
    counts: tuple[str, ...] = ()
    before_swap: tuple[SqlCheck, ...] = ()
    warm: Warm | None = None
    undo_window: timedelta = timedelta(hours=24)

    @property
    def schedules(self) -> Mapping[Stage, Schedule]:
        """Of what it does by itself."""
        schedules = {
            Stage.SNAPSHOT: self.schedule,
            Stage.DRILL: self.drills.schedule if self.drills else None,
            Stage.VERIFY: self.rereading.schedule if self.rereading else None,
        }
        return {stage: schedule for stage, schedule in schedules.items() if schedule}

    def jobs(self, database: Database) -> "tuple[Job, ...]":
        """The same for one of its databases."""
        return tuple(
            Job(stage=stage, policy=self, database=database, schedule=schedule)
            for stage, schedule in self.schedules.items()
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """What comes due by itself: one stage of one policy for one database."""

    stage: Stage
    policy: Policy
    database: Database
    schedule: Schedule

    @property
    def id(self) -> str:
        """Snapshots are what a policy is for, and go by its name alone."""
        of_stage = "" if self.stage is Stage.SNAPSHOT else f"/{self.stage}"
        return f"{self.policy.name}/{self.database.name}{of_stage}"


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A command that keeps the register's head somewhere else, and how long it may take."""

    command: tuple[str, ...]
    timeout: timedelta


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """All that the policy YAML says; ``databases`` and ``policies`` by name.

    ``warnings``: keys that do nothing where they stand, as ``FILE:LINE: key.path: reason``.
    """

    databases: Mapping[str, Database] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    anchor: Anchor | None = None

    def jobs(self) -> tuple[Job, ...]:
        """All that the scheduler runs."""
        return tuple(job for policy, database in self.pairs() for job in policy.jobs(database))

    def job(self, job_id: str) -> Job | None:
        return next((job for job in self.jobs() if job.id == job_id), None)

    def policies_of(self, database: str) -> list[Policy]:
        return [policy for policy in self.policies.values() if database in policy.databases]

    def uncovered(self) -> list[str]:
        """Databases that no policy names."""
        covered = {name for policy in self.policies.values() for name in policy.databases}
        return [name for name in self.databases if name not in covered]

    def pairs(self) -> tuple[tuple[Policy, Database], ...]:
        """Every (policy, database) the configuration names, scheduled or not."""
        return tuple(
            (policy, self.databases[name]) for policy in self.policies.values() for name in policy.databases
        )


MANUAL = Policy(name=MANUAL_POLICY, databases=(), keep=KeepRules(all=True), timeout=timedelta(hours=6))
