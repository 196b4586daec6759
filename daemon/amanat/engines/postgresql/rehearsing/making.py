"""A database is made for a run on a server, and dropped: when the run fails, or anyhow."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from amanat.domain.errors import AmanatError
from amanat.domain.model import Facts
from amanat.engines.postgresql.rehearsing import database
from amanat.engines.postgresql.rehearsing.database import Like
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.host.control import RunControl
from amanat.ports.engine import Place
from amanat.ports.run import Control

_DROPPING = timedelta(minutes=1)


@contextlib.contextmanager
def made(
    server: Server, name: str, facts: Facts, place: Place, control: Control, *, like: Like | None = None
) -> Iterator[None]:
    """It stays unless an error is raised."""
    try:
        with server.maintenance(place, control) as asked:
            database.create(asked, name, facts, like)
        yield
    except BaseException:
        drop(server, place, name)
        raise


def drop(server: Server, place: Place, name: str) -> None:
    """Also when the run is to stop. What cannot be dropped now is swept later; ours goes as a whole."""
    if server.is_ours:
        return
    reached = server.target(place)
    try:
        with server.maintenance(place, RunControl(timeout=_DROPPING)) as asked:
            database.drop(asked, name)
    except AmanatError as exc:
        later = "the next drill there or `amanat reconcile` drops it"
        place.warn(f"database {name} on the server of {reached.label} is left: {exc.message}; {later}")
