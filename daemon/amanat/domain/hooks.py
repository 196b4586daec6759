"""Commands of the user's own that run around what Amanat does to a database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Moment(StrEnum):
    BEFORE_SNAPSHOT = "before_snapshot"
    AFTER_SNAPSHOT = "after_snapshot"
    BEFORE_RESTORE = "before_restore"
    AFTER_SWAP = "after_swap"
    ON_FAILURE = "on_failure"


@dataclass(frozen=True, kw_only=True)
class Hook:
    """``command``: argv; where a shell was asked for, that of the shell."""

    command: tuple[str, ...]
    timeout: timedelta = timedelta(minutes=10)


Hooks = Mapping[Moment, tuple[Hook, ...]]
"""In the order in which they run."""
