"""Where a run works beside a live database: with which restorer and place, and whose leavings are nobody's."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from amanat.domain import whereabouts
from amanat.domain.aside import Aside, Swap, foreign
from amanat.domain.policy import Database
from amanat.ports import Ports
from amanat.ports.engine import Place
from amanat.ports.restoring import Names, Restorer
from amanat.ports.run import Control


@dataclass(frozen=True, kw_only=True)
class Site:
    database: Database
    restorer: Restorer
    place: Place
    control: Control

    @property
    def names(self) -> Names:
        return self.restorer.names(self.place, self.control)

    @cached_property
    def identity(self) -> Mapping[str, str]:
        return self.restorer.identity(self.place, self.control)

    @property
    def whereabouts(self) -> str:
        return whereabouts.as_text(self.identity)

    def foreign(self, one: Aside | Swap) -> str:
        """Why it is none of what stands here, as a sentence; empty: it is."""
        return foreign(one, self.database.environment, self.whereabouts)

    def size(self, name: str) -> int | None:
        return self.restorer.size(name, self.place, self.control)

    def drop(self, name: str) -> None:
        self.restorer.drop(name, self.place, self.control)

    def sweep(self) -> list[str]:
        """What dead runs restored, and nobody took over."""
        return self.restorer.sweep(self.place, self.control)


@contextlib.contextmanager
def opened(
    ports: Ports, database: Database, run: str, control: Control, *, warn: Callable[[str], None] = lambda _: None
) -> Iterator[Site]:
    with ports.store.staging(run) as folder, ports.scratch.folder(run) as scratch:
        place = place_of(ports, run, (folder, scratch), warn=warn)
        yield at(ports, database, place, control)


def at(ports: Ports, database: Database, place: Place, control: Control) -> Site:
    return Site(database=database, restorer=ports.restorer_of(database), place=place, control=control)


def place_of(
    ports: Ports,
    run: str,
    folders: tuple[Path, Path],
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> Place:
    """``folders``: one on the store's file system, and the scratch folder of the run."""
    folder, scratch = folders

    def is_dead(other: str) -> bool:
        """What stands there on purpose is no leaving, whichever database it is of: servers are shared."""
        if not ports.register.knows_run(other) or ports.locks.is_alive(other):
            return False
        kept = {aside.run for aside in ports.register.asides.all()}
        return other not in kept | {swap.run for swap in ports.register.asides.open_swaps()}

    return Place(run=run, folder=folder, scratch=scratch, is_dead=is_dead, warn=warn)
