"""Proves a SQLite artefact without its source, and says how to restore it with stock tools."""

import contextlib
import shlex
import sqlite3
from pathlib import Path
from urllib.parse import quote

from amanat.domain.errors import ProofError
from amanat.domain.model import EngineName, Facts, Scope
from amanat.engines.sqlite.connection import Access, attended, connect
from amanat.engines.sqlite.schema import application_tables, foreign_key_violations
from amanat.ports import Control

_SHOWN = 3


class SqliteProver:
    """Fulfils ``ports.Prover``. It reads without locks and so makes no file: nobody writes an artefact."""

    name = EngineName.SQLITE

    def prove_readable(self, artefact: Path, facts: Facts, scope: Scope, control: Control) -> None:  # noqa: ARG002 - facts say what the scope left
        try:
            size = artefact.stat().st_size
            with contextlib.closing(connect(artefact, Access.FROZEN)) as connection:
                attended(connection, control, lambda: _examine(connection, artefact.name, size, facts))
        except OSError as exc:
            raise _failed(artefact.name, str(exc.strerror)) from exc
        except sqlite3.Error as exc:
            raise _failed(artefact.name, str(exc)) from exc

    def recipe(self, file_name: str, facts: Facts) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        file, manifest = shlex.quote(file_name), shlex.quote(f"{file_name}.manifest.json")
        uri = shlex.quote(f"file:{quote(file_name)}?immutable=1")
        aside = 'test ! -e "$target$end" || mv "$target$end" "$before$end"'
        rights = 'for same in chown chmod; do $same --reference="$before" "$target"; done'
        return (
            "target=/path/to/the/application/database.sqlite  # write the real path here",
            f"sha256sum < {file} | cut -c -64 | grep -F -f - -- {manifest}  # must find the hash",
            f"sqlite3 {uri} 'PRAGMA quick_check'  # must print: ok",
            "# stop the application: nothing may have the database open from here on",
            'before="$target.before-$(date +%Y%m%dT%H%M%S)"',
            f'for end in "" -wal -shm -journal; do {aside}; done',
            f'cp -- {file} "$target"',
            f'if test -e "$before"; then {rights}; fi',
            "# start the application",
        )


def _examine(connection: sqlite3.Connection, name: str, size: int, facts: Facts) -> None:
    _check_size(connection, name, size)
    # A row that breaks a CHECK is the application's own; it must not cost the application its backups.
    connection.execute("PRAGMA ignore_check_constraints = ON")
    findings = [text for (text,) in connection.execute("PRAGMA quick_check")]
    if findings != ["ok"]:
        raise _failed(name, f"quick_check: {'; '.join(findings[:_SHOWN])}")
    _check_tables(connection, name, facts)
    _check_references(connection, name, facts)


def _check_size(connection: sqlite3.Connection, name: str, size: int) -> None:
    pages, page_size = (connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
    if not size or size != pages * page_size:
        raise _failed(name, f"it has {size} bytes and by its header should have {pages * page_size}")


def _check_tables(connection: sqlite3.Connection, name: str, facts: Facts) -> None:
    present, expected = {table.name for table in application_tables(connection)}, set(facts.tables)
    if missing := sorted(expected - present):
        raise _failed(name, f"tables are missing: {', '.join(missing)}")
    if unexpected := sorted(present - expected):
        raise _failed(name, f"tables that were not taken stand in it: {', '.join(unexpected)}")


def _check_references(connection: sqlite3.Connection, name: str, facts: Facts) -> None:
    expected, found = facts.extra.get("foreign_key_violations"), foreign_key_violations(connection)
    if found != expected:
        raise _failed(name, f"it has {found} broken references, at snapshot time there were {expected}")


def _failed(name: str, reason: str) -> ProofError:
    return ProofError(
        f"{name} is not a readable database: {reason}",
        hint="take a new snapshot; if it fails as well, check the source and the disk",
    )
