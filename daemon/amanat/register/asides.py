"""Databases that stand beside live ones; fulfils ``ports.asides.Asides``."""

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from amanat.domain.aside import Aside, AsideKind, Swap
from amanat.domain.entry import Entry
from amanat.domain.errors import NotFoundError
from amanat.domain.model import Stage
from amanat.register import chaining, rows
from amanat.register.connection import RegisterDatabase

_KNOWN = "no entry tells it as it stands: `amanat register verify`, and see what stands beside the database"


class Asides:
    def __init__(self, database: RegisterDatabase) -> None:
        self._database = database

    def all(self, database: str | None = None) -> list[Aside]:
        found = self._database.query(
            "SELECT * FROM asides WHERE ?1 IS NULL OR database = ?1 ORDER BY rowid DESC", (database,)
        )
        with rows.understood(hint=_KNOWN):
            return [_aside(row) for row in found]

    def add(self, aside: Aside, entry: Entry) -> None:
        with self._database.transaction() as connection:
            rows.insert(connection, "asides", _row(asdict(aside)))
            chaining.append(connection, entry)

    def remove(self, aside: Aside, entry: Entry) -> None:
        with self._database.transaction() as connection:
            _delete(connection, aside.database, aside.name)
            chaining.append(connection, entry)

    def hold(self, aside: Aside, reason: str, entry: Entry) -> None:
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE asides SET held = ? WHERE database = ? AND name = ?", (reason, aside.database, aside.name)
            ).rowcount
            if not changed:
                raise NotFoundError(f"{aside.name} is not kept any more", hint="`amanat status` shows what is")
            chaining.append(connection, entry)

    def begin_swap(self, swap: Swap) -> None:
        with self._database.transaction() as connection:
            rows.insert(connection, "swaps", _row(asdict(swap)))

    def open_swaps(self) -> list[Swap]:
        found = self._database.query("SELECT * FROM swaps ORDER BY rowid")
        with rows.understood(hint=_KNOWN):
            return [_swap(row) for row in found]

    def finish_swap(self, swap: Swap, outgoing: Aside | None, entry: Entry | None) -> None:
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM swaps WHERE run = ?", (swap.run,))
            if outgoing:
                _delete(connection, swap.database, swap.incoming)
                rows.insert(connection, "asides", _row(asdict(outgoing)))
            if entry:
                chaining.append(connection, entry)


def _delete(connection: sqlite3.Connection, database: str, name: str) -> None:
    connection.execute("DELETE FROM asides WHERE database = ? AND name = ?", (database, name))


def _row(values: Mapping[str, object]) -> dict[str, object]:
    return {key: rows.time_text(value) if isinstance(value, datetime) else value for key, value in values.items()}


def _aside(row: sqlite3.Row) -> Aside:
    times = {key: rows.time_of(row[key]) for key in ("since", "until")}
    return Aside(**{**dict(row), **times, "kind": AsideKind(row["kind"])})


def _swap(row: sqlite3.Row) -> Swap:
    times = {key: rows.time_of(row[key]) for key in ("at", "until")}
    return Swap(**{**dict(row), **times, "stage": Stage(row["stage"])})
