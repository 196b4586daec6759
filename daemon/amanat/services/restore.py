"""Restore a snapshot beside everything that is there: into a new database, or a new file."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from amanat.domain.account import Account
from amanat.domain.comparison import Comparison
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, ConfigurationError, IntegrityError, ProofError
from amanat.domain.model import EngineName, Facts, Outcome, ProofLevel, Run, Snapshot, Stage
from amanat.domain.policy import MANUAL, Database, SqliteSource
from amanat.ports import Ports
from amanat.ports.engine import Rehearsal
from amanat.ports.restoring import RestoreOrder
from amanat.services import damage, find, intact, prove
from amanat.services.beside import site
from amanat.services.beside.site import Site
from amanat.services.runs import ActiveRun, admitted_to_read, new_id, recorded, warn


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """``to``: the new database's name, or the new file. ``tables``, ``schema_only``: as in ``RestoreOrder``.

    ``wait``: seconds, as in ``Request``.
    """

    snapshot: Snapshot
    to: str
    by: str
    purpose: str = ""
    tables: tuple[str, ...] = ()
    schema_only: bool = False
    wait: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Restored:
    """``comparison``: with the facts of the snapshot; what differs stands there all the same."""

    comparison: Comparison
    account: Account


def restore(ports: Ports, wanted: Wanted) -> Restored:
    """What differs from the snapshot's facts is kept, for whoever has nothing better, and told by ProofError.

    RefusedError when something is there already.
    """
    run = Run(
        id=new_id(),
        stage=Stage.RESTORE,
        database=wanted.snapshot.database,
        policy=wanted.snapshot.policy,
        by=wanted.by,
        purpose=wanted.purpose,
        started_at=ports.now(),
        snapshot=wanted.snapshot.id,
    )
    with admitted_to_read(ports, run, wanted.snapshot, wait=wanted.wait, restores=True):
        snapshot = find.require_here(ports, find.snapshot(ports, wanted.snapshot.id))
        with recorded(ports, replace(run, started_at=ports.now())) as active, _told(ports, wanted, active):
            active.snapshot = snapshot.id
            restored = _restored(ports, replace(wanted, snapshot=snapshot), active)
    if restored.comparison.differences:
        told = "; ".join(each.describe() for each in restored.comparison.differences[:5])
        raise ProofError(
            f"{wanted.to} was restored, and stays, but is not all that was taken: {told}",
            hint="compare before it is used; another snapshot may be whole: `amanat list`",
        )
    return restored


def _restored(ports: Ports, wanted: Wanted, active: ActiveRun) -> Restored:
    label = {"database": wanted.snapshot.database, "policy": wanted.snapshot.policy}
    control = ports.controls(timeout=MANUAL.timeout, label=label)
    database = _database(ports, wanted)
    with site.opened(ports, database, active.run.id, control, warn=partial(warn, ports, active)) as place:
        facts = read(ports, wanted.snapshot, place)
        order = RestoreOrder(
            artefact=ports.store.path(wanted.snapshot.path),
            facts=facts,
            name=wanted.to,
            tables=wanted.tables,
            schema_only=wanted.schema_only,
        )
        rehearsal = place.restorer.restore(order, place.place, control)
    for warning in rehearsal.warnings:
        warn(ports, active, warning)
    account = replace(_account(ports, wanted, active), checks=checked(rehearsal, order))
    _tell(ports, wanted, active, account, Outcome.SUCCEEDED)
    return Restored(comparison=rehearsal.comparison, account=account)


def read(ports: Ports, snapshot: Snapshot, place: Site) -> Facts:
    """Of a snapshot whose bytes are what was written: all of them are read, and hashed; damage is noted."""
    try:
        return _intact(ports, snapshot, place)
    except IntegrityError as exc:
        (run,) = (run for run in ports.register.open_runs() if run.id == place.place.run)
        damage.note(ports, snapshot, ProofLevel.STORED, run, exc)
        raise


def _intact(ports: Ports, snapshot: Snapshot, place: Site) -> Facts:
    manifest = intact.manifest_of(ports, snapshot, place.control)
    prove.prove(
        ports,
        ports.store.path(snapshot.path),
        engine=snapshot.engine,
        sha256=snapshot.sha256,
        facts=manifest.facts,
        scope=snapshot.scope,
        level=ProofLevel.STORED,
        control=place.control,
    )
    return manifest.facts


def checked(rehearsal: Rehearsal, order: RestoreOrder) -> tuple[str, ...]:
    """What came of the comparison, line by line: rows are compared where their digests were taken."""
    compared = rehearsal.comparison
    if compared.differences:
        return tuple(each.describe() for each in compared.differences)
    gaps = tuple(f"not compared: {gap}" for gap in compared.not_compared)
    what = "schema, rows, sequences" if order.facts.rows and not order.schema_only else "schema, sequences"
    return (*(gaps or (f"equal to the facts of the snapshot: {what}",)), *compared.caveats)


def _account(ports: Ports, wanted: Wanted, active: ActiveRun) -> Account:
    part = ", ".join(filter(None, (" ".join(wanted.tables), "schema only" if wanted.schema_only else "")))
    seconds = (ports.now() - active.run.started_at).total_seconds()
    return Account(
        origin=describe(wanted.snapshot),
        result=f"{wanted.to}{f' ({part})' if part else ''}, beside what was there",
        steps=(f"restored {ports.store.path(wanted.snapshot.path)} into {wanted.to}",),
        warnings=tuple(active.warnings),
        seconds=seconds,
        undo=f"drop {wanted.to}: nothing else was changed",
    )


def describe(snapshot: Snapshot) -> str:
    return f"snapshot {snapshot.id} of {snapshot.taken_at:%Y-%m-%d %H:%M:%S} UTC ({snapshot.proof})"


@contextmanager
def _told(ports: Ports, wanted: Wanted, active: ActiveRun) -> Iterator[None]:
    try:
        yield
    except AmanatError as exc:
        failed = Account(origin=describe(wanted.snapshot), result=wanted.to, failure=exc.message)
        _tell(ports, wanted, active, failed, Outcome.FAILED)
        raise


def _tell(ports: Ports, wanted: Wanted, active: ActiveRun, account: Account, outcome: Outcome) -> None:
    ports.register.append(
        Entry.about(
            wanted.snapshot,
            EntryKind.RESTORE,
            at=ports.now(),
            by=wanted.by,
            outcome=outcome,
            purpose=wanted.purpose,
            run=active.run.id,
            detail=account.as_text(),
        )
    )


def _database(ports: Ports, wanted: Wanted) -> Database:
    """A SQLite snapshot needs no configured database: on a new host there is none yet."""
    snapshot = wanted.snapshot
    if database := ports.database_now(snapshot.database):
        return database
    if snapshot.engine is EngineName.SQLITE:
        source = SqliteSource(path=Path(wanted.to))
        name, environment = snapshot.database, snapshot.environment
        return Database(name=name, environment=environment, engine=snapshot.engine, source=source)
    raise ConfigurationError(
        f"database {snapshot.database} is not configured, so it is not known on which server to restore",
        hint="name it in the policy file, or restore it by hand: `amanat show` has the lines",
    )
