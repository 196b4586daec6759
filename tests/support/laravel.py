"""A Laravel application's folder with the drop-in script in it, for tests."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.cli import Amanat
from tests.support.sqlite_databases import build

SCRIPT = Path(__file__).parents[2] / "deploy" / "laravel" / "backup-database.sh"
AMANAT = Path(sys.executable).with_name("amanat")
FILE_NAME = re.compile(r"database_backup_(\d{8}T\d{6}Z)_(.+)\.(sqlite|dump)")
TABLES = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE surveys (id INTEGER PRIMARY KEY, title TEXT);
CREATE TABLE sessions (id INTEGER PRIMARY KEY, payload TEXT);
INSERT INTO users VALUES (1, 'Aysel'), (2, 'Rəşad'), (3, 'Şəfəq');
INSERT INTO surveys VALUES (1, 'first'), (2, 'second');
INSERT INTO sessions VALUES (1, 'x');
"""


class Application:
    """``project``: the folder that holds ``backend/``. A policy file is only what ``AMANAT_POLICIES`` says."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.backend = project / "backend"
        self.database = self.backend / "database"
        self.database.mkdir(parents=True)
        self.script = self.backend / SCRIPT.name
        shutil.copy(SCRIPT, self.script)

    def env_file(self, text: str) -> None:
        (self.backend / ".env").write_text(text, encoding="utf-8")

    def sqlite(self, path: Path | None = None) -> Path:
        """An application database in WAL mode, at Laravel's stock place unless told otherwise."""
        return build(path or self.database / "database.sqlite", TABLES)

    def run(
        self,
        *args: str,
        cwd: Path | None = None,
        around: Sequence[str | Path] = (),
        script: str | Path = f"./{SCRIPT.name}",
        **env: str,
    ) -> "subprocess.CompletedProcess[str]":
        """As a person would, in ``backend/``; ``around`` is a command that runs it."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AMANAT", "PG"))}
        return subprocess.run(
            [*around, script, *args],
            cwd=cwd or self.backend,
            env={**inherited, "AMANAT": str(AMANAT), **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def left(self) -> list[Path]:
        """What the script left for the application."""
        return sorted(path for path in self.database.iterdir() if FILE_NAME.fullmatch(path.name))

    def taken(self, *args: str, **options: object) -> Path:
        """Run the script; the one file that it left."""
        before = self.left()
        done = self.run(*args, **options)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stdout + done.stderr
        (new,) = set(self.left()) - set(before)
        return new


def stored(store: Path, env: Mapping[str, str] | None = None) -> list[dict[str, object]]:
    """What the command line says lies in that store, whose state is beside it."""
    amanat = Amanat(store.parent, AMANAT_POLICIES="")
    amanat.store, amanat.state = store, store.parent / ".amanat"
    return amanat.json("list", env=env)
