"""Models of what runs around a snapshot or a rollback, and of what is kept to go back to."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from amanat.settings.fields import PositiveDuration, Size, Text
from amanat.settings.model_parts import Strict, at_least_one, exactly_one

_LIST, _MAPPING, _TRUE = "[list]", "[mapping]", "[true]"  # no keys: reasons leaves them out of a key path


def _of_command(value: Any) -> str | None:
    if isinstance(value, list):
        return _LIST
    return _MAPPING if isinstance(value, dict | HookModel) else None


def _of_warm(value: Any) -> str | None:
    if value is True:
        return _TRUE
    return _MAPPING if isinstance(value, dict | WarmModel) else None


class HookModel(Strict):
    """A command: a list of text is the program and its arguments; a mapping says more of it."""

    model_config = ConfigDict(json_schema_extra=exactly_one("run", "shell"))

    run: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="The program and its arguments, without a shell."
    )
    shell: Text | None = Field(default=None, description="One line for /bin/sh, where pipes or && are needed.")
    timeout: PositiveDuration = Field(
        default="10m", description="A command that takes longer is stopped, and has failed."
    )


Command = Annotated[
    Annotated[list[Text], Field(min_length=1), Tag(_LIST)] | Annotated[HookModel, Tag(_MAPPING)],
    Discriminator(
        _of_command,
        custom_error_type="command",
        custom_error_message="must be a command: a list such as [php, artisan, down], or a mapping",
    ),
]
Commands = Annotated[list[Command], Field(min_length=1)]


class HooksModel(Strict):
    """Commands of your own that run, in their order, in the application's folder (documentation/hooks.md)."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    before_snapshot: Commands | None = Field(
        default=None, description="Before the database is read; if one fails, no snapshot is taken."
    )
    after_snapshot: Commands | None = Field(
        default=None,
        description="When the database has been read, or could not be; whenever before_snapshot was begun.",
    )
    before_restore: Commands | None = Field(
        default=None, description="Before a rollback restores anything; if one fails, there is none."
    )
    after_swap: Commands | None = Field(
        default=None, description="When a rollback or an undo has put another database in place of the live one."
    )
    on_failure: Commands | None = Field(
        default=None, description="When a snapshot or a rollback has failed for good; if one fails, it is told."
    )


class WarmModel(Strict):
    """When a warm database has to go."""

    min_free: Size = Field(description="It is dropped when less than this is free where it stands.")


WarmKey = Annotated[
    Annotated[Literal[True], Tag(_TRUE)] | Annotated[WarmModel, Tag(_MAPPING)],
    Discriminator(
        _of_warm,
        custom_error_type="warm",
        custom_error_message="must be true, or a mapping such as {min_free: 10GiB}",
    ),
]


class DocumentsModel(Strict):
    """Documents that are rendered anew after each change."""

    model_config = ConfigDict(json_schema_extra=at_least_one("register", "rollback_log"))

    register_: Text | None = Field(
        default=None,
        alias="register",
        description="The Markdown register of the database's snapshots, rendered as a whole.",
    )
    rollback_log: Text | None = Field(
        default=None,
        description="The Markdown log of its restores, rollbacks and migrations, rendered as a whole.",
    )
