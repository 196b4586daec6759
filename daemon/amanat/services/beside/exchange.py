"""Exchange a database for one that stands beside it: hooks, swap, and what is written down of it either way."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from amanat.domain.account import Account
from amanat.domain.aside import Aside, Swap
from amanat.domain.errors import AmanatError, InterruptedRunError, RefusedError, SwappedError
from amanat.domain.hooks import Moment
from amanat.domain.model import Outcome
from amanat.ports import Ports
from amanat.ports.enforcing import Asked
from amanat.ports.restoring import Swapped
from amanat.services import enforce, hooks
from amanat.services.beside import swaps
from amanat.services.beside.site import Site
from amanat.services.runs import ActiveRun, warn

_FINISHING = timedelta(minutes=2)
_RECONCILE = "`amanat reconcile` tells, when database and register can be asked"


@dataclass(frozen=True, kw_only=True)
class Course:
    """One exchange under way: which, where, and by which run."""

    ports: Ports
    site: Site
    swap: Swap
    active: ActiveRun

    def to_its_end(self) -> "Course":
        """Told to stop or not."""
        control = self.ports.controls(timeout=_FINISHING, label={"database": self.swap.database}, stoppable=False)
        return replace(self, site=replace(self.site, control=control))

    def run_hooks(self, moment: Moment, *, reason: str = "") -> tuple[str, ...]:
        """A line for each command."""
        told = {
            "AMANAT_STAGE": str(self.swap.stage),
            "AMANAT_RUN": self.swap.run,
            "AMANAT_SNAPSHOT": self.swap.snapshot or "",
            "AMANAT_PURPOSE": self.swap.purpose,
            "AMANAT_REASON": reason,
        }
        control = self.site.control if moment is Moment.BEFORE_RESTORE else None  # what was put down must come up
        return hooks.run(self.ports, self.site.database, moment, told, control)


@dataclass(frozen=True, kw_only=True)
class Done:
    """``kept``: what was live before, and can be swapped back."""

    account: Account
    kept: Aside


@contextlib.contextmanager
def failing(course: Course, account: Account) -> Iterator[None]:
    """What goes wrong inside, before the swap is done, is written down, and told to the hooks."""
    try:
        yield
    except AmanatError as exc:
        try:
            _fail(course, account, exc)
        finally:
            course.run_hooks(Moment.ON_FAILURE, reason=exc.message)
        raise


def _fail(course: Course, account: Account, exc: AmanatError) -> None:
    """A swap that is still open then is one of which nobody knows."""
    database, is_known = course.swap.database, not swaps.is_open(course.ports, course.swap.run)
    result = f"{database} is as it was" if is_known else f"not known yet: {_RECONCILE}"
    failed = replace(account, failure=exc.message, result=result, lost=(), undo="")
    course.ports.register.append(swaps.entry(course.ports, course.swap, failed, _outcome(exc)))


def _outcome(exc: AmanatError) -> Outcome:
    if isinstance(exc, InterruptedRunError):
        return Outcome.INTERRUPTED
    return Outcome.REFUSED if isinstance(exc, RefusedError) else Outcome.FAILED


def perform(course: Course, account: Account) -> Done:
    """Swap, run what comes after it, and write it down. What fails then is told, and undoes nothing."""
    enforced = enforce.is_at_work(course.ports, course.site.database)
    with failing(course, account):
        swapped = _swapped(course)
    course = course.to_its_end()
    warnings = (*swapped.warnings, *_no_longer_enforced(course, before=enforced))
    for warning in warnings:
        warn(course.ports, course.active, warning)
    account = account.with_steps(*swapped.statements)
    account = replace(account, warnings=(*account.warnings, *warnings), outage_seconds=swapped.seconds)
    try:
        account = account.with_steps(*_afterwards(course))
    except AmanatError as exc:
        try:
            _finished(course, replace(account, failure=exc.message))
        finally:
            course.run_hooks(Moment.ON_FAILURE, reason=exc.message)
        raise _after_all(course, exc, f"see to what the hook was for; `{account.undo}` swaps back") from exc
    return _finished(course, account)


def _swapped(course: Course) -> Swapped:
    """After an error nothing was swapped, or that is not known, and the swap stays open for ``swaps.settle``."""
    site, swap, began = course.site, course.swap, course.ports.now()
    course.ports.register.asides.begin_swap(swap)
    try:
        return site.restorer.swap(swap.incoming, swap.outgoing, site.place, site.control)
    except AmanatError as exc:
        if not _is_done_all_the_same(course.to_its_end(), exc):
            raise
        seconds = max(0.0, (course.ports.now() - began).total_seconds())  # at most
        return Swapped(seconds=seconds, statements=(), warnings=(f"it was swapped, but: {exc.message}",))


def _is_done_all_the_same(course: Course, failure: AmanatError) -> bool:
    """A server may have done what it could not answer any more."""
    try:
        if swaps.is_done(course.site, course.swap):
            return True
    except AmanatError as exc:
        raise type(failure)(
            f"whether {course.swap.database} was swapped is not known: {failure.message}; then: {exc.message}",
            hint=_RECONCILE,
        ) from failure
    with contextlib.suppress(AmanatError):  # then it stays open
        swaps.abandon(course.ports, course.site, course.swap, None)
    return False


def _afterwards(course: Course) -> tuple[str, ...]:
    """A line for each command. Where changes of the schema are refused, they have a pass."""
    if Moment.AFTER_SWAP not in course.site.database.hooks:
        return ()
    with _passing(course):
        return course.run_hooks(Moment.AFTER_SWAP)


@contextlib.contextmanager
def _passing(course: Course) -> Iterator[None]:
    """Hooks that change no schema need none: one that cannot be issued keeps nobody's application down."""
    asked = Asked(by=course.swap.by, purpose=f"hooks after {course.swap.stage}: {course.swap.purpose}")
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(
                enforce.passing(course.ports, course.site.database, asked, control=course.site.control)
            )
        except AmanatError as exc:
            warn(course.ports, course.active, f"hooks after the swap have no pass: {exc.message}")
        yield


def _no_longer_enforced(course: Course, *, before: bool | None) -> Iterator[str]:
    """A snapshot of before knows nothing of it, and a role that is no superuser restores no event triggers."""
    name = course.swap.database
    if before and enforce.is_at_work(course.ports, course.site.database) is False:
        yield (
            f"nothing is enforced in {name} any more, for what was swapped in lacks the event triggers: have a "
            f"superuser run `amanat enforce install {name}`, or what it prints with --print-sql"
        )


def _finished(course: Course, account: Account) -> Done:
    """What was swapped is live, whether it can be entered or not."""
    seconds = (course.ports.now() - course.active.run.started_at).total_seconds()
    account = replace(account, seconds=seconds)
    try:
        return Done(account=account, kept=swaps.finish(course.ports, course.site, course.swap, account))
    except AmanatError as exc:
        hint = f"move nothing away: make room, or see to what it says; {_RECONCILE}, and enters what is missing"
        raise _after_all(course, exc, hint) from exc


def _after_all(course: Course, exc: AmanatError, hint: str) -> AmanatError:
    return SwappedError(f"{course.swap.database} was swapped, and then: {exc.message}", hint=hint)
