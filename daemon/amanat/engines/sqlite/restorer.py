"""Restores SQLite databases beside the live one, swaps them in, and keeps and drops what stands aside."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from amanat.domain.changes import Changes
from amanat.domain.errors import RefusedError, SourceError
from amanat.domain.model import EngineName, Facts
from amanat.domain.policy import SqliteSource
from amanat.engines.sqlite import building, changes, journaling, likeness, living, swapping, workshop
from amanat.engines.sqlite.glance import SIDE_FILES, beside
from amanat.engines.sqlite.source import opened, persistently
from amanat.engines.sqlite.swapping import Exchange
from amanat.host import files
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.restoring import Names, RestoreOrder, Swapped
from amanat.ports.run import Control

_BESIDE, _BEFORE = "amanat", "before"


class SqliteRestorer:
    """Fulfils ``ports.Restorer``: files in the folder of the live one. Names are their paths."""

    name = EngineName.SQLITE

    def __init__(self, source: SqliteSource) -> None:
        self._path = source.path

    def names(self, place: Place, control: Control) -> Names:  # noqa: ARG002 - the port's signature
        live = self._live
        return Names(
            live=str(live), beside=f"{live}.{_BESIDE}-{place.run}", before=f"{live}.{_BEFORE}-{place.run}"
        )

    def identity(self, place: Place, control: Control) -> Mapping[str, str]:  # noqa: ARG002 - the port's signature
        live = self._live
        if not live.exists():
            raise SourceError(f"{live} does not exist", hint="is its file system mounted?")
        return {"path": living.printed(live)}

    def require_swap(self, order: RestoreOrder | None, place: Place, control: Control) -> None:
        """What is to come in is compared once it is restored, by the SQLite that restored it."""
        try:
            persistently(lambda: self._open_once(control))
        except SourceError as exc:
            raise RefusedError(
                f"there is nothing to swap with: {exc.message}",
                hint=f"{exc.hint}; or move it away, and amanat restore SNAPSHOT --to {self._live}",
            ) from exc
        likeness.require_exchangeable(self._live, place.run)
        if order:
            building.require_absent(Path(order.name))
            building.require_room(order, self._live.parent)

    def restore(self, order: RestoreOrder, place: Place, control: Control) -> Rehearsal:
        target = Path(order.name).absolute()
        building.require_absent(target)
        workshop.sweep(target, place.is_dead)
        building.require_room(order, target.parent)
        with files.explained(f"{target} cannot be made"), workshop.opened(target, place.run) as folder:
            built, told = building.build(order, folder, control)
            if order.stands_in:
                journaling.set_mode(built, wal=swapping.mode_of(self._live, control))
            files.sync(built)
            building.require_absent(target)
            built.rename(target)
            files.sync(target.parent)
        return told

    def swap(self, incoming: str, outgoing: str, place: Place, control: Control) -> Swapped:
        return swapping.swap(self._exchange(incoming, outgoing), place.warn, control)

    def is_swapped(self, incoming: str, outgoing: str, place: Place, control: Control) -> bool:
        return swapping.is_swapped(self._exchange(incoming, outgoing), place.warn, control)

    def drop(self, name: str, place: Place, control: Control) -> None:  # noqa: ARG002 - the port's signature
        path = Path(name)
        if path == self._live:
            raise RefusedError(
                f"{path} is the live database, and is not dropped", hint="name one that stands aside"
            )
        with files.explained(f"{path} cannot be dropped"):
            there = [each for each in (path, *(beside(path, ending) for ending in SIDE_FILES)) if each.exists()]
            for each in there:
                each.unlink()
            if there:
                files.sync(path.parent)

    def size(self, name: str, place: Place, control: Control) -> int | None:  # noqa: ARG002 - the port's signature
        with files.explained(f"{name} cannot be seen"):
            return Path(name).stat().st_size if Path(name).exists() else None

    def mark(self, name: str, place: Place, control: Control) -> str:  # noqa: ARG002 - the port's signature
        """Of the side files too: what is written in WAL mode goes there first."""
        path = Path(name)
        with files.explained(f"{name} cannot be seen"):
            there = [each for each in (path, *(beside(path, ending) for ending in SIDE_FILES)) if each.exists()]
            return "; ".join(_stamp(each.stat()) for each in there)

    def free_bytes(self, place: Place, control: Control) -> int | None:  # noqa: ARG002 - the port's signature
        with files.explained(f"the room for {self._live} is not known"):
            return files.free_bytes(self._live.parent)

    def changes(self, facts: Facts, place: Place, control: Control, *, seconds: float) -> Changes:  # noqa: ARG002 - the port's signature
        return changes.since(facts, self._live, control, seconds)

    def sweep(self, place: Place, control: Control) -> list[str]:
        live = self._live
        ours = re.compile(
            rf"({re.escape(live.name)}\.{_BESIDE}-{workshop.RUN})({'|'.join(SIDE_FILES)}|\.part-.*)?"
        )
        workshop.sweep(live, place.is_dead)
        with files.explained(f"{live.parent} cannot be tidied"):
            matches = [match for item in live.parent.iterdir() if (match := ours.fullmatch(item.name))]
        dead = sorted({match[1] for match in matches if place.is_dead(match[2])})
        for name in dead:
            workshop.sweep(live.with_name(name), place.is_dead)
            self.drop(str(live.with_name(name)), place, control)
        return [str(live.with_name(name)) for name in dead]

    @property
    def _live(self) -> Path:
        """The file itself: a link to it stays as it is."""
        return Path(os.path.realpath(self._path))

    def _open_once(self, control: Control) -> None:
        with opened(self._live, control):
            pass

    def _exchange(self, incoming: str, outgoing: str) -> Exchange:
        return Exchange(live=self._live, incoming=Path(incoming), outgoing=Path(outgoing))


def _stamp(found: os.stat_result) -> str:
    """The times in nanoseconds; that of the last change of its state cannot be set by hand."""
    return f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
