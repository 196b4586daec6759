"""``status next runs reconcile``."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amanat.domain.errors import ConfigurationError, NotFoundError
from amanat.domain.model import utc_text
from amanat.domain.units import format_duration, format_size
from amanat.faces.cli import output, session

if TYPE_CHECKING:
    from amanat.app import App
    from amanat.domain.model import Run
    from amanat.domain.policy import Job
    from amanat.domain.reconcile import Repairs

_PANEL = "Overview"
_ASIDES = {"before": "before the last swap", "warm": "warm"}
_NEXT = {"drill": "drill", "reread": "re-reading"}


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel=_PANEL)(status)
    cli.command("next", rich_help_panel=_PANEL)(next_)
    cli.command(rich_help_panel=_PANEL)(runs)
    cli.command(rich_help_panel=_PANEL)(reconcile)


def status(*, as_json: output.AsJson = False) -> None:
    """Show every policy and database: last run, newest proven snapshot, next run, drills, time to recover.

    Exit status: 0.
    """
    from amanat.services import status as service

    app = session.open_app()
    found = service.status(app.ports, app.configuration)
    if as_json:
        output.print_json(found)
        return
    output.table(
        ("DATABASE", "POLICY", "LAST RUN", "OUTCOME", "NEWEST PROVEN", "PROVEN", "NEXT", "MISSED"),
        [_status_cells(row) for row in found["policies"]],
        right=("PROVEN", "MISSED"),
    )
    for row in found["policies"]:
        last = row["last_run"]
        if last and last["outcome"] != "succeeded":
            typer.echo(f"{row['database']}/{row['policy']}: {output.one_line(last['reason'])}")
            typer.echo(f"  → {output.one_line(last['hint'])}")
        for line in _proof_lines(row):
            typer.echo(f"{row['database']}/{row['policy']}: {line}")
    for name, recovery in found["recovery"].items():
        typer.echo(f"recovery of {name}: {_recovery_text(recovery)}")
    for aside in found["asides"]:
        typer.echo(f"{_ASIDES[aside['kind']]} of {aside['database']}: {_aside_text(aside)}")
    for run in found["running"]:
        typer.echo(f"running: {run['stage']} of {run['database']} since {run['started_at']}")
    for name in found["uncovered"]:
        typer.echo(f"no policy covers {name}: nothing is taken of it but by hand")
    if head := found["register_head"]:
        typer.echo(f"register: {head['sequence']} entries, head {head['sequence']}:{head['hash']}")
    store = found["store"]
    typer.echo(f"store {store['path']}: {format_size(store['free_bytes'])} free")


def next_(
    policy: Annotated[str | None, typer.Argument(help="Only this policy.")] = None,
    *,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many instants of each.")] = 5,
    after: Annotated[str, typer.Option(help="Begin after this time (ISO 8601).", show_default="now")] = "",
    as_json: output.AsJson = False,
) -> None:
    """Show when policies are due, in their own zone and in UTC.

    Exit status: 0; 5 no such policy.
    """
    from amanat.app import load_configuration
    from amanat.host import clock

    configuration = load_configuration(session.settings())
    if policy and policy not in configuration.policies:
        raise NotFoundError(f"no policy {policy!r}", hint=f"known: {', '.join(configuration.policies) or 'none'}")
    jobs = [job for job in configuration.jobs() if policy in (None, job.policy.name)]
    rows = _upcoming(jobs, _time(after) if after else clock.now(), count)
    if as_json:
        output.print_json(rows)
        return
    output.table(
        ("POLICY", "DATABASE", "STAGE", "DUE (ITS ZONE)", "DUE (UTC)", "STARTS (WITH JITTER)"),
        [tuple(row.values()) for row in rows],
    )
    for found in configuration.policies.values():
        if policy in (None, found.name) and not found.schedule:
            typer.echo(f"{found.name}: on demand", err=True)


def _upcoming(jobs: "list[Job]", begin: datetime, count: int) -> list[dict[str, str]]:
    from amanat.services.status import upcoming

    rows = [
        {
            "policy": job.policy.name,
            "database": job.database.name,
            "stage": job.stage,
            "due_local": slot.isoformat(),
            "due": utc_text(slot),
            "starts": utc_text(start.replace(microsecond=0)),
        }
        for job in jobs
        for slot, start in upcoming(job, begin, count)
    ]
    return sorted(rows, key=lambda row: (row["due"], row["policy"], row["database"], row["stage"]))


def runs(
    database: Annotated[str | None, typer.Argument(help="Only of this database.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    as_json: output.AsJson = False,
) -> None:
    """Show what was attempted, newest first: also what failed, stood back or is at work now, and why.

    Exit status: 0; 5 when the database is neither configured nor in the register.
    """
    from amanat.services import report

    app = session.open_app()
    found = app.ports.register.recent_runs(limit, database=database)
    if database and not found:
        app.database(database)
    if as_json:
        output.print_json_list(report.run_row(run) for run in found)
        return
    output.table(
        (
            "STARTED",
            "TOOK",
            "STAGE",
            "DATABASE",
            "POLICY",
            "OUTCOME",
            "ATTEMPT",
            "CODE",
            "DETAIL",
            "SNAPSHOT",
        ),
        (_run_cells(app, run) for run in found),
        right=("TOOK", "ATTEMPT"),
    )


def reconcile(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    by: output.By = "",
    as_json: output.AsJson = False,
) -> None:
    """Bring register and store into agreement after a crash, and drop what is kept beside databases and is due.

    Exit status: 0; 3 the store or the register cannot be used.
    """
    from amanat.services import reconcile as service

    app = session.open_app(create=True)
    app.ports.store.require()
    repairs = service.look(app.ports) if dry_run else app.reconcile(by=output.who(by), servers=True)
    found = repairs_row(repairs)
    if as_json:
        output.print_json(found)
        return
    for what, things in found.items():
        for thing in things:
            typer.echo(f"{what}: {thing}")
    typer.echo(
        f"{repairs.count} {'to repair' if dry_run else 'repaired'}, {len(repairs.foreign)} foreign files untouched"
    )


def repairs_row(repairs: "Repairs") -> dict[str, list[str]]:
    from amanat.services.reconcile import UNFOUNDED

    return {
        "interrupted": [run.id for run in repairs.interrupted],
        "swept": list(repairs.swept),
        "half-written": list(repairs.half_written),
        "adopted": [manifest.snapshot.path for manifest in repairs.adopted],
        "missing": [row.path for row in repairs.missing],
        "found again": [row.path for row in repairs.found_again],
        "pruned": [row.path for row in repairs.pruned],
        "dropped": list(repairs.dropped),
        "swaps": list(repairs.swaps),
        "expired": list(repairs.expired),
        "doubtful": [f"{row.path} {UNFOUNDED}" for row in repairs.unfounded],
        "foreign": list(repairs.foreign),
        "unreadable": [f"{path}: {reason}" for path, reason in repairs.broken.items()],
    }


def _status_cells(row: dict[str, Any]) -> tuple[str, ...]:
    last, newest = row["last_run"], row["newest_proven"]
    return (
        row["database"],
        row["policy"],
        output.local_text(last and last["finished_at"]),
        last["outcome"] if last else "",
        output.local_text(newest and newest["taken_at"]),
        str(row["proven"]),
        output.local_text(row["next_run"]) if row["next_run"] else "on demand",
        str(row["missed"]),
    )


def _proof_lines(row: dict[str, Any]) -> Iterator[str]:
    if drill := row["last_drill"]:
        restoring = drill["restore_seconds"]
        share = f" ({_seconds(restoring)} of it to restore)" if restoring is not None else ""
        ended = output.local_text(drill["at"])
        yield f"restored and compared in {_seconds(drill['seconds'])}{share}, {ended}"
    if failed := row["failed_drill"]:
        yield f"the newest drill {failed['outcome']}: {output.one_line(failed['reason'])}"
    if reread := row["last_reread"]:
        yield f"last re-reading {reread['outcome']}, {output.local_text(reread['finished_at'])}"
    for what in ("drill", "reread"):
        if at := row[f"next_{what}"]:
            yield f"next {_NEXT[what]} {output.local_text(at)}"
    if row["damaged"]:
        yield f"{row['damaged']} damaged: see `amanat list {row['database']}`"


def _recovery_text(recovery: dict[str, Any]) -> str:
    from amanat.domain.recovery import about

    if recovery["seconds"] is None:
        return f"not known, as {recovery['explanation']}"
    return f"{about(recovery['seconds'])}, {recovery['explanation']}"


def _aside_text(aside: dict[str, Any]) -> str:
    held, until = output.one_line(aside["held"]), output.local_text(aside["until"])
    until = f"held: {held}" if held else f"until {until}"
    return f"{aside['name']}, {format_size(aside['size_bytes'])}, {until}"


def _seconds(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))


def _run_cells(app: "App", run: "Run") -> tuple[str, ...]:
    """``died``: it has no end, and nobody is at it."""
    unfinished = "" if run.outcome else "running" if app.ports.locks.is_alive(run.id) else "died"
    return (
        output.local(run.started_at),
        format_duration(run.finished_at - run.started_at) if run.finished_at else "",
        run.stage,
        run.database,
        run.policy,
        run.outcome or unfinished,
        str(run.attempt),
        run.code,
        run.reason or run.note,
        run.snapshot or "",
    )


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigurationError(f"--after {text!r} is not a time", hint="write 2026-10-24T00:00:00Z") from exc
    return time if time.tzinfo else time.replace(tzinfo=UTC)
