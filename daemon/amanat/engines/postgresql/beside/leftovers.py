"""What restores of dead runs left on the server."""

import re

from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.rehearsing import database
from amanat.engines.postgresql.swapping import naming
from amanat.ports.engine import Place

_RUN = re.compile(r".*_(?P<run>[0-9a-f]{12})", re.DOTALL)
_NAMES = "SELECT datname::text FROM pg_database ORDER BY 1"


def sweep(asked: Session, live: str, place: Place) -> list[str]:
    """What was dropped, by name: what ``place.is_dead`` says may go, and no other."""
    names = [name for (name,) in asked.ask(_NAMES)]
    dropped = [name for name in names if (run := run_of(name, live)) and place.is_dead(run)]
    for name in dropped:
        database.drop(asked, name)
    return dropped


def run_of(name: str, live: str) -> str | None:
    """The run that restored it beside ``live``, or had not finished to; None: it is none such."""
    if not (found := _RUN.fullmatch(name)):
        return None
    run = found["run"]
    return run if name in {naming.names(live, run).beside, f"{database.PREFIX}{run}"} else None
