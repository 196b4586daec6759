"""``gate``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amanat.domain.errors import ConfigurationError, ExitCode
from amanat.domain.model import MANUAL_POLICY, ProofLevel
from amanat.faces.cli import enforce, output, progress, session

if TYPE_CHECKING:
    from amanat.app import App
    from amanat.domain.gate import Verdict, Wanted
    from amanat.ports.enforcing import Asked as AskedPass
    from amanat.ports.enforcing import Pass
    from amanat.services.request import Request

_PRE_RELEASE = "pre-release"


def add_to(cli: typer.Typer) -> None:
    cli.command(rich_help_panel="Migrations")(gate)


def gate(
    database: Annotated[str, typer.Argument(help="A configured database, or laravel:FOLDER.")],
    *,
    max_age: Annotated[str, typer.Option(help="How old the snapshot may be.")] = "1h",
    level: Annotated[
        ProofLevel | None, typer.Option(help="How far it must be proven.", show_default="as its policy asks")
    ] = None,
    policy: Annotated[str, typer.Option(help="Only snapshots of this policy.", show_default="any")] = "",
    wait: Annotated[str, typer.Option(help="How long to wait for runs and locks to end.")] = "0s",
    take: Annotated[
        bool, typer.Option("--take", help="Take a snapshot where none serves, and ask again.")
    ] = False,
    issue_pass: Annotated[
        str, typer.Option(metavar="ROLE", help="Where it is open: let this role change the schema for a while.")
    ] = "",
    span: Annotated[
        str, typer.Option("--pass-for", metavar="SPAN", help="With --issue-pass: for how long.")
    ] = "15m",
    purpose: Annotated[str, typer.Option(help="With --take or --issue-pass: why, for the register.")] = "",
    by: output.By = "",
    as_json: output.AsJson = False,
) -> None:
    """May a migration begin? Only with a fresh, proven snapshot to go back to, and with nothing in its way.

    Exit status: 0 open; 4 closed, or no pass can be issued there; 2 usage, or there is no register; 3 the database
    cannot be asked, or --take failed; 5 no such database, policy or role; 6 --take found it busy, or stood back.
    """
    from amanat.ports.enforcing import Asked as AskedPass

    waiting, asked = output.seconds(wait), Asked(max_age=max_age, level=level, policy=policy)
    lasting = output.duration("--pass-for", span)
    with progress.shown(silent=as_json) as on_progress:
        app = session.open_app(on_progress=on_progress, create=take)
        session.stop_on_signals(app.stop)
        wanted = asked.of(app, database)
        request = request_for(app, wanted, purpose=purpose, by=by, wait=waiting) if take else None
        verdict = app.gate(wanted, wait=waiting, take=request)
        for_whom = AskedPass(role=issue_pass, span=lasting, by=output.who(by), purpose=purpose)
        issued = _issued(app, wanted, for_whom) if verdict.is_open and issue_pass else None
    if as_json:
        output.print_json(_row(verdict, wanted.database.name, issued))
    else:
        output.write(f"{line}\n" for line in lines(verdict, wanted.database.name, issued))
    if not verdict.is_open:
        raise typer.Exit(ExitCode.REFUSED)


class Asked:
    """What options say of the snapshot that is wanted; ConfigurationError before anything is opened."""

    def __init__(self, *, max_age: str, level: ProofLevel | None, policy: str) -> None:
        if level is ProofLevel.NONE:
            raise ConfigurationError("level none proves nothing", hint="ask for stored, readable or restored")
        self._max_age = output.duration("--max-age", max_age)
        self._level = level
        self._policy = policy

    def of(self, app: "App", database: str) -> "Wanted":
        """NotFoundError: no such database, or policy for it."""
        from amanat.domain.gate import Wanted

        found = app.database(database)
        if self._policy:
            app.policy(self._policy, found.name)
        return Wanted(database=found, max_age=self._max_age, level=self._level, policy=self._policy or None)


def request_for(app: "App", wanted: "Wanted", *, purpose: str, by: str, wait: float) -> "Request":
    """What would be taken; ConfigurationError where that could not be, before it is needed one day."""
    from amanat.services.request import Request, require_usable

    name = wanted.database.name
    known = app.configuration.policies.get(_PRE_RELEASE)
    policy = wanted.policy or (_PRE_RELEASE if known and name in known.databases else MANUAL_POLICY)
    request = Request(
        database=wanted.database,
        policy=app.policy(policy, name),
        by=output.who(by),
        name=policy,
        purpose=purpose,
        version=app.settings.app_version,
        wait=wait,
    )
    require_usable(request)
    return request


def _issued(app: "App", wanted: "Wanted", asked: "AskedPass") -> "Pass":
    from amanat.services import enforce as service

    with app.documented():
        return service.issue(app.ports, wanted.database, asked)


def _row(verdict: "Verdict", database: str, issued: "Pass | None") -> dict[str, Any]:
    from amanat.services.report import snapshot_row

    return {
        "database": database,
        "open": verdict.is_open,
        "snapshot": snapshot_row(verdict.snapshot) if verdict.snapshot else None,
        "reasons": [
            {"reason": refusal.reason, "message": refusal.message, "hint": refusal.hint}
            for refusal in verdict.refusals
        ],
        "pass": enforce.pass_row(issued) if issued else None,
    }


def lines(verdict: "Verdict", database: str, issued: "Pass | None" = None) -> Iterator[str]:
    if verdict.snapshot:
        taken = output.local(verdict.snapshot.taken_at)
        yield f"snapshot {verdict.snapshot.id} of {database}: {verdict.snapshot.proof}, taken {taken}"
    for refusal in verdict.refusals:
        yield f"{refusal.reason}: {output.one_line(refusal.message)}"
        yield f"  → {output.one_line(refusal.hint)}"
    yield f"the gate of {database} is {'open' if verdict.is_open else 'closed'}"
    if issued:
        yield f"role {issued.role} may change the schema until {output.local(issued.until)}"
