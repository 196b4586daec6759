"""Another database of the server than those that change their names: nobody can be in one of them meanwhile."""

from collections.abc import Collection, Iterator

from amanat.domain.errors import RefusedError, SourceError
from amanat.engines.postgresql.connection import Target, session
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.ports.engine import Place
from amanat.ports.run import Control

_USUAL = ("postgres", "template1")
_OTHERS = """
SELECT datname::text FROM pg_database
WHERE datallowconn AND has_database_privilege(oid, 'CONNECT') AND datname <> ALL(%s) ORDER BY 1
"""


def live_name(server: Server, place: Place, control: Control) -> str:
    """Only where the parameters leave it open the database is asked: it may let nobody in any more."""
    if named := server.parameters.get("dbname"):
        return named
    with session(server.target(place), control) as asked:
        return asked.database_name


def found(server: Server, without: Collection[str], place: Place, control: Control) -> Target:
    """The first that can be connected to, other than ``without``; RefusedError: there is none."""
    failures = []
    for name in _candidates(server, without, place, control):
        reached = server.target(place, dbname=name)
        try:
            with session(reached, control):
                return reached
        except SourceError as exc:
            failures.append(exc)
    if transient := next((each for each in failures if each.transient), None):
        raise transient
    raise RefusedError(
        "a swap needs a connection to another database of the same server, and there is none: "
        + "; ".join(each.message for each in failures),
        hint="let the role connect to database postgres, in pg_hba.conf too",
    )


def _candidates(server: Server, without: Collection[str], place: Place, control: Control) -> Iterator[str]:
    yield from (name for name in _USUAL if name not in without)
    with session(server.target(place), control) as asked:
        others = asked.ask(_OTHERS, [[*without, *_USUAL]])
    yield from (name for (name,) in others)
