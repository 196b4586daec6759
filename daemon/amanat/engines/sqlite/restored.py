"""Makes a plain database of a SQLite artefact, and tells what stands in it against what stood there once."""

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from amanat.domain.comparison import Comparison, Content, Difference, Finding, compare, content_of
from amanat.domain.description import Description, LargeObjects
from amanat.domain.errors import IntegrityError, StoreError
from amanat.domain.model import Facts
from amanat.domain.sql_check import SqlCheck
from amanat.engines.sqlite import checking, description, kernel, packing, rows, seekable
from amanat.engines.sqlite.connection import inside, translated
from amanat.engines.sqlite.copying import create
from amanat.engines.sqlite.proof import REFERENCES, findings_of
from amanat.engines.sqlite.references import foreign_key_violations
from amanat.host import files
from amanat.ports.run import Control

_SHOWN = 3
_NO_LARGE_OBJECTS = LargeObjects(count=0)


def unpack(artefact: Path, target: Path, control: Control) -> None:
    create(target)
    with (
        restoring(artefact),
        files.explained("the restored copy cannot be written"),
        target.open("r+b", buffering=0) as plain,
    ):
        if artefact.name.endswith(packing.SUFFIX):
            packing.unpack(artefact, plain.fileno(), control)
            return
        with artefact.open("rb", buffering=0) as source:
            size = os.fstat(source.fileno()).st_size
            kernel.copy(source.fileno(), plain.fileno(), size, lambda _: control.check())


def plain_bytes(artefact: Path) -> int:
    """Of the whole database in it."""
    with restoring(artefact), files.explained(f"{artefact.name} cannot be read"):
        if not artefact.name.endswith(packing.SUFFIX):
            return artefact.stat().st_size
        with artefact.open("rb", buffering=0) as packed:
            return sum(frame.plain for frame in seekable.frames(packed.fileno()))


def compared(
    artefact: Path, restored: Path, facts: Facts, checks: Sequence[SqlCheck], control: Control
) -> Comparison:
    """``restored``: a file that nobody changes. ``facts``: of what should be in it; see ``of_part``."""
    with restoring(artefact):
        comparison = inside(restored, control, lambda opened: _compared(opened, facts))
    return comparison.with_more(checking.differences(restored, checks, control))


def of_part(facts: Facts, tables: Collection[str]) -> Facts:
    """What should be in a restore of some tables alone: their rows and their own objects, but no views.

    ``tables``: with the shadow tables of virtual ones. References may lead to rows that are not there.
    """
    told = facts.description
    return replace(
        facts,
        rows=tuple(each for each in facts.rows if each.name in tables),
        description=told and _of_tables(told, tables),
        extra=_without_references(facts),
    )


def without_rows(facts: Facts) -> Facts:
    """What should be in a restore of the schema alone."""
    return replace(facts, rows=(), extra=_without_references(facts))


def _without_references(facts: Facts) -> dict[str, object]:
    return {name: value for name, value in facts.extra.items() if name != REFERENCES}


def _of_tables(told: Description, tables: Collection[str]) -> Description:
    return replace(
        told,
        objects=tuple(each for each in told.objects if (each.within or each.name) in tables),
        sequences={name: number for name, number in told.sequences.items() if name in tables},
    )


@contextlib.contextmanager
def restoring(artefact: Path) -> Iterator[None]:
    """IntegrityError for what SQLite or the decoder finds wrong with it inside."""
    try:
        yield
    except (seekable.SeekableError, sqlite3.Error, UnicodeDecodeError) as exc:
        if isinstance(exc, sqlite3.Error) and isinstance(error := translated(exc, artefact), StoreError):
            raise error from exc
        raise IntegrityError(
            f"{artefact.name} does not restore: {exc}", hint="amanat verify tells more; take another snapshot"
        ) from exc


def _compared(opened: sqlite3.Connection, facts: Facts) -> Comparison:
    """Rows that nobody has hashed when it was taken are compared as bytes, by the proof ``stored`` before."""
    found = Content(
        description=description.describe(opened),
        rows=rows.read(opened) if facts.rows else (),
        large_objects=_NO_LARGE_OBJECTS,
    )
    expected = replace(content_of(facts), rows=facts.rows, large_objects=_NO_LARGE_OBJECTS)
    result = compare(expected, found)
    differences = (*_damages(opened), *_broken_references(opened, facts), *result.differences)
    return replace(result, differences=differences)


def _damages(opened: sqlite3.Connection) -> list[Difference]:
    opened.execute("PRAGMA ignore_check_constraints = ON")  # see proof.py
    findings = findings_of(opened, "integrity_check")
    if not findings:
        return []
    said = {"expected": "ok", "found": "; ".join(findings[:_SHOWN])}
    return [Difference(kind="integrity_check", name="", finding=Finding.DIFFERS, **said)]


def _broken_references(opened: sqlite3.Connection, facts: Facts) -> list[Difference]:
    if REFERENCES not in facts.extra:
        return []
    expected, found = facts.extra[REFERENCES], foreign_key_violations(opened)
    if expected == found:
        return []
    said = {"expected": f"{expected} broken", "found": str(found)}
    return [Difference(kind="foreign keys", name="", finding=Finding.DIFFERS, **said)]
