"""What reads a database and what proves an artefact."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from amanat.domain.model import EngineName, Facts, ProofLevel, Scope
from amanat.domain.policy import Compression
from amanat.domain.sql_check import SqlCheck
from amanat.ports.run import Control

if TYPE_CHECKING:  # most commands neither compare nor examine
    from amanat.domain.comparison import Comparison
    from amanat.domain.description import Description
    from amanat.domain.doctor import Check
    from amanat.domain.gate import Live


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to take and where to: ``folder`` is empty, private (0700), ours, on the store's file system.

    ``counts``: tables (as patterns) whose row counts the file name needs. ``globals``: take roles too.
    ``parallel`` and ``yield_after``: as in ``domain.policy.Policy``. ``proof``: what will be asked of the
    artefact; facts that only a higher level looks at may be left out.
    ``prove_readable``: as ``Prover`` does. An engine whose artefact takes time to come back from the disk
    calls it meanwhile, as soon as no byte changes any more, and says so; it raises as ``Prover`` does.
    ``scratch``: a private folder for secrets files of the run; the caller removes it.
    """

    folder: Path
    scratch: Path
    scope: Scope = field(default_factory=Scope)
    counts: tuple[str, ...] = ()
    globals: bool = True
    compression: Compression = field(default_factory=Compression)
    parallel: int = 1
    yield_after: timedelta | None = None
    proof: ProofLevel = ProofLevel.READABLE
    prove_readable: Callable[[Path, Facts], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What an engine left in the order's folder; in the store it keeps what follows the first dot of its name.

    ``sha256``: hex digest of the file as it was meant to be, taken while it was written where that can be.
    ``read_back``: that is of what the disk gave back, each byte after a sync that covers it, and the same as
    was written. ``readable``: so it was proven, by the order's ``prove_readable``.
    ``companions``: further files by the suffix they get behind the artefact's name, such as ``.globals.sql``.
    ``tools``: names and versions of what made it. ``warnings``: whole sentences for the register and the log.
    ``archive_version``: version of the file format, for PostgreSQL archives.
    ``fallback``: it was not made the usual, fast way; a warning says why.
    """

    path: Path
    sha256: str
    facts: Facts
    read_back: bool = False
    readable: bool = False
    companions: Mapping[str, Path] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    archive_version: str = ""
    warnings: tuple[str, ...] = ()
    fallback: bool = False


class Engine(Protocol):
    """Reads one database (it is bound to its source); safe to use from one thread at a time.

    Errors: SourceError (``transient`` where trying again can help), YieldedError, ToolError, StoreError
    (ENOSPC and the like while writing), TimeoutExceededError, InterruptedRunError. After an error nothing that
    the engine started still runs; what it wrote lies in the order's folder alone, which the caller removes.
    """

    name: EngineName

    def source_bytes(self, control: Control, scratch: Path) -> int:
        """Size of the whole database now; also the cheap proof that it can be opened and read."""

    def staging_bytes(self, order: Order, source_bytes: int, artefact_bytes: int) -> int:
        """What ``take`` needs in the order's folder for a while, beyond the artefact itself."""

    def examine(self, order: Order, control: Control) -> "list[Check]":
        """What can be told of ``take(order)`` before it is tried; reads no rows, writes to ``scratch`` alone.

        At least client, compression and access, each by its name and without a subject. Raises
        as ``source_bytes`` does where the database cannot be reached at all.
        """

    def live(self, scratch: Path, control: Control) -> "Live":
        """What the database is now, for who wants to change its schema; reads no rows of the application.

        Behind locks of others it waits for two seconds, then tells of these alone (``gate.locked_away``).
        """

    def described(self, scratch: Path, control: Control) -> "Description":
        """What the database is made of now, as in the facts of a snapshot; reads no rows of the application."""

    def take(self, order: Order, control: Control) -> Artefact:
        """Write a consistent copy of the scope. A pattern that matches no table is a SourceError."""


class Prover(Protocol):
    """Proves an artefact without its source: it works on any host that has the stock tools."""

    name: EngineName

    def prove_readable(self, artefact: Path, facts: Facts, scope: Scope, control: Control) -> None:
        """Decode all of it and compare with the facts; ProofError says what is wrong. Leaves no file behind."""

    def examine(self, artefact: Path, control: Control) -> str:
        """Which tool of this host opens it, by a glance that is no proof. ToolError: none; ProofError: damaged."""

    def recipe(self, file_name: str, facts: Facts) -> tuple[str, ...]:
        """Shell lines that restore the artefact with stock tools alone."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an artefact is restored for a while. ``run``: what needs a name is named after it.

    ``folder`` and ``scratch``: as in ``Order``. ``is_dead``: whether a run of that id was one of ours and works
    no longer; what it left behind is removed on the way. Others' are left alone: a server may serve several of us.
    ``warn``: takes a sentence on what could not be removed, however the restore ends.
    """

    run: str
    folder: Path
    scratch: Path
    is_dead: Callable[[str], bool]
    warn: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """``seconds``: from an empty place to the last index. ``warnings``: as in ``Artefact``."""

    comparison: "Comparison"
    seconds: float
    warnings: tuple[str, ...] = ()


class Rehearser(Protocol):
    """Restores artefacts of one database into a place that nobody uses, and looks at what stands there.

    The place is gone afterwards, whatever happens. Errors: those of ``Engine``; RefusedError where there may be no
    such place, IntegrityError where the artefact does not restore.
    """

    name: EngineName

    def rehearse(
        self, artefact: Path, facts: Facts, checks: Sequence[SqlCheck], place: Place, control: Control
    ) -> Rehearsal:
        """Restore all of it, compare all of it with the facts, and ask the user's own questions.

        A wrong answer, or none, is a difference like any other.
        """

    def sweep(self, place: Place, control: Control) -> list[str]:
        """Remove what dead runs left, that of ``place`` among them; its folder need not be there any more.

        What was dropped on a server, by name.
        """

    def examine(self, place: Place, control: Control) -> str:
        """Where the next drill would restore, and what was left there; raises what keeps it from every place."""
