"""Exchange a database for one that stands beside it: hooks, swap, and what is written down of it either way."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from amanat.domain.account import Account
from amanat.domain.aside import Aside, Swap
from amanat.domain.errors import AmanatError, RefusedError
from amanat.domain.hooks import Moment
from amanat.domain.model import Outcome
from amanat.ports import Ports
from amanat.ports.restoring import Swapped
from amanat.services import enforce, hooks, swaps
from amanat.services.runs import ActiveRun, warn
from amanat.services.site import Site


@dataclass(frozen=True, kw_only=True)
class Course:
    """One exchange under way: which, where, and by which run."""

    ports: Ports
    site: Site
    swap: Swap
    active: ActiveRun

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
        if not _is_done(course):  # else its settling has told of it
            result = f"{course.swap.database} is as it was"
            failed = replace(account, failure=exc.message, result=result, lost=(), undo="")
            outcome = Outcome.REFUSED if isinstance(exc, RefusedError) else Outcome.FAILED
            course.ports.register.append(swaps.entry(course.ports, course.swap, failed, outcome))
        course.run_hooks(Moment.ON_FAILURE, reason=exc.message)
        raise


def perform(course: Course, account: Account) -> Done:
    """Swap, run what comes after it, and write it down. A hook that fails then is told, and undoes nothing."""
    enforced = enforce.is_at_work(course.ports, course.site.database)
    with failing(course, account):
        swapped = _swapped(course)
    warnings = (*swapped.warnings, *_no_longer_enforced(course, before=enforced))
    for warning in warnings:
        warn(course.ports, course.active, warning)
    account = account.with_steps(*swapped.statements)
    account = replace(account, warnings=(*account.warnings, *warnings), outage_seconds=swapped.seconds)
    try:
        account = account.with_steps(*course.run_hooks(Moment.AFTER_SWAP))
    except AmanatError as exc:
        _finished(course, replace(account, failure=exc.message))
        course.run_hooks(Moment.ON_FAILURE, reason=exc.message)
        raise type(exc)(
            f"{course.swap.database} was swapped, and then: {exc.message}",
            hint=f"see to what the hook was for; `{account.undo}` swaps back",
        ) from exc
    return _finished(course, account)


def _swapped(course: Course) -> Swapped:
    """After an error nothing is changed, as far as that can be told now; the rest is for ``swaps.settle``."""
    site, swap = course.site, course.swap
    course.ports.register.asides.begin_swap(swap)
    try:
        return site.restorer.swap(swap.incoming, swap.outgoing, site.place, site.control)
    except BaseException:
        with contextlib.suppress(AmanatError):
            swaps.conclude(course.ports, site, swap, is_ours=True)
        raise


def _no_longer_enforced(course: Course, *, before: bool | None) -> Iterator[str]:
    """A snapshot of before knows nothing of it, and a role that is no superuser restores no event triggers."""
    name = course.swap.database
    if before and enforce.is_at_work(course.ports, course.site.database) is False:
        yield (
            f"nothing is enforced in {name} any more, for what was swapped in lacks the event triggers: have a "
            f"superuser run `amanat enforce install {name}`, or what it prints with --print-sql"
        )


def _finished(course: Course, account: Account) -> Done:
    seconds = (course.ports.now() - course.active.run.started_at).total_seconds()
    account = replace(account, seconds=seconds)
    return Done(account=account, kept=swaps.finish(course.ports, course.site, course.swap, account))


def _is_done(course: Course) -> bool:
    asides = course.ports.register.asides.all(course.swap.database)
    return course.swap.outgoing in {aside.name for aside in asides}
