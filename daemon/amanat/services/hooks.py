"""Commands of the user's own, around what is done to a database: ``php artisan down``, a restore, ``up``."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.domain.hooks import Hook, Moment
from amanat.domain.model import Outcome
from amanat.domain.policy import Database, LaravelSource
from amanat.ports import Ports
from amanat.ports.run import Control
from amanat.services.runs import outcome_of

_LONGEST_VALUE = (
    10_000  # characters; one that the kernel does not take (execve(2)) would keep a command from starting
)


def run(
    ports: Ports, database: Database, moment: Moment, environment: Mapping[str, str], control: Control | None
) -> tuple[str, ...]:
    """Of each command how it ended, and below that what it said, for the account. ``control`` None: nothing but
    their timeouts ends them.

    ToolError for one that fails, and those after it are not run. Of ``ON_FAILURE`` each is run, and none raises.
    """
    told = {**_about(database, moment), **environment}
    values = {name: value.replace("\0", "")[:_LONGEST_VALUE] for name, value in told.items()}
    lines = []
    for hook in database.hooks.get(moment, ()):
        try:
            lines.append(_execute(ports, database, hook, values, control))
        except AmanatError as exc:
            if moment is not Moment.ON_FAILURE:
                raise
            ports.emit(Event.RUN_WARNING, database=database.name, warning=f"hook {moment}: {exc.message}")
            lines.append(exc.message)
    return tuple(lines)


@dataclass
class Around:
    """``problem``: of a command after it, when all went well until then."""

    problem: AmanatError | None = None


@contextlib.contextmanager
def around_snapshot(
    ports: Ports,
    database: Database,
    environment: Mapping[str, str],
    control: Control,
    warn: Callable[[str], None],
) -> Iterator[Around]:
    """``before_snapshot``, the body, and ``after_snapshot`` whatever became of both, even if told to stop.

    What was put down has to come up again, and who reads the database need not be quick about the rest for that.
    """
    around, ended = Around(), {"AMANAT_OUTCOME": str(Outcome.SUCCEEDED)}
    try:
        run(ports, database, Moment.BEFORE_SNAPSHOT, environment, control)
        yield around
    except BaseException as exc:
        ended = _ended(exc)
        raise
    finally:
        try:
            run(ports, database, Moment.AFTER_SNAPSHOT, {**environment, **ended}, None)
        except AmanatError as exc:
            around.problem = exc
            warn(f"hook {Moment.AFTER_SNAPSHOT}: {exc.message}")


@contextlib.contextmanager
def on_failure(ports: Ports, database: Database, environment: Mapping[str, str]) -> Iterator[None]:
    """Run them if the body fails, which is not: was refused, told to stop, or stood back."""
    try:
        yield
    except Exception as exc:
        if outcome_of(exc) is Outcome.FAILED:
            control = ports.controls(timeout=None, label={})
            run(ports, database, Moment.ON_FAILURE, {**environment, **_ended(exc)}, control)
        raise


def _ended(exc: BaseException) -> dict[str, str]:
    reason = exc.message if isinstance(exc, AmanatError) else repr(exc)
    return {"AMANAT_OUTCOME": str(outcome_of(exc)), "AMANAT_REASON": reason}


def _about(database: Database, moment: Moment) -> dict[str, str]:
    return {
        "AMANAT_MOMENT": str(moment),
        "AMANAT_DATABASE": database.name,
        "AMANAT_ENVIRONMENT": database.environment,
    }


def _execute(
    ports: Ports, database: Database, hook: Hook, environment: Mapping[str, str], control: Control | None
) -> str:
    folder = _folder(database)
    ran = ports.run_command(hook.command, environment, timeout=hook.timeout, control=control, folder=folder)
    ports.emit(
        Event.HOOK_RAN,
        database=database.name,
        moment=environment["AMANAT_MOMENT"],
        command=ran.command,
        outcome=ran.how,
        seconds=round(ran.seconds, 3),
        output="\n".join(ran.output),
    )
    ran.require_success()
    return "\n  ".join((f"{ran.command}: {ran.how} in {ran.seconds:.1f}s", *ran.output))


def _folder(database: Database) -> Path | None:
    """The application's; None: where Amanat works itself."""
    if database.application is None and isinstance(database.source, LaravelSource):
        return database.source.folder
    return database.application
