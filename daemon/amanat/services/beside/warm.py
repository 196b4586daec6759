"""The warm database: a proven restore that stays beside the live one, ready to be swapped in."""

from dataclasses import replace
from pathlib import Path

from amanat.domain.aside import Aside, AsideKind
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import BusyError, RefusedError, SpaceError
from amanat.domain.events import Event
from amanat.domain.model import Facts, Snapshot
from amanat.domain.policy import Policy
from amanat.ports import Ports
from amanat.ports.engine import Rehearsal
from amanat.ports.restoring import RestoreOrder
from amanat.services.beside import asides
from amanat.services.beside.asides import Dropping
from amanat.services.beside.site import Site


def is_wanted(ports: Ports, policy: Policy, snapshot: Snapshot | None) -> bool:
    """``snapshot`` None: one that is being taken. An older one than the one that is warm is not."""
    if policy.warm is None or not policy.scope.is_whole:
        return False
    if snapshot is None:
        return True
    others = asides.of_kind(ports, snapshot.database, AsideKind.WARM)
    known = (ports.register.snapshots_like(aside.snapshot or "") for aside in others)
    return all(other.taken_at < snapshot.taken_at for found in known for other in found)


def restored(ports: Ports, site: Site, policy: Policy, artefact: Path, facts: Facts) -> Rehearsal | None:
    """As it would be swapped in one day; it is gone if it is not what was taken. None: it cannot stay there."""
    name, restorer = site.names.beside, site.restorer
    checks = (*policy.checks, *policy.before_swap)
    order = RestoreOrder(artefact=artefact, facts=facts, name=name, checks=checks, stands_in=True)
    try:
        silent = replace(site.place, warn=lambda _: None)  # nobody swaps now
        restorer.require_swap(order, silent, site.control)
        rehearsal = restorer.restore(order, site.place, site.control)
    except (RefusedError, SpaceError) as exc:
        warning = f"nothing is kept warm for a rollback: {exc.message}"
        ports.emit(Event.RUN_WARNING, database=site.database.name, run=site.place.run, warning=warning)
        return None
    if rehearsal.comparison.differences or rehearsal.comparison.not_compared:
        site.drop(name)
    return rehearsal


def take_over(ports: Ports, site: Site, policy: Policy, snapshot: Snapshot) -> None:
    """What this run restored and proved is the warm one from now on; the one before is dropped."""
    name = site.names.beside
    size, now = site.size(name), ports.now()
    if size is None:
        return
    before = asides.of_kind(ports, snapshot.database, AsideKind.WARM)
    aside = Aside(
        run=site.place.run,
        database=snapshot.database,
        environment=site.database.environment,
        place=site.whereabouts,
        kind=AsideKind.WARM,
        name=name,
        snapshot=snapshot.id,
        size_bytes=size,
        since=now,
        until=now + policy.undo_window,
        mark=site.restorer.mark(name, site.place, site.control),
    )
    detail = f"{name} stands ready for a rollback until {aside.until:%Y-%m-%d %H:%M:%S} UTC"
    entry = Entry.about(snapshot, EntryKind.WARM, at=now, by=snapshot.by, run=site.place.run, detail=detail)
    ports.register.asides.add(aside, entry)
    for older in before:
        try:
            asides.drop(ports, site, older, Dropping(by="amanat", reason=f"{name} is warm now"))
        except (BusyError, RefusedError) as exc:
            ports.emit(Event.RUN_WARNING, database=snapshot.database, run=site.place.run, warning=str(exc))
