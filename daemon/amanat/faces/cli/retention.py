"""``prune explain hold release``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amanat.domain.entry import BEGUN
from amanat.domain.errors import RefusedError
from amanat.domain.units import format_size
from amanat.faces.cli import output, session
from amanat.faces.cli.snapshots import Reference

if TYPE_CHECKING:
    from amanat.app import App
    from amanat.domain.retention import Verdict
    from amanat.services.prune import Pruning

Reason = Annotated[str, typer.Option(help="Why, for the register.")]
_PANEL = "Retention"
_KEPT = "kept:"  # what was live before a rollback, by its database


def add_to(cli: typer.Typer) -> None:
    for command in (prune, explain, hold, release):
        cli.command(rich_help_panel=_PANEL)(command)


def prune(
    database: Annotated[str | None, typer.Argument(help="Only this database.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go and why; delete nothing.")] = False,
    confirm: Annotated[
        str, typer.Option(metavar="PLAN", help="Carry out this plan although it removes more than half.")
    ] = "",
    by: output.By = "",
    wait: output.Wait = "10s",
    as_json: output.AsJson = False,
) -> None:
    """Delete the snapshots that no keep rule keeps.

    Exit status: 0 done (or nothing to do); 4 a guard refused; 5 no such database.
    """
    from amanat.services import prune as service

    waiting = output.seconds(wait)
    app = session.open_app()
    session.stop_on_signals(app.stop)
    if database and not app.ports.register.newest_snapshot(database=database):
        app.database(database)
    if dry_run:
        done = service.plans(app.ports, app.configuration, database=database)
    else:
        done = app.prune(database=database, by=output.who(by), confirmed=confirm, wait=waiting)
    _print(done, as_json=as_json, dry_run=dry_run)
    refused = [refusal for item in done for refusal in item.refusals]
    if refused and not dry_run:
        raise RefusedError(
            "; ".join(refusal.message for refusal in refused),
            hint="; ".join(sorted({item.hint for item in refused})),
        )


def explain(reference: Reference, *, as_json: output.AsJson = False) -> None:
    """Say why retention keeps a snapshot or lets it go.

    Exit status: 0; 5 no such snapshot.
    """
    from amanat.services import find
    from amanat.services import prune as service

    app = session.open_app()
    found = find.snapshot(app.ports, reference)
    for item in service.plans(app.ports, app.configuration, database=found.database):
        for verdict in item.plan.verdicts:
            if verdict.snapshot.id == found.id:
                _print_verdict(verdict, as_json=as_json)
                return
    deletions = [
        entry.detail
        for entry in app.ports.register.entries(snapshot=found.id)
        if entry.kind in {"deletion", "loss"} and entry.outcome != BEGUN
    ]
    reasons = tuple(deletions) or (f"it is {found.state}",)
    if as_json:
        output.print_json({"id": found.id, "keep": False, "state": found.state, "reasons": list(reasons)})
        return
    typer.echo(f"{found.id} is {found.state}: {'; '.join(reasons)}")


def hold(reference: Reference, *, reason: Reason, by: output.By = "", as_json: output.AsJson = False) -> None:
    """Forbid the deletion of a snapshot until it is released; or, as kept:DATABASE, of what a rollback keeps.

    Exit status: 0; 2 no reason given; 5 no such snapshot.
    """
    _change(reference, reason, by, held=True, as_json=as_json)


def release(reference: Reference, *, reason: Reason, by: output.By = "", as_json: output.AsJson = False) -> None:
    """Release all holds on a snapshot; or, as kept:DATABASE, that on what a rollback keeps.

    Exit status: 0; 2 no reason given; 5 no such snapshot, or it is not held.
    """
    _change(reference, reason, by, held=False, as_json=as_json)


def _change(reference: str, reason: str, by: str, *, held: bool, as_json: bool) -> None:
    from amanat.services import find, report

    app = session.open_app()
    if reference.startswith(_KEPT):
        _change_kept(app, reference.removeprefix(_KEPT), reason, by, held=held, as_json=as_json)
        return
    found = find.snapshot(app.ports, reference)
    (app.hold if held else app.release)(found, reason=reason, by=output.who(by))
    if as_json:
        output.print_json(report.snapshot_row(find.snapshot(app.ports, found.id)))
        return
    typer.echo(f"{found.id} is {'held' if held else 'released'}: {output.one_line(reason)}")


def _change_kept(app: "App", database: str, reason: str, by: str, *, held: bool, as_json: bool) -> None:
    from amanat.services import report
    from amanat.services.beside import asides

    change = asides.hold if held else asides.release
    with app.documented():
        aside = change(app.ports, app.database(database).name, reason=reason, by=output.who(by))
    if as_json:
        output.print_json(report.aside_row(aside))
        return
    typer.echo(f"{aside.name} is {'held' if held else 'released'}: {output.one_line(reason)}")


def _print(done: "list[Pruning]", *, as_json: bool, dry_run: bool) -> None:
    if as_json:
        output.print_json([_json(item) for item in done])
        return
    rows = (
        (item.database, item.policy, *_verdict_cells(verdict)) for item in done for verdict in item.plan.verdicts
    )
    output.table(("DATABASE", "POLICY", "VERDICT", "ID", "TAKEN", "SIZE", "WHY"), rows, right=("SIZE",))
    for item in done:
        if item.plan.remove:
            typer.echo(f"{item.database}/{item.policy}: {_sum(item, dry_run=dry_run)}; plan {item.plan.id}")
        for reason in item.spared:
            typer.echo(f"  {reason}")
        for refusal in item.refusals if dry_run else ():
            typer.echo(f"  would be refused: {refusal.message} → {refusal.hint}")


def _sum(item: "Pruning", *, dry_run: bool) -> str:
    what = "refused" if item.refusals else "would delete" if dry_run else "deleted"
    gone = item.deleted if what == "deleted" else item.plan.remove
    size = format_size(sum(snapshot.size_bytes for snapshot in gone))
    return f"{what} {len(gone)} ({size}), keep {len(item.plan.verdicts) - len(gone)}"


def _verdict_cells(verdict: "Verdict") -> tuple[str, ...]:
    snapshot = verdict.snapshot
    return (
        "keep" if verdict.keep else "delete",
        snapshot.id,
        output.local(snapshot.taken_at),
        format_size(snapshot.size_bytes),
        "; ".join(verdict.reasons),
    )


def _print_verdict(verdict: "Verdict", *, as_json: bool) -> None:
    if as_json:
        output.print_json(_verdict_json(verdict))
        return
    word = "is kept" if verdict.keep else "would be deleted"
    typer.echo(f"{verdict.snapshot.id} {word}: {'; '.join(verdict.reasons)}")


def _json(item: "Pruning") -> dict[str, Any]:
    return {
        "database": item.database,
        "policy": item.policy,
        "plan": item.plan.id,
        "verdicts": [_verdict_json(verdict) for verdict in item.plan.verdicts],
        "refusals": [
            {"reason": refusal.reason, "message": refusal.message, "hint": refusal.hint}
            for refusal in item.refusals
        ],
        "deleted": [snapshot.id for snapshot in item.deleted],
        "spared": list(item.spared),
    }


def _verdict_json(verdict: "Verdict") -> dict[str, Any]:
    return {"id": verdict.snapshot.id, "keep": verdict.keep, "reasons": list(verdict.reasons)}
