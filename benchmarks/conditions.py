"""What a run was measured with: never a host's name, nor a path."""

import os
import platform
import re
import sqlite3
from pathlib import Path

from amanat import __version__
from benchmarks.processes import said
from benchmarks.servers import SETTINGS


def found(folder: Path, *, rounds: int, server: str) -> dict[str, str]:
    """``server``: PostgreSQL's version. ``folder``: on the file system that was written to."""
    settings = ", ".join(f"{name} {value}" for name, value in SETTINGS.items())
    return {
        "machine": f"{os.cpu_count()} cores ({_processor()}), {_memory_gigabytes():.0f} GB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {_file_system(folder)}",
        "Amanat": f"{__version__}, Python {platform.python_version()}",
        "PostgreSQL": f"{server}: {settings}; else as shipped",
        "SQLite": f"{sqlite3.sqlite_version}; the command {said('sqlite3', '--version').split()[0]}",
        "rounds": f"{rounds}, in turn",
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    match = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1].strip() if match else platform.machine()


def _memory_gigabytes() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _file_system(folder: Path) -> str:
    return said("df", "--output=fstype", folder).split()[-1]
