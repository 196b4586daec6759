"""What restores a database beside the live one, and swaps the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from amanat.domain.model import EngineName, Facts
from amanat.domain.sql_check import SqlCheck
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control

if TYPE_CHECKING:
    from amanat.domain.changes import Changes


@dataclass(frozen=True, kw_only=True)
class Names:
    """What an engine calls the live database, one that a run restores beside it, and one that it sets aside."""

    live: str
    beside: str
    before: str


@dataclass(frozen=True, kw_only=True)
class RestoreOrder:
    """``name``: of the database (or the file) that is made; nothing may be there yet. ``tables``: name or glob
    patterns of those to restore; none: all of them. ``stands_in``: it may be swapped in for the live one, so it
    has to be all that this is, owners and grants among it, and nobody may connect to it until then.
    """

    artefact: Path
    facts: Facts
    name: str
    checks: Sequence[SqlCheck] = ()
    tables: tuple[str, ...] = ()
    schema_only: bool = False
    stands_in: bool = False


@dataclass(frozen=True, kw_only=True)
class Swapped:
    """``seconds``: for how long nobody could use the database. ``statements``: what was executed."""

    seconds: float
    statements: tuple[str, ...]
    warnings: tuple[str, ...] = ()


class Restorer(Protocol):
    """Of one database, on its own server or in its own folder. Errors as those of ``Rehearser``.

    ``incoming`` and ``outgoing``: names as of ``Names``. A ``place`` says whose run it is; see there.
    """

    name: EngineName

    def names(self, place: Place, control: Control) -> Names:
        """Of the run of ``place``."""

    def identity(self, place: Place, control: Control) -> Mapping[str, str]:
        """What tells the live one from others, as in the facts of a snapshot, as far as the role may know.

        SourceError if it is not there.
        """

    def require_swap(self, order: RestoreOrder | None, place: Place, control: Control) -> None:
        """RefusedError for what would keep a swap from being done, with what mends it; nothing is made.

        ``order``: what is to be restored first, and what would keep that from beginning is raised too, as
        ``restore`` raises it; None: it stands there already.

        What of the live one a swap would leave behind, ``place.warn`` is told.
        """

    def restore(self, order: RestoreOrder, place: Place, control: Control) -> Rehearsal:
        """Make it, fill it, compare it with the facts, ask the questions. It stays unless an error is raised.

        A difference is no error here: who ordered it judges, and drops it. RefusedError: there is something of
        that name. SpaceError: no room for it.
        """

    def swap(self, incoming: str, outgoing: str, place: Place, control: Control) -> Swapped:
        """Whatever happens, either the old or the new one is live under its name, whole; see ``is_swapped``.

        BusyError: others could not be kept out of it. Nothing is changed then.
        """

    def is_swapped(self, incoming: str, outgoing: str, place: Place, control: Control) -> bool:
        """After a crash: whether it was done; else what was begun of it is taken back, and ``incoming`` stays."""

    def drop(self, name: str, place: Place, control: Control) -> None:
        """One that stands aside; nothing if it is not there."""

    def size(self, name: str, place: Place, control: Control) -> int | None:
        """Bytes of one that stands aside; None: it is not there."""

    def mark(self, name: str, place: Place, control: Control) -> str:
        """Another one once somebody may have changed what stands aside there; cheap, whatever its size."""

    def free_bytes(self, place: Place, control: Control) -> int | None:
        """Where they stand; None: unknown."""

    def changes(self, facts: Facts, place: Place, control: Control, *, seconds: float) -> "Changes":
        """What was written to the live one since. ``seconds``: how long counting rows may take, and how long it
        waits for a lock of somebody else.
        """

    def sweep(self, place: Place, control: Control) -> list[str]:
        """Drop what dead runs restored beside; what was dropped, by name. See ``Place.is_dead``."""
