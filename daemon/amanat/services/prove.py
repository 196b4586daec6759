"""Raise an artefact, level by level, to the proof that is asked for."""

from pathlib import Path

from amanat.domain.errors import ConfigurationError, IntegrityError
from amanat.domain.model import EngineName, Facts, ProofLevel, Scope
from amanat.ports import Control, Ports


def require_available(level: ProofLevel) -> None:
    """ConfigurationError for a level that this release cannot give: it is never quietly lowered."""
    if level not in {ProofLevel.STORED, ProofLevel.READABLE}:
        raise ConfigurationError(
            f"proof level {level} is not available in this release", hint="ask for stored or readable"
        )


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
    examined: bool = False,
) -> None:
    """``read_back``, ``examined``: what was done already, while the artefact was written (``ports.Artefact``).

    IntegrityError when the bytes differ, ProofError when they cannot be read as what they should be.
    """
    require_available(level)
    if not read_back and (found := ports.store.reread(artefact, control)) != sha256:
        raise IntegrityError(
            f"{artefact.name} is not what was written: SHA-256 {found[:16]}…, expected {sha256[:16]}…",
            hint="the disk or somebody changed it; check the device, take a new snapshot",
        )
    if level.reaches(ProofLevel.READABLE) and not examined:
        ports.prover_of(engine).prove_readable(artefact, facts, scope, control)
