"""Rehearses the restore of a SQLite artefact in a file of its own, and tells what stands there."""

from collections.abc import Sequence
from pathlib import Path

from amanat.domain.model import EngineName, Facts
from amanat.domain.sql_check import SqlCheck
from amanat.engines.sqlite import restored
from amanat.host import clock
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control


class SqliteRehearser:
    """Fulfils ``ports.Rehearser``: in the place's folder, which is on the store's file system."""

    name = EngineName.SQLITE

    def rehearse(
        self, artefact: Path, facts: Facts, checks: Sequence[SqlCheck], place: Place, control: Control
    ) -> Rehearsal:
        copy = place.folder / "rehearsal.sqlite"
        began = clock.monotonic()
        try:
            restored.unpack(artefact, copy, control)
            seconds = clock.monotonic() - began
            comparison = restored.compared(artefact, copy, facts, checks, control)
        finally:
            copy.unlink(missing_ok=True)
        return Rehearsal(comparison=comparison, seconds=seconds, warnings=comparison.caveats)

    def sweep(self, place: Place, control: Control) -> list[str]:  # noqa: ARG002 - the port's signature
        """All of it lies in the run's folder, which the store sweeps."""
        return []

    def examine(self, place: Place, control: Control) -> str:  # noqa: ARG002 - the port's signature
        return "none is needed: SQLite is restored into a file"
