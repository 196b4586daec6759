"""Proves an archive readable: decoded from end to end, and holding exactly the tables that its facts name."""

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from amanat.domain.errors import AmanatError, ProofError, ToolError
from amanat.domain.model import EngineName, Facts, Scope
from amanat.engines.postgresql.archive import Contents, archive_version, contents
from amanat.engines.postgresql.clients import ENVIRONMENT, Client, Places, newest_client
from amanat.engines.postgresql.dumping.dump import GLOBALS_SUFFIX, quoted
from amanat.engines.postgresql.restoring.passes import Pass, passes, schemas
from amanat.host import process
from amanat.ports.run import Control

_SHOWN_CHARACTERS = 600


class PostgresqlProver:
    """Fulfils ``ports.Prover``; needs pg_restore, but no server."""

    name = EngineName.POSTGRESQL

    def __init__(self, client: Path | None = None, extra_client_folders: tuple[Path, ...] = ()) -> None:
        self._places = Places(override=client, extra=extra_client_folders)

    def prove_readable(self, artefact: Path, facts: Facts, scope: Scope, control: Control) -> None:  # noqa: ARG002 - the facts name the tables
        version = archive_version(artefact)
        client = newest_client(self._places, control)
        listing = _pg_restore(client, version, artefact, ["--list"], control)
        _compare(artefact, contents(listing), facts)
        _pg_restore(client, version, artefact, ["--file=/dev/null"], control)

    def examine(self, artefact: Path, control: Control) -> str:
        version = archive_version(artefact)
        client = newest_client(self._places, control)
        _pg_restore(client, version, artefact, ["--list"], control)
        return f"pg_restore {client.version} reads its archive version {version}"

    def recipe(self, file_name: str, facts: Facts) -> tuple[str, ...]:
        file, manifest = shlex.quote(file_name), shlex.quote(f"{file_name}.manifest.json")
        has_roles = bool(facts.extra.get("globals"))
        options = "" if has_roles else " --no-owner --no-acl"
        return (
            f"# needs pg_restore {facts.extra.get('pg_dump', facts.engine_version)} or newer",
            "# as root on the server: write `sudo -u postgres` before createdb, psql and pg_restore",
            f'grep "$(sha256sum < {file} | cut -c1-64)" {manifest}  # prints a line if the file is intact',
            *(_restore_roles(file_name) if has_roles else ()),
            "createdb --template=template0 restored",
            *map(_create_schema, schemas(facts)),
            *_restore(f"pg_restore{options}", f"-d restored < {file}", passes(facts)),
        )


def _pg_restore(client: Client, version: str, artefact: Path, options: list[str], control: Control) -> str:
    """Its output. A word on stderr is a failure too: without its zlib it warns, and exits with 0."""
    finished = process.run([client.tool("pg_restore"), *options, artefact], control=control, env=ENVIRONMENT)
    if finished.returncode or finished.stderr.strip():
        raise _unreadable(finished, client, version, artefact)
    return finished.stdout


def _unreadable(finished: process.Finished, client: Client, version: str, artefact: Path) -> AmanatError:
    said = " ".join(finished.stderr.split())[:_SHOWN_CHARACTERS]
    if "unsupported version" in said:
        return ToolError(
            f"{artefact.name} has archive version {version}, which pg_restore {client.version} cannot read",
            hint="install a client as new as the pg_dump that made it",
        )
    if finished.returncode < 0:
        return ToolError(f"pg_restore {finished.how}", hint="see the kernel's log: out of memory?")
    return ProofError(
        f"{artefact.name} does not decode: pg_restore {finished.how}: {said}", hint="take a new snapshot"
    )


def _compare(artefact: Path, there: Contents, facts: Facts) -> None:
    tables = _oids_by_name(facts)
    wanted = set(tables.values())
    data, optional = _oids(facts, "data_oids"), _oids(facts, "extension_data_oids")
    names = {oid: name for name, oid in tables.items()}
    problems = [
        *_named("lacks tables", wanted - there.tables, names),
        *_named("lacks rows of", data - there.data, names),
        *_named("holds unexpected tables", there.tables - wanted, names),
        *_named("holds unexpected rows of", there.data - data - optional, names),
    ]
    if problems:
        raise ProofError(f"{artefact.name} {'; '.join(problems)}", hint="take a new snapshot")


def _named(what: str, oids: Collection[int], names: Mapping[int, str]) -> list[str]:
    listed = ", ".join(names.get(oid, f"OID {oid}") for oid in sorted(oids))
    return [f"{what} {listed}"] if oids else []


def _oids_by_name(facts: Facts) -> dict[str, int]:
    oids = facts.extra.get("table_oids")
    if not isinstance(oids, Mapping) or not oids or not _are_oids(oids.values()):
        raise _no_oids("table_oids")
    return dict(oids)


def _oids(facts: Facts, key: str) -> set[int]:
    oids = facts.extra.get(key, [])
    if not isinstance(oids, list) or not _are_oids(oids):
        raise _no_oids(key)
    return set(oids)


def _are_oids(values: Iterable[object]) -> bool:
    return all(type(value) is int for value in values)


def _no_oids(key: str) -> ProofError:
    return ProofError(
        f"the snapshot's facts hold no OIDs as {key}, so nothing can be compared",
        hint="see whether its manifest was edited",
    )


def _restore_roles(file_name: str) -> tuple[str, ...]:
    file = shlex.quote(f"{file_name}{GLOBALS_SUFFIX}")
    return ("# an error for a role that exists already does no harm", f"psql -X -d postgres < {file}")


def _restore(tool: str, rest: str, runs: Sequence[Pass]) -> tuple[str, ...]:
    lines = tuple(" ".join((tool, *run.options, rest)) for run in runs)
    if len(lines) == 1:
        return lines
    return (
        "# a part of the database: views, constraints and triggers that lead out of it are reported and left out;",
        "# pg_restore then ends with 1. The line that brings the rows must end with 0",
        *lines,
    )


def _create_schema(schema: str) -> str:
    return f"psql -X -d restored -c {shlex.quote(f'CREATE SCHEMA {quoted(schema)}')}"
