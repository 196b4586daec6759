"""Restores an archive into an empty database, by the stock pg_restore, as fast as the machine allows.

What it takes beyond ``pg_restore --jobs``: sizes that are right (order.py), sessions that wait for the
disk once instead of at each commit (sessions.py), and whoever looks on knows how far it is
(watch.py). For where the time goes see documentation/performance.md.
"""

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from amanat.archive import ArchiveError, Entry
from amanat.domain.errors import IntegrityError, RefusedError
from amanat.domain.model import Facts
from amanat.engines.postgresql import catalog
from amanat.engines.postgresql.clients import ENVIRONMENT, Client
from amanat.engines.postgresql.connection import Session, Target, session
from amanat.engines.postgresql.restoring import order, sessions
from amanat.engines.postgresql.restoring.failure import Complaints, judged
from amanat.engines.postgresql.restoring.order import Item
from amanat.engines.postgresql.restoring.passes import Pass, passes, schemas
from amanat.engines.postgresql.restoring.watch import Watch
from amanat.host import process
from amanat.ports.run import Control

_MAY_OWN_PUBLIC = """
SELECT 1 FROM pg_namespace
WHERE nspname = 'public' AND pg_has_role(nspowner, 'USAGE') AND pg_has_role(%s, 'MEMBER')
"""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """``sections``: seconds of pre-data, data and post-data; with jobs ``post-data`` is only what was left when
    the last rows were in. ``tables``: those whose rows the archive held, and how many; None where nobody counted.
    ``warnings``: what a part of a database could not bring, each a whole sentence.
    """

    sections: Mapping[str, float]
    tables: Mapping[str, int | None]
    warnings: tuple[str, ...]


def restore(
    client: Client,
    archive: Path,
    target: Target,
    *,
    facts: Facts,
    jobs: int,
    control: Control,
    owners: bool = True,
    tablespaces: bool = True,
    subscriptions: bool = True,
    without: Collection[int] = (),
) -> Restored:
    """Fill ``target``, a database that the caller made, and drops if this fails.

    ``facts``: what was noted when the archive was made. ``owners`` False: everything belongs to the connecting
    role and nothing is granted, for servers that do not have the roles. ``tablespaces`` False: all goes into the
    database's, for servers that do not have them. ``subscriptions`` False: none is made, so that the database can
    be dropped again. ``without``: numbers of entries that are left out. Errors: RefusedError if there is a table
    in the database, SourceError (``transient``), ToolError, IntegrityError if the archive is damaged, ProofError
    if its rows break its own constraints, StoreError, TimeoutExceededError, InterruptedRunError. After an error
    nothing that was started still runs.
    """
    everything = entries(archive, control)
    contents = [entry for entry in everything if entry.dump_id not in without]
    items = _items(everything, facts, archive, without)
    late = (*(order.granted_by_others(contents) if owners and jobs > 1 else ()), *order.event_triggers(contents))
    with session(target, control) as asked:
        _prepare(asked, target, schemas(facts))
        if owners and (owner := order.owner_of_public(contents)):
            _own_public(asked, owner)
        target = sessions.with_settings(sessions.chosen(asked, jobs), target, asked.options)
    plain = _plain(owners=owners, tablespaces=tablespaces, subscriptions=subscriptions)
    tool = (client.tool("pg_restore"), "--verbose", "--no-password", f"--dbname={target.conninfo}")
    command = _Command(
        argv=(*tool, *plain),
        archive=archive,
        target=target,
        control=control,
    )
    first = _without(contents, late) if late or without or jobs > 1 else ()
    with _options(first, jobs) as options, Watch(items, facts, jobs, target, control) as watch:
        warnings = [said for one in passes(facts) for said in _pass(command, options, one, watch)]
        warnings += _late(command, late, facts, watch)
        watch.finish()
    with session(target, control) as asked:
        sessions.make_durable(asked)
    return Restored(sections=watch.sections(), tables=_tables(items, facts), warnings=tuple(warnings))


@dataclass(frozen=True, kw_only=True)
class _Command:
    argv: tuple[str | Path, ...]
    archive: Path
    target: Target
    control: Control


def entries(archive: Path, control: Control) -> tuple[Entry, ...]:
    """The contents; IntegrityError: damaged."""
    try:
        return order.read(archive, control.check)
    except ArchiveError as exc:
        raise IntegrityError(f"{archive.name}: {exc.message}", hint="restore another snapshot") from exc


def _items(contents: Sequence[Entry], facts: Facts, archive: Path, without: Collection[int]) -> dict[int, Item]:
    items = order.items(contents, facts, archive.stat().st_size)
    return {number: item for number, item in items.items() if number not in without}


def _prepare(asked: Session, target: Target, names: Sequence[str]) -> None:
    if there := catalog.read(asked).tables:
        raise RefusedError(
            f"{target.label} is not empty: it has {len(there)} tables, such as {there[0].qualified}",
            hint="restore into a new database, made from template0",
        )
    asked.ask("SET default_transaction_read_only = off")  # a role may have it on
    for name in names:
        asked.ask(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))


def _own_public(asked: Session, owner: str) -> None:
    """Where the role may: otherwise the comparison tells."""
    if asked.ask(_MAY_OWN_PUBLIC, [owner]):
        asked.ask(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(owner)))


def _plain(*, owners: bool, tablespaces: bool, subscriptions: bool) -> list[str]:
    return [
        *([] if owners else ["--no-owner", "--no-acl"]),
        *([] if tablespaces else ["--no-tablespaces"]),
        *([] if subscriptions else ["--no-subscriptions"]),
    ]


@contextmanager
def _options(contents: Sequence[Entry], jobs: int) -> Iterator[list[str]]:
    """``contents``: none for all of them in the archive's own order, which minds what jobs do not."""
    if not contents:
        yield [f"--jobs={jobs}"]
        return
    with _listed(contents) as listed:
        yield [f"--jobs={jobs}", listed]


@contextmanager
def _listed(contents: Sequence[Entry]) -> Iterator[str]:
    with tempfile.NamedTemporaryFile("w", prefix="amanat-", suffix=".list") as file:
        file.write(order.use_list(contents))
        file.flush()
        yield f"--use-list={file.name}"


def _without(contents: Sequence[Entry], late: Sequence[Entry]) -> Sequence[Entry]:
    numbers = {entry.dump_id for entry in late}
    return [entry for entry in contents if entry.dump_id not in numbers]


def _late(command: _Command, late: Sequence[Entry], facts: Facts, watch: Watch) -> tuple[str, ...]:
    if not late:
        return ()
    with _listed(late) as listed:
        return _pass(command, [listed], Pass(strict=passes(facts)[-1].strict), watch)


def _pass(command: _Command, options: Sequence[str], one: Pass, watch: Watch) -> tuple[str, ...]:
    complaints = Complaints()

    def hear(line: str) -> None:
        watch.hear(line)
        complaints.hear(line)

    finished = process.run(
        [*command.argv, *options, *one.options, command.archive],
        control=command.control,
        env=ENVIRONMENT,
        on_stderr=hear,
        on_poll=watch.poll,
    )
    return judged(finished, one, complaints.all(), command.target)


def _tables(items: Mapping[int, Item], facts: Facts) -> dict[str, int | None]:
    counted = {table: data.rows for table, data in order.rows_by_table(facts).items()}
    return {item.table: counted.get(item.table) for item in items.values() if item.table}
