"""What the services ask of the outside: small protocols, their contracts in the docstrings.

Adapters fulfil them; a contract suite in ``tests/contract`` runs on every implementation of ``Engine``.
Each is imported from its own module: who lists snapshots must not pay for what engines are told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amanat.domain.model import EngineName
    from amanat.domain.policy import Database, Policy
    from amanat.ports.enforcing import Enforcer
    from amanat.ports.engine import Engine, Prover, Rehearser
    from amanat.ports.host import Host
    from amanat.ports.register import Register
    from amanat.ports.restoring import Restorer
    from amanat.ports.run import Attached, Controls, Emit, Locks, RunCommand, Scratch
    from amanat.ports.store import Store


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything that services reach the outside with; ``app`` puts it together.

    ``host``: what the doctor looks at this host with; made when it is asked for.
    ``limit``: runs at once on this host. ``policy_now``, ``database_now``: what the configuration
    that is in force now has under that name; ``policies_now``: the policies of the database of that name.
    ``write_document``: replace a text file atomically; StoreError for one that Amanat did not write.
    ``run_attached``: argv, its whole environment and its umask; it has our terminal. ToolError where it cannot be
    started.
    ``commit_of``: the git commit that a folder is at, if any.
    """

    register: "Register"
    store: "Store"
    locks: "Locks"
    emit: "Emit"
    now: Callable[[], datetime]
    controls: "Controls"
    engine_of: "Callable[[Database], Engine]"
    prover_of: "Callable[[EngineName], Prover]"
    rehearser_of: "Callable[[Database, Policy], Rehearser]"
    restorer_of: "Callable[[Database], Restorer]"
    enforcer_of: "Callable[[Database], Enforcer]"
    scratch: "Scratch"
    host: "Callable[[], Host]"
    write_document: Callable[[Path, str], None]
    run_command: "RunCommand"
    run_attached: "Callable[[Sequence[str], Mapping[str, str], int], Attached]"
    commit_of: Callable[[Path], str | None]
    limit: int
    policy_now: "Callable[[str], Policy | None]"
    database_now: "Callable[[str], Database | None]"
    policies_now: "Callable[[str], Sequence[Policy]]"
