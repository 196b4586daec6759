"""Restores a SQLite artefact into a file of its own, and tells what stands there."""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from amanat.domain.comparison import Comparison, Content, Difference, Finding, compare, content_of
from amanat.domain.description import LargeObjects
from amanat.domain.model import EngineName, Facts
from amanat.domain.sql_check import SqlCheck
from amanat.engines.sqlite import checking, description, kernel, packing, rows
from amanat.engines.sqlite.connection import inside
from amanat.engines.sqlite.copying import create
from amanat.engines.sqlite.proof import REFERENCES, findings_of
from amanat.engines.sqlite.references import foreign_key_violations
from amanat.host import clock, files
from amanat.ports.engine import Place, Rehearsal
from amanat.ports.run import Control

_SHOWN = 3
_NO_LARGE_OBJECTS = LargeObjects(count=0)


class SqliteRehearser:
    """Fulfils ``ports.Rehearser``: in the place's folder, which is on the store's file system."""

    name = EngineName.SQLITE

    def rehearse(
        self, artefact: Path, facts: Facts, checks: Sequence[SqlCheck], place: Place, control: Control
    ) -> Rehearsal:
        copy = place.folder / "rehearsal.sqlite"
        began = clock.monotonic()
        try:
            _restore(artefact, copy, control)
            seconds = clock.monotonic() - began
            comparison = inside(copy, control, lambda opened: _compared(opened, facts))
            wrong = checking.differences(copy, checks, control)
        finally:
            copy.unlink(missing_ok=True)
        return Rehearsal(comparison=comparison.with_more(wrong), seconds=seconds, warnings=comparison.caveats)

    def sweep(self, place: Place, control: Control) -> list[str]:  # noqa: ARG002 - the port's signature
        """All of it lies in the run's folder, which the store sweeps."""
        return []

    def examine(self, place: Place, control: Control) -> str:  # noqa: ARG002 - the port's signature
        return "none is needed: SQLite is restored into a file"


def _restore(artefact: Path, copy: Path, control: Control) -> None:
    create(copy)
    with files.explained("the restored copy cannot be written"), copy.open("r+b", buffering=0) as target:
        if artefact.name.endswith(packing.SUFFIX):
            packing.unpack(artefact, target.fileno(), control)
            return
        with artefact.open("rb", buffering=0) as source:
            size = os.fstat(source.fileno()).st_size
            kernel.copy(source.fileno(), target.fileno(), size, lambda _: control.check())


def _compared(opened: sqlite3.Connection, facts: Facts) -> Comparison:
    """Rows that nobody has hashed when it was taken are compared as bytes, by the proof ``stored`` before."""
    found = Content(
        description=description.describe(opened),
        rows=rows.read(opened) if facts.rows else (),
        large_objects=_NO_LARGE_OBJECTS,
    )
    expected = replace(content_of(facts), rows=facts.rows, large_objects=_NO_LARGE_OBJECTS)
    compared = compare(expected, found)
    differences = (*_damages(opened), *_broken_references(opened, facts), *compared.differences)
    return replace(compared, differences=differences)


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
