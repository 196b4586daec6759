"""Models of how a policy proves its snapshots: drills, re-reading, questions."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from amanat.settings.fields import (
    Expectation,
    Keyword,
    Parameter,
    Percent,
    PositiveDuration,
    Size,
    Text,
    WindowText,
)
from amanat.settings.model_parts import ScheduleModel, SecretModel, Strict, exactly_one


class DrillsModel(Strict):
    """When snapshots are restored and compared by themselves, and what that may cost."""

    schedule: ScheduleModel = Field(description="When drills come due.")
    newest: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1, description="How many of the newest snapshots of each database are drilled."
    )
    sample: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1,
        description="How many older ones, drawn at random: the longer ago one was drilled, the likelier.",
    )
    max_size: Size | None = Field(
        default=None,
        description="Larger databases are not drilled; what counts is their size, not the snapshot's.",
    )
    max_duration: PositiveDuration | None = Field(
        default=None, description="A drill that takes longer is stopped."
    )
    not_between: Annotated[list[WindowText], Field(min_length=1)] | None = Field(
        default=None,
        description="Times of every day, in the schedule's time zone, when no drill begins, and one that still"
        " goes on is stopped.",
    )


class RereadingModel(Strict):
    """When stored snapshots are read again from the disk, and how much of them."""

    schedule: ScheduleModel = Field(description="When re-reading comes due.")
    read: Percent = Field(
        default="5%", description="How much of the stored bytes each time, the longest unread first: 5%, or all."
    )


class DrillServerModel(Strict):
    """The PostgreSQL server to restore on; of the same major as the database's, or a later one."""

    model_config = ConfigDict(json_schema_extra=exactly_one("place", "connection", "service"))

    place: Literal["own", "throw_away"] | None = Field(
        default=None,
        description="own: the database's server; throw_away: one made for each drill within the store, by the"
        " server programs of this host (documentation/proof.md).",
    )

    connection: dict[Keyword, Parameter] | None = Field(
        default=None, min_length=1, description="libpq connection keywords, such as host, port, dbname and user."
    )
    service: Text | None = Field(
        default=None, description="A service of libpq's pg_service.conf, instead of connection."
    )
    password: SecretModel | None = Field(default=None, description="Where its password is.")


class CheckModel(Strict):
    """A question to the restored database."""

    sql: Text = Field(description="One statement that only reads, and gives one value.")
    expect: Expectation = Field(
        description='The value, or one after = != < <= > >=, such as ">= 1"; the last four compare numbers.'
    )
    timeout: PositiveDuration = Field(default="1m", description="A statement that takes longer fails the proof.")


class FactsModel(Strict):
    """What is noted beside what the proof needs."""

    counts: Annotated[list[Text], Field(min_length=1)] = Field(
        description="Tables whose rows are counted for the manifest, whether the file name needs it or not."
    )
