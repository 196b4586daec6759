"""Which way a database is copied: by its bytes wherever that is safe, else page by page through SQLite."""

from dataclasses import dataclass
from enum import StrEnum

from amanat.engines.sqlite.connection import Access

# Numbers of linux/magic.h. On these every process of this host has one view of a file and of its locks.
_LOCAL_FILE_SYSTEMS = {
    0xEF53,  # ext2, ext3, ext4
    0x58465342,  # xfs
    0x9123683E,  # btrfs
    0xCA451A4E,  # bcachefs
    0xF2F52010,  # f2fs
    0x2FC12FC1,  # zfs
    0x01021994,  # tmpfs
}


class CopiedBy(StrEnum):
    """How the bytes of a copy came to it."""

    REFLINK = "reflink"
    COPY_FILE_RANGE = "copy_file_range"
    PLAIN = "plain"
    BACKUP = "backup"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """``file_system``: its number as statfs(2) has it. ``shared_index``: the ``-shm`` file is one for all."""

    file_system: int
    access: Access
    wal: bool
    shared_index: bool


def is_local(file_system: int) -> bool:
    return file_system in _LOCAL_FILE_SYSTEMS


def objection(found: Circumstances) -> str:
    """Why the bytes must not be copied; empty where they may.

    A network or user-space file system may show one process old bytes, or locks that another does not see.
    """
    if not is_local(found.file_system):
        return f"its file system (type {found.file_system:#x}) is not known to be local"
    if found.wal and found.access is not Access.FROZEN and not found.shared_index:
        return "its -shm file can only be read, so SQLite keeps an index of its own"
    return ""
