"""A guarded migration: mark, gate, the command on the user's terminal, and what it made of the database."""

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from amanat.domain.account import Account
from amanat.domain.entry import Entry, EntryKind
from amanat.domain.errors import AmanatError, BusyError, ToolError
from amanat.domain.gate import Verdict, Wanted
from amanat.domain.migrating import State, changes, way_back
from amanat.domain.model import Outcome, Run, Snapshot, Stage
from amanat.ports import Ports
from amanat.ports.enforcing import Asked
from amanat.ports.run import Attached
from amanat.services import enforce, find, gate
from amanat.services.request import Request
from amanat.services.restore import describe
from amanat.services.runs import ActiveRun, holder_of, new_id, outcome_of, record_skip, recorded, warn

_LOOKING = timedelta(minutes=2)


@dataclass(frozen=True, kw_only=True)
class Order:
    """``request``: what is taken where no snapshot serves; purpose, by whom, and how long to wait are the
    migration's too. ``environment`` and ``umask``: the command's, but for what it is told of the migration.
    ``pass_role``: where changes of the schema are refused, who may make them meanwhile; as in ``Asked``.
    """

    wanted: Wanted
    request: Request
    command: tuple[str, ...]
    environment: Mapping[str, str]
    umask: int
    pass_role: str = ""


@dataclass(frozen=True, kw_only=True)
class Migrated:
    """``ended`` None: the gate is closed, and nothing was run."""

    verdict: Verdict
    ended: Attached | None = None
    account: Account = field(default_factory=Account)

    @property
    def failed_by_itself(self) -> bool:
        """Nobody wanted it to end."""
        return self.ended is not None and self.ended.returncode != 0 and not self.ended.interrupted


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Who is told: of the snapshot to go back to, before the command has the terminal; and how that ended, while
    the mark is still there.
    """

    opened: Callable[[Snapshot], None] = lambda _: None
    ended: Callable[[Migrated], None] = lambda _: None


def migrate(ports: Ports, order: Order, moments: Moments) -> Migrated:
    """BusyError: another migration of it runs. ToolError: the command cannot be started. What the gate and the
    database raise before that is raised too; what comes after the command is told in the account.
    """
    run = _run(ports, order)
    with _marked(ports, order, run):
        verdict = gate.ask_or_take(ports, order.wanted, order.request)
        if not verdict.is_open or not verdict.snapshot:
            return Migrated(verdict=verdict)
        with ports.locks.reading(verdict.snapshot.id, ports.controls(timeout=None, label=order.request.label)):
            snapshot = find.require_here(ports, find.snapshot(ports, verdict.snapshot.id))
            moments.opened(snapshot)
            run = replace(run, started_at=ports.now(), snapshot=snapshot.id)
            ended, account = _Guarded(ports, order, snapshot).carried_out(run)
            migrated = Migrated(verdict=verdict, ended=ended, account=account)
            moments.ended(migrated)
    return migrated


def _run(ports: Ports, order: Order) -> Run:
    return Run(
        id=new_id(),
        stage=Stage.MIGRATION,
        database=order.request.database.name,
        policy=order.request.policy.name,
        by=order.request.by,
        purpose=order.request.purpose,
        started_at=ports.now(),
    )


@contextlib.contextmanager
def _marked(ports: Ports, order: Order, run: Run) -> Iterator[None]:
    control = ports.controls(timeout=None, label=order.request.label)
    with contextlib.ExitStack() as stack:
        mark = ports.locks.migration(run.database, control, wait=order.request.wait, holder=holder_of(run))
        try:
            stack.enter_context(mark)
        except BusyError as exc:
            record_skip(ports, run, code="busy", reason=exc.message)
            raise
        yield


class _Guarded:
    """One command, and the account of it."""

    def __init__(self, ports: Ports, order: Order, snapshot: Snapshot) -> None:
        self._ports = ports
        self._order = order
        self._snapshot = snapshot
        self._account = Account(
            origin=describe(snapshot),
            steps=(shlex.join(order.command),),
            undo=way_back(order.request.database.reference, snapshot.id),
        )

    def carried_out(self, run: Run) -> tuple[Attached, Account]:
        """The account is in the register."""
        ended, failure = None, None
        try:
            with recorded(self._ports, run) as active:
                active.snapshot = self._snapshot.id
                ended = self._commanded(active)
                if ended.returncode:
                    how = f"{self._order.command[0]} {_how(ended.returncode)}"
                    raise ToolError(how, hint=self._account.undo)
        except AmanatError as exc:
            failure = exc
        self._append(run, failure)
        if ended is None:
            assert failure  # noqa: S101 - only that keeps it from an exit code
            raise failure
        return ended, self._account

    def _commanded(self, active: ActiveRun) -> Attached:
        asked = Asked(role=self._order.pass_role, by=active.run.by, purpose=active.run.purpose)
        before = self._state()
        with enforce.passing(self._ports, self._order.request.database, asked):
            began = self._ports.now()
            ended = self._ports.run_attached(self._order.command, self._environment(), self._order.umask)
        self._settle(ended.returncode, began, before)
        for warning in self._account.warnings:
            warn(self._ports, active, warning)
        return ended

    def _environment(self) -> Mapping[str, str]:
        told = {"AMANAT_DATABASE": self._snapshot.database, "AMANAT_SNAPSHOT": self._snapshot.id}
        return {**self._order.environment, **told}

    def _state(self) -> State:
        control = self._ports.controls(timeout=_LOOKING, label=self._order.request.label)
        engine = self._ports.engine_of(self._order.request.database)
        with self._ports.scratch.folder(new_id()) as scratch:
            return State(
                description=engine.described(scratch, control), migrations=engine.live(scratch, control).migrations
            )

    def _settle(self, returncode: int, began: datetime, before: State) -> None:
        """Whatever the command left behind: a database that cannot be asked is told of."""
        self._account = replace(
            self._account,
            result=f"{self._order.command[0]} {_how(returncode)}",
            seconds=(self._ports.now() - began).total_seconds(),
        )
        try:
            self._account = replace(self._account, changes=changes(before, self._state()))
        except AmanatError as exc:
            self._account = replace(self._account, warnings=(f"what it changed is not known: {exc.message}",))

    def _append(self, run: Run, failure: AmanatError | None) -> None:
        self._account = replace(self._account, failure=failure.message if failure else "")
        self._ports.register.append(
            Entry.about(
                self._snapshot,
                EntryKind.MIGRATION,
                at=self._ports.now(),
                by=run.by,
                outcome=outcome_of(failure) if failure else Outcome.SUCCEEDED,
                purpose=run.purpose,
                run=run.id,
                detail=self._account.as_text(),
            )
        )


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exited with {returncode}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names.get(-returncode, f'signal {-returncode}')}"
