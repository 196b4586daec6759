"""Which compression an archive gets: what the policy asks for, as far as those who must read it can."""

from collections.abc import Iterable
from pathlib import Path

from amanat import archive
from amanat.archive import Algorithm, Codec
from amanat.domain.errors import ConfigurationError
from amanat.domain.policy import CodecName, Compression
from amanat.engines.postgresql.clients import ENVIRONMENT, Client
from amanat.host import process
from amanat.ports.run import Control

FIRST_WITH_ZSTD = 16
# The fastest whose archives are at most 1.15 times as large as those of pg_dump's own compression
_LEVEL = {Algorithm.GZIP: 1, Algorithm.ZSTD: 1, Algorithm.NONE: 0}


def choose(
    compression: Compression, client: Client, readers: Iterable[Client], scratch: Path, control: Control
) -> Codec:
    """``readers``: the host's clients that read what ``client`` writes. ConfigurationError if it cannot be had."""
    algorithm = _algorithm(compression.codec, client, readers, scratch, control)
    return Codec(algorithm=algorithm, level=compression.level or _LEVEL[algorithm])


def _algorithm(
    name: CodecName, client: Client, readers: Iterable[Client], scratch: Path, control: Control
) -> Algorithm:
    if name not in (CodecName.AUTO, CodecName.ZSTD):
        return Algorithm[name.upper()]
    lacking = lacking_zstd(client, readers, scratch, control)
    if not lacking:
        return Algorithm.ZSTD
    if name is CodecName.AUTO:
        return Algorithm.GZIP
    raise ConfigurationError(f"compression with zstd: {lacking}", hint="say codec: auto or gzip in the policy")


def lacking_zstd(client: Client, readers: Iterable[Client], scratch: Path, control: Control) -> str:
    """Why zstd will not do; empty if it will."""
    if client.major < FIRST_WITH_ZSTD:
        return f"archives of pg_dump {client.version} have none; those of {FIRST_WITH_ZSTD} and later do"
    sample = scratch / "zstd.dump"
    sample.write_bytes(archive.empty(Algorithm.ZSTD))
    for reader in readers:
        tool = reader.tool("pg_restore")
        asked = process.run([tool, "--list", sample], control=control, env=ENVIRONMENT)
        if asked.returncode or asked.stderr.strip():  # it warns, and ends with 0
            return f"{tool} was built without it"
    return ""
