"""What somebody wants: a snapshot of a database, under a policy, for a purpose."""

from dataclasses import dataclass
from datetime import datetime

from amanat.domain import naming
from amanat.domain.errors import ConfigurationError
from amanat.domain.model import MANUAL_POLICY, Scope
from amanat.domain.policy import Database, Policy


@dataclass(frozen=True, kw_only=True)
class Request:
    """``scope`` overrides the policy's; ``version`` fills ``{version}``.

    ``wait``: seconds to wait for another run on the same database.
    """

    database: Database
    policy: Policy
    by: str
    name: str
    purpose: str = ""
    scope: Scope | None = None
    version: str = ""
    scheduled_at: datetime | None = None
    wait: float = 0.0

    @property
    def effective_scope(self) -> Scope:
        return self.scope or self.policy.scope

    @property
    def label(self) -> dict[str, str]:
        """What events and progress carry to tell runs apart."""
        return {"database": self.database.name, "policy": self.policy.name}


def require_usable(request: Request) -> None:
    """ConfigurationError before anything is recorded.

    A part of a database must not count as a policy's snapshot of all of it.
    """
    if request.scope and request.policy.name != MANUAL_POLICY:
        raise ConfigurationError(
            f"chosen tables cannot go under policy {request.policy.name}, whose snapshots are all of one scope",
            hint="leave out the policy: it is then a manual snapshot",
        )
    naming.check_name(request.name)
    if request.policy.purpose_required and not request.purpose.strip():
        raise ConfigurationError(
            f"policy {request.policy.name} requires a purpose", hint='say why: --purpose "pre release 2.1.0"'
        )
