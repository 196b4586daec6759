"""pg_dump and pg_dumpall: their command lines as values, their runs, and what their failures mean.

With ``--table`` pg_dump takes the tables, their indexes, triggers, constraints and owned sequences, but not
the types, functions and schemas they need (manual, pg_dump, ``--table``, Notes).
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from amanat.archive import ArchiveError
from amanat.domain.errors import AmanatError, SpaceError, StoreError, ToolError
from amanat.domain.model import Scope
from amanat.domain.scope import Selection, Table
from amanat.engines.postgresql.clients import ENVIRONMENT, Client
from amanat.engines.postgresql.connection import LOCK_WAIT_SECONDS, Target
from amanat.engines.postgresql.symptoms import recognise, source_error
from amanat.host import process
from amanat.host.files import explained
from amanat.ports.run import Control, Progress

_TABLE_LINE = re.compile(r'pg_dump: dumping contents of table "(.*)"')
_ERROR_LINE = re.compile(r"error: |ERROR:|FATAL:")
_FULL = re.compile(r"No space left on device|Disk quota exceeded|File too large")
_UNWRITABLE = re.compile(r"could not (write to|open|close) (output |custom )?file|Read-only file system")
_SHOWN_LINES = 5
GLOBALS_SUFFIX = ".globals.sql"


@dataclass(frozen=True, kw_only=True)
class Command:
    """A pg_dump to run; where it writes to, and how compressed, is added."""

    client: Client
    target: Target
    snapshot: str
    selection: tuple[str, ...] = ()

    @property
    def argv(self) -> list[str | Path]:
        return [
            self.client.tool("pg_dump"),
            "--format=custom",
            "--no-password",
            "--verbose",
            f"--snapshot={self.snapshot}",
            f"--lock-wait-timeout={LOCK_WAIT_SECONDS}s",
            f"--dbname={self.target.conninfo}",
            *self.selection,
        ]


def selecting(scope: Scope, selection: Selection, known: Sequence[Table]) -> tuple[str, ...]:
    """The options for a scope; ``known``: all tables, to name exactly those that are left out."""
    kept = set(selection.kept)
    chosen = (
        [naming("--table", table) for table in selection.kept]
        if scope.tables
        else [naming("--exclude-table", table) for table in known if table not in kept]
    )
    return (*chosen, *(naming("--exclude-table-data", table) for table in selection.without_data))


def naming(option: str, table: Table) -> str:
    return f"{option}={quoted(table.schema, table.name)}"


def quoted(*parts: str) -> str:
    """As in SQL; as a pattern of pg_dump it means one table alone: within the quotes nothing is special."""
    return ".".join('"{}"'.format(part.replace('"', '""')) for part in parts)


def dump(command: Command, file: Path, control: Control) -> None:
    """Let pg_dump itself write and compress ``file``; tell the progress: bytes written, the table it reads."""
    table = ""

    def heard(line: str) -> None:
        nonlocal table
        if match := _TABLE_LINE.match(line):
            table = match[1]

    def tell() -> None:
        control.progress(Progress(bytes_done=file.stat().st_size, table=table))

    _create(file)
    finished = process.run(
        [*command.argv, f"--file={file}"],
        control=control,
        env=ENVIRONMENT,
        on_stderr=heard,
        on_poll=tell,
    )
    require_success(finished, command.target)
    tell()


@contextlib.contextmanager
def streamed(command: Command, control: Control) -> Iterator[process.Stream]:
    """The archive, uncompressed, as pg_dump writes it; on leaving it must have ended well."""
    with process.streaming([*command.argv, "--compress=0"], control=control, env=ENVIRONMENT) as output:
        try:
            yield output
        except ArchiveError:
            if output.at_end:  # then it is pg_dump that knows why
                require_success(output.finish(), command.target)
            raise
        require_success(output.finish(), command.target)


def dump_globals(client: Client, file: Path, target: Target, dbname: str, control: Control) -> None:
    """Roles and tablespaces, without passwords; asked in ``dbname``, for the role may connect nowhere else."""
    options = ["--globals-only", "--no-role-passwords", "--no-password", f"--database={dbname}"]
    _create(file)
    finished = process.run(
        [client.tool("pg_dumpall"), *options, f"--dbname={target.conninfo}", f"--file={file}"],
        control=control,
        env=ENVIRONMENT,
    )
    require_success(finished, target)


def require_success(finished: process.Finished, target: Target) -> None:
    if finished.returncode:
        raise failure(finished, target)


def failure(finished: process.Finished, target: Target) -> AmanatError:
    """The kind tells who is to act: the store's keeper, the database's, or the host's."""
    said = complaint(finished.stderr)
    tool = Path(finished.argv[0]).name
    what = f"{tool} of {target.label} {finished.how}"
    by_server = "ERROR:" in said
    if _FULL.search(said):
        where = "the disk of the database server" if by_server else "the store's file system, or prune"
        return SpaceError(f"{what}: {said}", hint=f"make room on {where}")
    if finished.returncode > 0 and recognise(said) and not _UNWRITABLE.search(said):
        return source_error(what, said)
    if _UNWRITABLE.search(said) and not by_server:
        return StoreError(f"{what}: {said}", hint="see whether the store's file system is writable")
    killed = finished.returncode < 0
    return ToolError(
        f"{what}: {said}" if said else what,
        hint="see the kernel's log: out of memory?" if killed else f"run {finished.argv[0]} by hand to see more",
    )


def complaint(stderr: str) -> str:
    """The error among pg_dump's verbose lines, from its first line on, on one line."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    first = next((number for number, line in enumerate(lines) if _ERROR_LINE.search(line)), None)
    shown = lines[-_SHOWN_LINES:] if first is None else lines[first : first + _SHOWN_LINES]
    return "; ".join(" ".join(line.split()) for line in shown)


def _create(file: Path) -> None:
    """pg_dump would make it as its umask says; private first, filled later."""
    with explained(f"dump file {file}"):
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
