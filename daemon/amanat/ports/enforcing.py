"""What refuses changes of the schema in the database itself, unless a pass is valid."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from amanat.domain.model import require_aware
from amanat.ports.run import Control


@dataclass(frozen=True, kw_only=True)
class Pass:
    """``role``, and whoever is a member of it, may change the schema ``until`` then, by the server's clock."""

    id: str
    role: str
    until: datetime
    by: str
    purpose: str

    def __post_init__(self) -> None:
        require_aware(self.until)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """For a pass. ``role`` empty: who owns the database, or where that is a superuser, most of its tables.

    ``span``: how long it stands, unless it is revoked.
    """

    role: str = ""
    by: str
    purpose: str
    span: timedelta = timedelta(hours=6)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """``database``: as it is configured here; what is refused names it. ``exempt``: they need no pass, nor do
    their members. ``issuer``: the role that may issue passes; empty: the one that Amanat connects as.
    """

    database: str
    exempt: tuple[str, ...] = ()
    issuer: str = ""


@dataclass(frozen=True, kw_only=True)
class Enforcement:
    """What stands in the database. ``is_enabled``: all its triggers are there, and fire. ``passes``: valid now."""

    version: int
    installation: Installation
    is_enabled: bool
    passes: tuple[Pass, ...]


class Enforcer(Protocol):
    """Of one database. ``scratch``: as in ``ports.engine.Order``. Errors: those of ``Engine``."""

    def state(self, scratch: Path, control: Control) -> Enforcement | None:
        """None: it is not installed."""

    def install(self, wanted: Installation, scratch: Path, control: Control) -> Enforcement:
        """In place of one that is there; passes end with it.

        RefusedError: the role may not, or something else has its place. NotFoundError: no such role.
        """

    def remove(self, scratch: Path, control: Control) -> None:
        """All of it. RefusedError as for ``install``; NotFoundError: it is not installed."""

    def installing(self, wanted: Installation, scratch: Path, control: Control) -> str:
        """The statements of ``install``, for somebody who may; errors but for that are the same."""

    def removing(self) -> str:
        """Those of ``remove``."""

    def issue(self, pass_id: str, asked: Asked, scratch: Path, control: Control) -> Pass:
        """RefusedError: it is not installed, or the role may not issue any. NotFoundError: no such role."""

    def revoke(self, issued: Pass, scratch: Path) -> None:
        """Also when the run is to stop. Nothing if it is over by itself."""
