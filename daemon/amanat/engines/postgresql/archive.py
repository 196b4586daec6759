"""What an archive says of itself: its header, and its contents as ``pg_restore --list`` prints them."""

import re
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.errors import ProofError

_MAGIC = b"PGDMP"
_HEADER_BYTES = len(_MAGIC) + 3
# "215; 1259 16386 TABLE public users postgres" and "3345; 0 16386 TABLE DATA public users postgres":
# the catalogue's OID (1259 is pg_class), then the table's. Names may hold anything, OIDs are never ambiguous.
_TABLE = re.compile(r"^\d+; 1259 (\d+) (?:FOREIGN )?TABLE ", re.MULTILINE)
_DATA = re.compile(r"^\d+; 0 (\d+) TABLE DATA ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """OIDs of the tables whose definition, and of those whose rows are in the archive."""

    tables: frozenset[int]
    data: frozenset[int]


def archive_version(path: Path) -> str:
    """Such as ``1.14.0``; ProofError when it is no archive (layout: ReadHead in pg_backup_archiver.c)."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as exc:
        raise ProofError(f"{path.name} cannot be read: {exc.strerror}", hint="take a new snapshot") from exc
    if not header:
        raise ProofError(f"{path.name} is empty", hint="take a new snapshot")
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise ProofError(f"{path.name} is not an archive of pg_dump", hint="take a new snapshot")
    return ".".join(str(part) for part in header[len(_MAGIC) :])


def contents(listing: str) -> Contents:
    """From the output of ``pg_restore --list``."""
    return Contents(
        tables=frozenset(int(oid) for oid in _TABLE.findall(listing)),
        data=frozenset(int(oid) for oid in _DATA.findall(listing)),
    )
