"""Examines all that runs depend on: gathers facts through the ports, and hands them to ``domain.doctor``.

It takes nothing and changes nothing. Each question is asked by itself, so that one that fails hides no other.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from amanat.domain.doctor import Check, Level, Name, asked, daylight, drilling, host, keeping, timing
from amanat.domain.doctor.check import about, grouped, of_database
from amanat.domain.errors import AmanatError, InterruptedRunError
from amanat.domain.model import Outcome, ProofLevel, Run, Snapshot, SnapshotState, Stage
from amanat.domain.policy import (
    MANUAL,
    Configuration,
    Database,
    LaravelSource,
    Policy,
    PostgresqlSource,
    Secret,
)
from amanat.ports import Ports
from amanat.ports.engine import Engine, Place
from amanat.ports.run import Control
from amanat.services import audit, checks, plan
from amanat.services.beside.site import place_of
from amanat.services.request import Request
from amanat.services.runs import new_id

HOST = "host"
_DATABASE_TIMEOUT = timedelta(minutes=2)
_BY = "doctor"
_OTHER = (Outcome.FAILED, Outcome.REFUSED, Outcome.SKIPPED)
_OF = {Stage.SNAPSHOT: "", Stage.DRILL: "drills: ", Stage.VERIFY: "re-reading: "}

Newest = Callable[..., Run | None]
"""Of a stage, with one of some outcomes."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """Of this process's settings. ``http``: where metrics are served; None: nowhere."""

    state: Path
    env_file: Path
    http: tuple[str, int] | None


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What is examined. ``databases``: those asked for. ``register_error``, ``configuration_error``: why there is
    none; an empty one stands in for it.
    """

    configuration: Configuration
    databases: tuple[Database, ...]
    places: Places
    register_error: AmanatError | None = None
    configuration_error: AmanatError | None = None


def examine(ports: Ports, patient: Patient) -> list[Check]:
    """By subject: host, then each database with its policies, then each policy."""
    control = ports.controls(timeout=None, label={})
    found = [*about(HOST, _of_host(ports, patient, control))]
    for database in patient.databases:
        control.check()
        found += _of_database(ports, patient, database)
    for policy in _policies(patient):
        found += about(f"policy {policy.name}", _of_policy(ports, policy))
    return grouped(found)


def worst(found: Iterable[Check]) -> Level:
    levels = {check.level for check in found}
    return next((level for level in (Level.FAIL, Level.WARN) if level in levels), Level.OK)


def _of_host(ports: Ports, patient: Patient, control: Control) -> Iterator[Check]:
    places, unit = patient.places, ports.host().unit(control)
    yield from _register(ports, patient)
    yield from _stored(ports, places)
    yield _configuration(patient)
    yield timing.clock(ports.now(), ports.register.last_seen())
    listening = ports.host().listening(places.http) if places.http else None
    address = "{}:{}".format(*places.http) if places.http else ""
    yield host.metrics_port(address, listening, ports.store.root.absolute())
    yield host.watchdog(unit)
    yield host.environments(_standing(ports, [places.env_file, *(unit.environment_files if unit else ())]))


def _register(ports: Ports, patient: Patient) -> Iterator[Check]:
    """One that cannot be opened tells no more: what stands in for it is empty."""
    if error := patient.register_error:
        yield Check.fail(Name.REGISTER, error.message, error.hint)
        yield Check.fail(Name.CHAIN, "not asked: there is no register to read", error.hint)
    for need in checks.of_host(ports):
        if not (patient.register_error and need.name is Name.REGISTER):
            yield asked(need.name, need.ask)
    if not patient.register_error:
        yield from _guarded(Name.CHAIN, lambda: _chain(ports))


def _chain(ports: Ports) -> Check:
    found = audit.audit(ports)
    if found.findings:
        more = f", and {len(found.findings) - 1} more" if len(found.findings) > 1 else ""
        text = f"the register is not what it was: {found.findings[0].reason}{more}"
        return Check.fail(Name.CHAIN, text, "`amanat register verify` tells all; documentation/register.md")
    text = f"it holds, and so do {found.snapshots} snapshots and {found.manifests} manifests"
    return Check(name=Name.CHAIN, found=f"{text}; {found.remade}" if found.remade else text)


def _stored(ports: Ports, places: Places) -> Iterator[Check]:
    def folders() -> dict[Path, host.Standing]:
        return _standing(ports, ports.store.folders())

    yield from _guarded(Name.PERMISSIONS, lambda: host.permissions({**folders(), **_private(ports, places)}))
    yield from _guarded(Name.STAGING, lambda: host.staging(ports.store.root, folders()))


def _private(ports: Ports, places: Places) -> dict[Path, host.Standing]:
    """The state folder, and every file of a snapshot."""
    rows = ports.register.each_snapshot(gone=False)
    files = (ports.store.path(name) for row in rows for name in (row.path, *row.companions))
    return _standing(ports, [places.state, *files])


def _standing(ports: Ports, paths: Iterable[Path]) -> dict[Path, host.Standing]:
    found = {path: ports.host().standing(path) for path in paths}
    return {path: standing for path, standing in found.items() if standing}


def _configuration(patient: Patient) -> Check:
    if error := patient.configuration_error:
        return Check.fail(Name.CONFIGURATION, " ".join(error.message.split()), error.hint)
    idle = [*patient.configuration.warnings]
    idle += [f"no policy covers {name}" for name in patient.configuration.uncovered()]
    if idle:
        return Check.warn(Name.CONFIGURATION, "; ".join(idle), "see `amanat config check`")
    return Check(name=Name.CONFIGURATION, found=f"{len(patient.configuration.databases)} databases, all covered")


def _of_database(ports: Ports, patient: Patient, database: Database) -> list[Check]:
    policies = [policy for policy, one in patient.configuration.pairs() if one == database]
    examined = _examined(ports, database, policies or [MANUAL])
    found = [
        *about(database.name, [_secrets(ports, database, policies)]),
        *of_database(database.name, examined),
        *about(database.name, _archives(ports, database)),
        *about(database.name, _rollback(ports, database, examined)),
        *about(database.name, timing.overlaps(policies, ports.now())),
    ]
    for policy in policies:
        if not patient.register_error:
            found += about(f"{database.name}/{policy.name}", _history(ports, policy, database))
    return found


def _secrets(ports: Ports, database: Database, policies: list[Policy]) -> Check:
    """An application's ``.env`` is told only where nothing worse is."""
    sources = [database.source, *(policy.drill_server for policy in policies)]
    files = [file for source in sources if (file := _password_file(source))]
    found = host.passwords(_standing(ports, files))
    if found.ok and isinstance(database.source, LaravelSource):
        return host.environments(_standing(ports, [database.source.folder / ".env", *files]))
    return found


def _password_file(source: object) -> Path | None:
    password = source.password if isinstance(source, PostgresqlSource) else None
    return Path(password.name) if isinstance(password, Secret) and password.kind == "file" else None


def _examined(ports: Ports, database: Database, policies: list[Policy]) -> dict[str, list[Check]]:
    """By policy. A database that has no engine, as its password cannot be read, can be asked nothing."""
    try:
        engine = ports.engine_of(database)
    except AmanatError as exc:
        return {policy.name: [Check.fail(Name.SOURCE, exc.message, exc.hint)] for policy in policies}
    return {policy.name: _of_pair(ports, engine, policy, database) for policy in policies}


def _of_pair(ports: Ports, engine: Engine, policy: Policy, database: Database) -> list[Check]:
    """As the policy would take it. The scratch folder is locked like that of a run, so that nobody sweeps it."""
    request = Request(database=database, policy=policy, by=_BY, name=policy.name)
    control = ports.controls(timeout=_DATABASE_TIMEOUT, label=request.label)
    mark = new_id()
    with ExitStack() as stack:
        stack.enter_context(ports.locks.run(mark))
        scratch = stack.enter_context(ports.scratch.folder(mark))
        order = plan.order(ports, request, engine, (ports.store.root, scratch), control)
        planned = checks.Planned(request=request, engine=engine, order=order, control=control)
        source, *others = (asked(need.name, need.ask) for need in checks.of_plan(ports, planned))
        if not source.ok:
            return [source]
        try:
            place = place_of(ports, mark, (ports.store.root, scratch))
            return [
                source,
                *engine.examine(order, control),
                _drill_database(ports, planned, place),
                *others,
            ]
        except InterruptedRunError:
            raise
        except AmanatError as exc:
            return [Check.fail(Name.SOURCE, exc.message, exc.hint)]


def _drill_database(ports: Ports, planned: checks.Planned, place: Place) -> Check:
    if not planned.order.proof.reaches(ProofLevel.RESTORED):
        return Check(name=Name.DRILL_DATABASE, found="none is needed: no restore is asked for as proof")
    database, policy = planned.request.database, planned.request.policy
    return asked(Name.DRILL_DATABASE, lambda: ports.rehearser_of(database, policy).examine(place, planned.control))


def _archives(ports: Ports, database: Database) -> list[Check]:
    newest = next(iter(_present(ports, database)), None)
    if newest is None:
        return [Check(name=Name.ARCHIVES, found="there is no snapshot yet")]
    control = ports.controls(timeout=_DATABASE_TIMEOUT, label={"database": database.name})
    prover = ports.prover_of(newest.engine)
    return [asked(Name.ARCHIVES, lambda: prover.examine(ports.store.path(newest.path), control))]


def _rollback(ports: Ports, database: Database, examined: dict[str, list[Check]]) -> Iterator[Check]:
    """Snapshots can be taken without, so that it cannot be done is a warning."""
    if any(check.name is Name.SOURCE and not check.ok for checks in examined.values() for check in checks):
        return
    found = asked(Name.ROLLBACK, lambda: _swappable(ports, database))
    yield found if found.ok else Check.warn(found.name, found.found, found.remedy)


def _swappable(ports: Ports, database: Database) -> str:
    control = ports.controls(timeout=_DATABASE_TIMEOUT, label={"database": database.name})
    mark = new_id()
    with ports.locks.run(mark), ports.scratch.folder(mark) as scratch:
        place = place_of(ports, mark, (ports.store.root, scratch))
        ports.restorer_of(database).require_swap(None, place, control)
    return "it may be rolled back here"


def _present(ports: Ports, database: Database) -> Iterator[Snapshot]:
    rows = ports.register.each_snapshot(database=database.name, gone=False)
    return (row for row in rows if row.state is SnapshotState.PRESENT)


def _history(ports: Ports, policy: Policy, database: Database) -> Iterator[Check]:
    def newest(stage: Stage, *outcomes: Outcome) -> Run | None:
        return ports.register.newest_run(stage, policy.name, database.name, outcomes=outcomes)

    now = ports.now()
    last = ports.register.newest_snapshot(database=database.name, policy=policy.name)
    if policy.schedule:
        proven = ports.register.newest_snapshot(database=database.name, policy=policy.name, proven=True)
        yield from _of_snapshots(policy, now, newest, (proven, last))
    if wanted := policy.drills:
        runs = newest(Stage.DRILL, Outcome.SUCCEEDED), newest(Stage.DRILL, *_OTHER)
        yield timing.last_round(Name.LAST_DRILL, wanted.schedule, now, *runs)
        yield from drilling.limits(wanted, now, last.source_bytes if last else None)
    if rereading := policy.rereading:
        runs = newest(Stage.VERIFY, Outcome.SUCCEEDED), newest(Stage.VERIFY, *_OTHER)
        yield timing.last_round(Name.LAST_REREADING, rereading.schedule, now, *runs)


def _of_snapshots(
    policy: Policy, now: datetime, newest: Newest, snapshots: tuple[Snapshot | None, Snapshot | None]
) -> Iterator[Check]:
    succeeded, failed = newest(Stage.SNAPSHOT, Outcome.SUCCEEDED), newest(Stage.SNAPSHOT, Outcome.FAILED)
    yield timing.last_success(policy, now, succeeded, failed)
    yield timing.last_proof(policy, now, *snapshots)
    pruned, refused = newest(Stage.PRUNE, Outcome.SUCCEEDED), newest(Stage.PRUNE, Outcome.REFUSED)
    yield timing.last_prune(policy, now, pruned, refused)


def _policies(patient: Patient) -> list[Policy]:
    names = {database.name for database in patient.databases}
    return [policy for policy in patient.configuration.policies.values() if names & set(policy.databases)]


def _of_policy(ports: Ports, policy: Policy) -> Iterator[Check]:
    yield from keeping.keep_rules(policy, ports.now())
    for stage, schedule in policy.schedules.items():
        for check in daylight.summer_time(schedule, ports.now()):
            yield replace(check, found=f"{_OF[stage]}{check.found}")


def _guarded(name: Name, question: Callable[[], Check]) -> Iterator[Check]:
    """What keeps a question from being answered is its answer."""
    try:
        yield question()
    except InterruptedRunError:
        raise
    except AmanatError as exc:
        yield Check.fail(name, exc.message, exc.hint)
