"""What the services ask of the outside: small protocols, their contracts in the docstrings.

Adapters fulfil them; a contract suite in ``tests/contract`` runs on every implementation of ``Engine``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from amanat.domain.model import EngineName
from amanat.domain.policy import Database, Policy
from amanat.ports.engine import Artefact, Engine, Order, Place, Prover, Rehearsal, Rehearser
from amanat.ports.host import Host
from amanat.ports.register import Register, RunCount, SnapshotTotals
from amanat.ports.run import Control, Controls, Emit, Locks, Progress, Scratch
from amanat.ports.store import Found, Store

__all__ = [
    "Artefact",
    "Control",
    "Controls",
    "Emit",
    "Engine",
    "Found",
    "Host",
    "Locks",
    "Order",
    "Place",
    "Ports",
    "Progress",
    "Prover",
    "Register",
    "Rehearsal",
    "Rehearser",
    "RunCount",
    "Scratch",
    "SnapshotTotals",
    "Store",
]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything that services reach the outside with; ``app`` puts it together.

    ``limit``: runs at once on this host. ``policy_now``, ``database_now``: what the configuration
    that is in force now has under that name.
    ``write_document``: replace a text file atomically. ``run_command``: argv and more environment; ToolError
    unless it succeeds.
    ``commit_of``: the git commit that a folder is at, if any.
    """

    register: Register
    store: Store
    locks: Locks
    emit: Emit
    now: Callable[[], datetime]
    controls: Controls
    engine_of: Callable[[Database], Engine]
    prover_of: Callable[[EngineName], Prover]
    rehearser_of: Callable[[Database, Policy], Rehearser]
    scratch: Scratch
    host: Host
    write_document: Callable[[Path, str], None]
    run_command: Callable[[Sequence[str], Mapping[str, str], Control], None]
    commit_of: Callable[[Path], str | None]
    limit: int
    policy_now: Callable[[str], Policy | None]
    database_now: Callable[[str], Database | None]
