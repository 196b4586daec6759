"""Raise an artefact, level by level, to the proof that is asked for."""

from pathlib import Path

from amanat.domain.errors import IntegrityError
from amanat.domain.model import EngineName, Facts, ProofLevel, Scope
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services.rehearse import Rehearse


def prove(
    ports: Ports,
    artefact: Path,
    *,
    engine: EngineName,
    sha256: str,
    facts: Facts,
    scope: Scope,
    level: ProofLevel,
    control: Control,
    read_back: bool = False,
    readable: bool = False,
    rehearse: Rehearse | None = None,
) -> float | None:
    """``read_back``, ``readable``: what was done already, while the artefact was written (``ports.Artefact``).
    ``rehearse``: how to reach the level ``restored``; what it says is handed back.

    IntegrityError when the bytes differ, ProofError when they cannot be read as what they should be, or do not
    restore to what they were.
    """
    if not read_back and (found := ports.store.reread(artefact, control)) != sha256:
        raise IntegrityError(
            f"{artefact.name} is not what was written: SHA-256 {found[:16]}…, expected {sha256[:16]}…",
            hint="the disk or somebody changed it; check the device, take a new snapshot",
        )
    if level.reaches(ProofLevel.READABLE) and not readable:
        ports.prover_of(engine).prove_readable(artefact, facts, scope, control)
    if level.reaches(ProofLevel.RESTORED) and rehearse:
        return rehearse(artefact, facts)
    return None
