"""From what somebody wants to what the engine is told: the order of a snapshot, taken or only examined."""

from pathlib import Path

from amanat.domain import naming
from amanat.domain.model import Facts, ProofLevel
from amanat.ports import Ports
from amanat.ports.engine import Engine, Order
from amanat.ports.run import Control
from amanat.services.request import Request


def order(ports: Ports, request: Request, engine: Engine, folders: tuple[Path, Path], control: Control) -> Order:
    """``folders``: where to write the artefact, and for secrets files."""

    def prove_readable(artefact: Path, facts: Facts) -> None:
        ports.prover_of(engine.name).prove_readable(artefact, facts, request.effective_scope, control)

    (folder, scratch), policy = folders, request.policy
    return Order(
        folder=folder,
        scratch=scratch,
        scope=request.effective_scope,
        counts=tuple(dict.fromkeys((*naming.counts_wanted(policy.file_name), *policy.counts))),
        globals=policy.globals,
        compression=policy.compression,
        parallel=policy.parallel,
        yield_after=policy.yield_after,
        proof=ProofLevel.RESTORED if policy.drills else policy.proof,
        prove_readable=prove_readable if policy.proof.reaches(ProofLevel.READABLE) else None,
    )
