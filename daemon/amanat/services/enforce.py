"""Enforcement in the database: installed, removed, asked, and passes through it; each change has an entry."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, RefusedError
from amanat.domain.model import Outcome, utc_text
from amanat.domain.policy import Database
from amanat.ports import Ports
from amanat.ports.enforcing import Asked, Enforcement, Enforcer, Installation, Pass
from amanat.ports.run import Control
from amanat.services.runs import new_id

_TIMEOUT = timedelta(minutes=2)


def state(ports: Ports, database: Database) -> Enforcement | None:
    with ports.scratch.folder(new_id()) as scratch:
        return ports.enforcer_of(database).state(scratch, _control(ports, database))


def is_at_work(ports: Ports, database: Database) -> bool | None:
    """None: its engine knows no such thing, or it cannot be asked."""
    try:
        found = state(ports, database)
    except AmanatError:
        return None
    return found is not None and found.is_enabled


def install(
    ports: Ports, database: Database, *, exempt: tuple[str, ...], issuer: str, by: str, purpose: str
) -> Enforcement:
    wanted = Installation(database=database.name, exempt=exempt, issuer=issuer)
    with ports.scratch.folder(new_id()) as scratch:
        done = ports.enforcer_of(database).install(wanted, scratch, _control(ports, database))
    roles = ", ".join(done.installation.exempt) or "none"
    what = f"installed; exempt: {roles}; passes are issued by {done.installation.issuer}"
    _tell(ports, database, what, by=by, purpose=purpose)
    return done


def installing(ports: Ports, database: Database, *, exempt: tuple[str, ...], issuer: str) -> str:
    """The statements, for a superuser."""
    wanted = Installation(database=database.name, exempt=exempt, issuer=issuer)
    with ports.scratch.folder(new_id()) as scratch:
        return ports.enforcer_of(database).installing(wanted, scratch, _control(ports, database))


def removing(ports: Ports, database: Database) -> str:
    return ports.enforcer_of(database).removing()


def remove(ports: Ports, database: Database, *, by: str, purpose: str) -> None:
    with ports.scratch.folder(new_id()) as scratch:
        ports.enforcer_of(database).remove(scratch, _control(ports, database))
    _tell(ports, database, "removed", by=by, purpose=purpose)


def issue(ports: Ports, database: Database, asked: Asked) -> Pass:
    return _issued(ports, database, ports.enforcer_of(database), asked, _control(ports, database))


@contextlib.contextmanager
def passing(
    ports: Ports, database: Database, asked: Asked, control: Control | None = None
) -> Iterator[Pass | None]:
    """A pass that ends with the context; None where nothing is enforced."""
    control = control or _control(ports, database)
    enforcer = _installed(ports, database, control)
    if not enforcer:
        yield None
        return
    issued = _issued(ports, database, enforcer, asked, control)
    try:
        yield issued
    finally:
        _revoke(ports, database, enforcer, issued)


def _installed(ports: Ports, database: Database, control: Control) -> Enforcer | None:
    try:
        enforcer = ports.enforcer_of(database)
    except RefusedError:  # its engine knows no such thing
        return None
    with ports.scratch.folder(new_id()) as scratch:
        return enforcer if enforcer.state(scratch, control) else None


def _issued(ports: Ports, database: Database, enforcer: Enforcer, asked: Asked, control: Control) -> Pass:
    """None stands that no entry tells of."""
    with ports.scratch.folder(new_id()) as scratch:
        issued = enforcer.issue(new_id(), asked, scratch, control)
        try:
            _tell(ports, database, f"pass {_named(issued)}", by=asked.by, purpose=asked.purpose)
        except AmanatError:
            enforcer.revoke(issued, scratch)
            raise
    return issued


def _revoke(ports: Ports, database: Database, enforcer: Enforcer, issued: Pass) -> None:
    """What the pass was for is over, and is not to fail of this: it ends by itself."""
    try:
        with ports.scratch.folder(new_id()) as scratch:
            enforcer.revoke(issued, scratch)
    except AmanatError as exc:
        what = f"pass {_named(issued)} could not be revoked: {exc.message}"
        _tell(ports, database, what, by=issued.by, purpose=issued.purpose, outcome=Outcome.FAILED)


def _named(issued: Pass) -> str:
    return f"{issued.id} for role {issued.role} until {utc_text(issued.until)}"


def _control(ports: Ports, database: Database) -> Control:
    return ports.controls(timeout=_TIMEOUT, label={"database": database.name})


def _tell(
    ports: Ports,
    database: Database,
    what: str,
    *,
    by: str,
    purpose: str,
    outcome: Outcome = Outcome.SUCCEEDED,
) -> None:
    ports.register.append(
        Entry(
            at=ports.now(),
            by=by,
            kind=EntryKind.ENFORCEMENT,
            database=database.name,
            environment=database.environment,
            purpose=purpose,
            outcome=outcome,
            detail=what,
        )
    )
