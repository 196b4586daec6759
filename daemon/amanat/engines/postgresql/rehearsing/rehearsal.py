"""Restores an archive into a database of its own on a server, tells what stands there, and drops it."""

from amanat.engines.postgresql.connection import Session
from amanat.engines.postgresql.rehearsing import database, making, preparing
from amanat.engines.postgresql.rehearsing.filling import Filling, filled
from amanat.engines.postgresql.rehearsing.servers import Server
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control


def rehearse(server: Server, wanted: Filling, place: Place, control: Control) -> Rehearsal:
    """Owners and grants are restored and compared where the role is a superuser; nobody else can give them."""
    name = f"{database.PREFIX}{place.run}"
    with server.maintenance(place, control) as asked:
        _sweep(asked, place)
        what, ready = preparing.prepared(asked, server, wanted, name, place)
    with making.made(server, name, what.facts, place, control):
        found = filled(ready, what, control)
    making.drop(server, place, name)
    return found


def sweep(server: Server, place: Place, control: Control) -> list[str]:
    """Drop what dead runs left, and the run of ``place``; what was dropped."""
    with server.maintenance(place, control) as asked:
        return _sweep(asked, place)


def _sweep(asked: Session, place: Place) -> list[str]:
    return database.sweep(asked, lambda run: run == place.run or place.is_dead(run))
