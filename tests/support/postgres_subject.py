"""A seeded PostgreSQL database as a subject of the engine contract, and engines and clients made for tests."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from amanat.domain.policy import PostgresqlSource
from amanat.engines.postgresql import PostgresqlEngine, PostgresqlProver
from amanat.ports.engine import Artefact
from tests.contract.engine_contract import SEED, Subject
from tests.support.postgres_plugin import Postgres

COUNTS = """
SELECT format('SELECT %L, count(*) FROM %I.%I;', replace(c.relname, E'\\n', ' '), n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
\\gexec
"""


def engine_for(postgres: Postgres, conninfo: Mapping[str, str], **source: object) -> PostgresqlEngine:
    """An engine that finds the clients of that server's own release."""
    password = source.pop("password", None)
    return PostgresqlEngine(
        PostgresqlSource(parameters=conninfo, **source), password, extra_client_folders=(postgres.bin,)
    )


def restored_rows(postgres: Postgres, artefact: Artefact, *, before: str = "") -> dict[str, int]:
    """Restore by the server's own pg_restore into a new database, where ``before`` is run first; then count."""
    dbname = postgres.database(sql=before)["dbname"]
    command = [
        postgres.bin / "pg_restore",
        "--exit-on-error",
        *postgres.server.where,
        "-d",
        dbname,
        artefact.path,
    ]
    subprocess.run(command, check=True, capture_output=True)
    rows = (line.rpartition("|") for line in postgres.psql(COUNTS, dbname).splitlines())
    counted = {name: int(count) for name, _, count in rows}
    postgres.psql(f'DROP DATABASE "{dbname}"')
    return counted


def clients_with(folder: Path, real: Path, **scripts: str) -> Path:
    """A client folder whose programs are the real ones, but for ``scripts``: shell that may call ``$real``.

    Asked for its version, a script answers as the real program.
    """
    folder.mkdir()
    for program in real.iterdir():
        (folder / program.name).symlink_to(program)
    for name, script in scripts.items():
        (folder / name).unlink()
        (folder / name).write_text(
            f'#!/bin/sh\nreal={real / name}\n[ "$1" = --version ] && exec "$real" --version\n{script}\n'
        )
        (folder / name).chmod(0o755)
    return folder


class PostgresSubject(Subject):
    """The contract's database on one server."""

    suffix = ".dump"

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._conninfo = postgres.database(sql=";\n".join(SEED))
        self.engine = engine_for(postgres, self._conninfo)
        self.prover = PostgresqlProver(extra_client_folders=(postgres.bin,))

    def transaction(self, statements: Sequence[str]) -> None:
        self._postgres.psql(";\n".join(["BEGIN", *statements, "COMMIT"]), self._conninfo["dbname"])

    def qualified(self, table: str) -> str:
        return f"public.{table}"

    def restored_rows(self, artefact: Artefact) -> Mapping[str, int]:
        return restored_rows(self._postgres, artefact)

    def engine_without_database(self) -> PostgresqlEngine:
        return engine_for(self._postgres, {**self._conninfo, "dbname": "no_such_database"})
