"""The policy file as pydantic models; editors' completion and the configuration reference come from them.

A model judges one key at a time; what holds between keys stands in ``rules``: so all errors are told at once.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from amanat.settings.fields import (
    Duration,
    Environment,
    FileName,
    Keyword,
    Name,
    Parameter,
    Patience,
    PolicyName,
    PositiveDuration,
    Size,
    Text,
    Version,
)
from amanat.settings.model_parts import ScheduleModel, SecretModel, Strict, at_least_one, exactly_one
from amanat.settings.proof_models import (
    CheckModel,
    DrillServerModel,
    DrillsModel,
    FactsModel,
    RereadingModel,
)
from amanat.settings.rollback_models import DocumentsModel, HooksModel, WarmKey


class DatabaseModel(Strict):
    """One database and where it is."""

    model_config = ConfigDict(json_schema_extra=exactly_one("path", "connection", "service", "laravel"))

    environment: Environment = Field(
        description="Where the database serves, such as local or production; the register names it."
    )
    engine: Literal["sqlite", "postgresql"] | None = Field(
        default=None, description="The kind of database; only with laravel may it be left out."
    )
    path: Text | None = Field(default=None, description="The SQLite database file.")
    connection: dict[Keyword, Parameter] | None = Field(
        default=None,
        min_length=1,
        description="libpq connection keywords, such as host, port, dbname and user.",
    )
    service: Text | None = Field(
        default=None, description="A service of libpq's pg_service.conf, instead of connection."
    )
    laravel: Text | None = Field(
        default=None, description="The folder of a Laravel application; its .env says where the database is."
    )
    laravel_connection: Literal["pgsql", "sqlite"] | None = Field(
        default=None, description="The application's connection, when it is not the one DB_CONNECTION names."
    )
    password: SecretModel | None = Field(
        default=None, description="Where the PostgreSQL password is; it never stands in this file."
    )
    client: Text | None = Field(
        default=None, description="A folder of PostgreSQL client programs, instead of the newest that fits."
    )
    application: Text | None = Field(
        default=None,
        description="The application's folder; its git commit goes into the manifest. With laravel: that folder.",
    )
    documents: DocumentsModel | None = Field(
        default=None, description="Documents that are rendered anew after each change."
    )
    hooks: HooksModel | None = Field(
        default=None, description="Commands of your own that run before and after what is done to the database."
    )


Codec = Literal["auto", "gzip", "zstd", "none"]
Patterns = Annotated[list[Text], Field(min_length=1)]


class ScopeModel(Strict):
    """Which tables a snapshot takes; a pattern that matches nothing fails the run."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    tables: Patterns | None = Field(
        default=None, description="Only these tables: names or globs, also schema.table."
    )
    exclude: Patterns | None = Field(default=None, description="All but these tables.")
    exclude_data: Patterns | None = Field(
        default=None, description="These tables are taken with their structure but without their rows."
    )


Count = Annotated[int, Field(ge=1, le=1_000_000)]
KEEP_RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly", "within")


class KeepModel(Strict):
    """How many proven snapshots to keep: a snapshot stays if any rule wants it."""

    model_config = ConfigDict(json_schema_extra=at_least_one(*KEEP_RULES))

    last: Count | None = Field(default=None, description="The newest so many.")
    hourly: Count | None = Field(default=None, description="The newest of each of so many hours.")
    daily: Count | None = Field(default=None, description="The newest of each of so many days.")
    weekly: Count | None = Field(default=None, description="The newest of each of so many ISO weeks.")
    monthly: Count | None = Field(default=None, description="The newest of each of so many months.")
    yearly: Count | None = Field(default=None, description="The newest of each of so many years.")
    within: PositiveDuration | None = Field(
        default=None, description="All that are at most this much older than the newest proven one."
    )
    max_bytes: Size | None = Field(
        default=None,
        description="A limit on top: the oldest go first, but never the newest proven or held ones.",
    )


class RetryModel(Strict):
    """What to do after a failure that may pass, such as a server that restarts."""

    attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        default=1, description="How often to try in all; standing back is not counted."
    )
    backoff: Duration = Field(
        default="1m",
        description="The pause before the second attempt; it doubles with each further one, up to 15m.",
    )


class CompressionModel(Strict):
    """How snapshots are compressed; every choice is read by the stock tools."""

    codec: Codec = Field(
        default="auto",
        description="auto: zstd where the PostgreSQL client can read it, else gzip; SQLite is left as it is."
        " SQLite knows zstd and none.",
    )
    level: Annotated[int, Field(ge=1, le=22)] | None = Field(
        default=None, description="gzip 1 to 9 (from 4 on several times slower), zstd 1 to 22."
    )


class PolicyModel(Strict):
    """When to take snapshots of which databases, how to prove them, and how long to keep them."""

    model_config = ConfigDict(json_schema_extra=exactly_one("schedule", "on_demand"))

    databases: list[str] = Field(min_length=1, description="Names of databases above.")
    schedule: ScheduleModel | None = Field(default=None, description="When the policy comes due by itself.")
    on_demand: Literal[True] | None = Field(
        default=None, description="Instead of schedule: snapshots are only taken when asked for."
    )
    purpose: Literal["required", "optional"] = Field(
        default="optional", description="Whether a snapshot must say what it is for (--purpose)."
    )
    scope: ScopeModel | None = Field(
        default=None, description="Which tables a snapshot takes; without it, the whole database."
    )
    file_name: FileName = Field(
        default="database_backup_{timestamp}_{name}",
        description="File name template with the fields {environment} {database} {policy} {name} {timestamp}"
        " {date} {count.TABLE} {version}.",
    )
    proof: Literal["stored", "readable", "restored"] = Field(
        default="readable", description="The level at which a snapshot counts as proven."
    )
    drills: DrillsModel | None = Field(
        default=None, description="When snapshots are restored and compared by themselves, and what that may cost."
    )
    drill_server: DrillServerModel | None = Field(
        default=None,
        description="Where PostgreSQL snapshots are restored for the proof. Without it: on the database's own"
        " server, or on one that is thrown away where the role may not create databases.",
    )
    checks: Annotated[list[CheckModel], Field(min_length=1)] | None = Field(
        default=None, description="Questions to the restored database; with a wrong answer it is not proven."
    )
    before_swap: Annotated[list[CheckModel], Field(min_length=1)] | None = Field(
        default=None,
        description="Questions to a restored database before a rollback makes it the live one, beside checks; with"
        " a wrong answer it does not.",
    )
    warm: WarmKey | None = Field(
        default=None,
        description="Whether the newest database that was restored for the proof is kept, so that a rollback to"
        " that snapshot takes seconds; needs proof: restored.",
    )
    undo_window: PositiveDuration = Field(
        default="24h",
        description="How long a rollback can be undone, and a warm database is kept: then what stands aside is"
        " dropped.",
    )
    verify: RereadingModel | None = Field(
        default=None, description="When stored snapshots are read again from the disk, and how much of them."
    )
    facts: FactsModel | None = Field(default=None, description="What is noted beside what the proof needs.")
    keep: KeepModel = Field(description="How many proven snapshots to keep.")
    timeout: PositiveDuration = Field(default="6h", description="A run that takes longer is stopped.")
    retry: RetryModel = Field(default_factory=RetryModel, description="What to do after a failure that may pass.")
    yield_after: Patience = Field(
        default="5s",
        description="How long another session may wait for a lock behind a PostgreSQL dump, or `amanat migrate`"
        " for any snapshot or drill; then that stands back and is tried again after retry.backoff.",
    )
    compression: CompressionModel = Field(
        default_factory=CompressionModel, description="How snapshots are compressed."
    )
    parallel: Annotated[int, Field(ge=1, le=16)] = Field(
        default=1,
        description="Connections that read the rows of a PostgreSQL database at once, beside two that ask; fewer,"
        " with a warning, where the server allows no more. Tables of less than 8 MiB are not worth one.",
    )
    globals_: bool = Field(
        default=True, alias="globals", description="Whether a PostgreSQL snapshot carries the server's roles."
    )


class AnchorModel(Strict):
    """A command that keeps the register's head where who rewrites the register cannot reach."""

    command: Annotated[list[Text], Field(min_length=1)] = Field(
        description="The program and its arguments, without a shell; run after each change of the register, with"
        " AMANAT_HEAD_SEQUENCE and AMANAT_HEAD_HASH in its environment."
    )
    timeout: PositiveDuration = Field(default="30s", description="A command that takes longer is stopped.")


class PolicyFile(Strict):
    """Databases to keep restorable, and the policies that say how."""

    version: Version = Field(description="The version of this file's form: 1.")
    databases: dict[Name, DatabaseModel] = Field(min_length=1, description="The databases, by name.")
    policies: dict[PolicyName, PolicyModel] = Field(description="The policies, by name.")
    anchor: AnchorModel | None = Field(
        default=None,
        description="A command that keeps the register's head where who rewrites the register cannot reach.",
    )
