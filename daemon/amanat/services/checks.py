"""What readiness and a run cannot do without: the one list of doctor, ``/readyz`` and the guard before a run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial

from amanat.domain.doctor import Check, Name, asked
from amanat.domain.errors import SpaceError
from amanat.domain.model import EngineName, ProofLevel
from amanat.domain.policy import DrillPlace
from amanat.domain.units import format_size
from amanat.ports import Ports
from amanat.ports.engine import Engine, Order
from amanat.ports.run import Control
from amanat.services import losses
from amanat.services.request import Request

_GROWTH = 1.25  # room for a snapshot that has grown by a quarter since the last one


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A snapshot that is about to be taken, or could be."""

    request: Request
    engine: Engine
    order: Order
    control: Control

    @cached_property
    def source_bytes(self) -> int:
        return self.engine.source_bytes(self.control, self.order.scratch)


@dataclass(frozen=True, kw_only=True)
class Need:
    """``ask``: says what it found, or raises what ends a run. Who asks it: ``readiness``, a ``run``."""

    name: Name
    ask: Callable[[], str]
    readiness: bool = False
    run: bool = False


def of_host(ports: Ports) -> tuple[Need, ...]:
    return (
        Need(name=Name.REGISTER, ask=partial(_register, ports), readiness=True),
        Need(name=Name.STORE, ask=partial(_store, ports), readiness=True, run=True),
    )


def of_plan(ports: Ports, planned: Planned) -> tuple[Need, ...]:
    return (
        Need(name=Name.SOURCE, ask=partial(_source, planned), run=True),
        Need(name=Name.SPACE, ask=partial(_space, ports, planned), run=True),
    )


def readiness(ports: Ports) -> list[Check]:
    return [asked(need.name, need.ask) for need in of_host(ports) if need.readiness]


def require_for_run(needs: Iterable[Need]) -> None:
    """Raises what is wrong first."""
    for need in needs:
        if need.run:
            need.ask()


def _register(ports: Ports) -> str:
    ports.register.check()
    return "can be read and written"


def _store(ports: Ports) -> str:
    losses.require_store(ports)
    return "is there and can be written"


def _source(planned: Planned) -> str:
    return f"can be opened; it has {format_size(planned.source_bytes)}"


def _space(ports: Ports, planned: Planned) -> str:
    """SpaceError before a byte is written; judged by the last snapshot, the first time by the source."""
    request, source = planned.request, planned.source_bytes
    last = ports.register.newest_snapshot(
        database=request.database.name, policy=request.policy.name, scope=request.effective_scope
    )
    expected = int((last.size_bytes if last else source) * _GROWTH)
    needed = expected + max(planned.engine.staging_bytes(planned.order, source, expected), _drill(planned, source))
    free = ports.store.free_bytes()
    if free < needed:
        raise SpaceError(
            f"store {ports.store.root} has {format_size(free)} free, "
            f"a snapshot of {request.database.name} needs about {format_size(needed)}",
            hint="make room on that file system, or keep fewer snapshots",
        )
    return f"{format_size(free)} free, a snapshot needs about {format_size(needed)}"


def _drill(planned: Planned, source_bytes: int) -> int:
    """A SQLite database is restored beside the store, and one of PostgreSQL on a server made there; the disk of
    another server is asked by the drill.
    """
    place = planned.request.policy.drill_server
    beside = planned.engine.name is EngineName.SQLITE or place is DrillPlace.THROW_AWAY
    return source_bytes if beside and planned.order.proof is ProofLevel.RESTORED else 0
