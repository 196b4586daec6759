"""Proves a SQLite artefact without its source, and says how to restore it with stock tools."""

import contextlib
import shlex
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

from amanat.domain.errors import ProofError
from amanat.domain.model import EngineName, Facts, Scope
from amanat.engines.sqlite import examining, packing
from amanat.engines.sqlite.connection import Access, attended_together, connect
from amanat.engines.sqlite.references import foreign_key_violations
from amanat.engines.sqlite.schema import application_tables
from amanat.engines.sqlite.seekable import SeekableError
from amanat.ports.run import Control

REFERENCES = "foreign_key_violations"
_SHOWN = 3


class SqliteProver:
    """Fulfils ``ports.Prover``. It reads without locks and so makes no file: nobody writes an artefact."""

    name = EngineName.SQLITE

    def prove_readable(self, artefact: Path, facts: Facts, scope: Scope, control: Control) -> None:  # noqa: ARG002 - facts say what the scope left
        try:
            with _opened(artefact, control) as ((first, second), size):
                structure = partial(_examine, first, artefact.name, size, facts)
                references = partial(_check_references, second, artefact.name, facts)
                attended_together(control, {first: structure, second: references})
        except (SeekableError, sqlite3.Error, UnicodeDecodeError) as exc:
            raise _failed(artefact.name, str(exc)) from exc
        except OSError as exc:
            raise _failed(artefact.name, str(exc.strerror)) from exc

    def examine(self, artefact: Path, control: Control) -> str:  # noqa: ARG002 - the port's signature
        return examining.open_artefact(artefact)

    def recipe(self, file_name: str, facts: Facts) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        file, manifest = shlex.quote(file_name), shlex.quote(f"{file_name}.manifest.json")
        aside = 'test ! -e "$target$end" || mv "$target$end" "$before$end"'
        rights = 'for same in chown chmod; do $same --reference="$before" "$target"; done'
        unpack, ready, checked, place = _lines(file_name)
        return (
            "target=/path/to/the/application/database.sqlite  # write the real path here",
            f"sha256sum < {file} | cut -c -64 | grep -F -f - -- {manifest}  # must find the hash",
            *unpack,
            f"{ready}sqlite3 {checked} 'PRAGMA quick_check'  # must print: ok; else ask integrity_check",
            "# stop the application: nothing may have the database open from here on",
            'before="$target.before-$(date +%Y%m%dT%H%M%S)"',
            f'{ready}for end in "" -wal -shm -journal; do {aside}; done',
            place,
            f'if test -e "$before"; then {rights}; fi',
            "# start the application",
        )


def _lines(file_name: str) -> tuple[tuple[str, ...], str, str, str]:
    """How to make a plain file of it, the condition that it is there (sqlite3 would make an empty one, and find
    that well), where it can be checked, and how it gets into place.
    """
    if file_name.endswith(packing.SUFFIX):
        unpack = f'zstd --quiet --decompress -o "$target.new" -- {shlex.quote(file_name)}'
        unpacked = f'rm -f -- "$target.new"; {unpack} || rm -f -- "$target.new"  # needs zstd'
        return (unpacked,), 'test -s "$target.new" && ', '"$target.new"', 'mv -- "$target.new" "$target"'
    uri = shlex.quote(f"file:{quote(file_name)}?immutable=1")
    return (), "", uri, f'cp -- {shlex.quote(file_name)} "$target"'


@contextlib.contextmanager
def _opened(artefact: Path, control: Control) -> Iterator[tuple[list[sqlite3.Connection], int]]:
    """Two connections, to be used at the same time, and the size of the plain database."""
    if artefact.name.endswith(packing.SUFFIX):
        with packing.opened(artefact, 2, control) as opened:
            yield opened
        return
    size = artefact.stat().st_size
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(connect(artefact, Access.FROZEN))) for _ in range(2)], size


def _examine(connection: sqlite3.Connection, name: str, size: int, facts: Facts) -> None:
    pages = _checked_size(connection, name, size)
    # A row that breaks a CHECK is the application's own; it must not cost the application its backups.
    connection.execute("PRAGMA ignore_check_constraints = ON")
    findings = findings_of(connection, "quick_check") and findings_of(connection, "integrity_check")
    if findings:
        more = f" and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
        raise _failed(name, f"integrity_check: {'; '.join(findings[:_SHOWN])}{more}")
    _check_tables(connection, name, facts)
    if pages != (expected := facts.extra.get("page_count", pages)):
        raise _failed(name, f"it has {pages} pages, at snapshot time there were {expected}")


def findings_of(connection: sqlite3.Connection, check: str) -> list[str]:
    """None are good. quick_check of 3.40 takes keys of WITHOUT ROWID tables for NULL where they are in another
    order than the columns; integrity_check does not, so it has the last word.
    """
    lines = [line for (text,) in connection.execute(f"PRAGMA {check}") for line in text.splitlines()]
    return [] if lines == ["ok"] else lines


def _checked_size(connection: sqlite3.Connection, name: str, size: int) -> int:
    """In pages."""
    pages, page_size = (connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
    if not size or size != pages * page_size:
        raise _failed(name, f"it has {size} bytes and by its header should have {pages * page_size}")
    return int(pages)


def _check_tables(connection: sqlite3.Connection, name: str, facts: Facts) -> None:
    present, expected = {table.name for table in application_tables(connection)}, set(facts.tables)
    if missing := sorted(expected - present):
        raise _failed(name, f"tables are missing: {', '.join(missing)}")
    if unexpected := sorted(present - expected):
        raise _failed(name, f"tables that were not taken stand in it: {', '.join(unexpected)}")


def _check_references(connection: sqlite3.Connection, name: str, facts: Facts) -> None:
    if REFERENCES not in facts.extra:
        return  # a lower proof was asked for then, and nobody counted them
    expected, found = facts.extra[REFERENCES], foreign_key_violations(connection)
    if found != expected:
        raise _failed(name, f"it has {found} broken references, at snapshot time there were {expected}")


def _failed(name: str, reason: str) -> ProofError:
    return ProofError(
        f"{name} is not a readable database: {reason}",
        hint="take a new snapshot; if it fails as well, check the source and the disk",
    )
