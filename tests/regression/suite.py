"""The database that PostgreSQL's own regression suite leaves behind, made from a tree of PostgreSQL's source.

The suite keeps most of what it creates, so that pg_upgrade and pg_dump have something to be tried on. Its errors are
part of it, and count for nothing here.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.postgres import headers
from tests.support.postgres_server import Server

# As ``initialize_environment`` and ``create_database`` of ``pg_regress.c`` set them.
_ENVIRONMENT = {
    "PGTZ": "America/Los_Angeles",
    "PGDATESTYLE": "Postgres, MDY",
    "PGOPTIONS": "-c intervalstyle=postgres_verbose",
    "PGAPPNAME": "pg_regress",
    "PG_DLSUFFIX": ".so",
    "LC_MESSAGES": "C",
}
_OF_DATABASE = (
    "lc_messages TO 'C'",
    "lc_monetary TO 'C'",
    "lc_numeric TO 'C'",
    "lc_time TO 'C'",
    "bytea_output TO 'hex'",
)
_PSQL = ("-X", "-a", "-q", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on")
_OF_SPI = ("autoinc", "refint")  # contrib/spi, which the triggers' tests load
_VERSION = re.compile(r"^PACKAGE_VERSION='(\d+)", re.MULTILINE)
_FILE_SECONDS = 120


@dataclass(frozen=True, kw_only=True)
class Suite:
    """``source``: a tree of PostgreSQL's source. ``work``: an empty folder, which the server can read and enter."""

    source: Path
    work: Path

    @property
    def major(self) -> int:
        found = _VERSION.search((self.source / "configure").read_text())
        if not found:
            raise ValueError(f"{self.source / 'configure'} does not say which PostgreSQL this is")
        return int(found[1])

    def build(self, server: Server, dbname: str) -> list[str]:
        """Which files hung, and were left: a psql of another major may. CalledProcessError: no C library."""
        self._libraries(server)
        for name in ("results", "testtablespace"):
            (self.work / name).mkdir()
            (self.work / name).chmod(0o777)
        server.psql(f"CREATE DATABASE {dbname} TEMPLATE template0")
        for setting in _OF_DATABASE:
            server.psql(f"ALTER DATABASE {dbname} SET {setting}")
        return [file.stem for file in self._files() if not self._run(server, dbname, file)]

    @property
    def _folder(self) -> Path:
        return self.source / "src" / "test" / "regress"

    def _libraries(self, server: Server) -> None:
        """Included beforehand: what a neighbouring major's headers do not bring along."""
        include = (f"-I{headers(server.major) / 'server'}", "-include", "postgres.h", "-include", "utils/array.h")
        library = ("-o", self.work / "regress.so", self._folder / "regress.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-w", *include, *library], check=True)
        for name in _OF_SPI:
            shutil.copy(server.bin.parent / "lib" / f"{name}.so", self.work)

    def _files(self) -> Iterator[Path]:
        """In the schedule's order."""
        for line in (self._folder / "parallel_schedule").read_text().splitlines():
            for name in line.split()[1:] if line.startswith("test:") else ():
                template = self._folder / "input" / f"{name}.source"
                yield self._filled_in(template) if template.exists() else self._folder / "sql" / f"{name}.sql"

    def _filled_in(self, template: Path) -> Path:
        """Until 14 some files have paths to be filled in (``convert_sourcefiles_in`` of ``pg_regress.c``)."""
        text = template.read_text()
        for mark, value in {
            "abs_srcdir": self._folder,
            "abs_builddir": self.work,
            "testtablespace": self.work / "testtablespace",
            "libdir": self.work,
            "DLSUFFIX": ".so",
        }.items():
            text = text.replace(f"@{mark}@", str(value))
        file = self.work / f"{template.stem}.sql"
        file.write_text(text)
        return file

    def _run(self, server: Server, dbname: str, file: Path) -> bool:
        """What it printed lies in ``work``."""
        places = {"PG_ABS_SRCDIR": self._folder, "PG_ABS_BUILDDIR": self.work, "PG_LIBDIR": self.work}
        with file.open("rb") as given, (self.work / f"{file.stem}.out").open("wb") as out:
            try:
                subprocess.run(
                    [server.bin / "psql", *_PSQL, *server.where, "-d", dbname],
                    env={**os.environ, **_ENVIRONMENT, **{name: str(place) for name, place in places.items()}},
                    stdin=given,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    timeout=_FILE_SECONDS,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return False
        return True
