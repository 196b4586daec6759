"""What is told of a SQLite database before it is copied: file systems, rights, compression, artefacts."""

import pytest

from amanat.domain.doctor import Level, Name
from amanat.domain.errors import ProofError
from amanat.domain.policy import CodecName, Compression, SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver, way
from amanat.host.control import RunControl
from tests.contract.engine_contract import make_order
from tests.support.sqlite_databases import build, take

SCRIPT = "CREATE TABLE users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1);"


@pytest.fixture
def path(tmp_path):
    return build(tmp_path / "a.sqlite", SCRIPT)


def examined(path, base, name, **order):
    checks = SqliteEngine(SqliteSource(path=path)).examine(make_order(base, **order), RunControl())
    (found,) = (check for check in checks if check.name is name)
    return found


def test_a_file_system_that_is_not_known_to_be_local(path, tmp_path, monkeypatch):
    monkeypatch.setattr(way, "_LOCAL_FILE_SYSTEMS", set())
    found = examined(path, tmp_path, Name.FILE_SYSTEM)
    assert (found.level, "type 0x" in found.found) == (Level.WARN, True)
    assert "host that has the disk" in found.remedy


def test_a_codec_that_does_not_fit(path, tmp_path):
    found = examined(path, tmp_path, Name.COMPRESSION, compression=Compression(codec=CodecName.GZIP))
    assert found.level is Level.FAIL


def test_a_compressed_artefact_is_opened_unless_it_is_cut(path, tmp_path):
    artefact = take(path, tmp_path / "base", compression=Compression(codec=CodecName.ZSTD)).path
    assert "zstd" in SqliteProver().examine(artefact, RunControl())
    artefact.write_bytes(artefact.read_bytes()[:-5])
    with pytest.raises(ProofError, match="cannot be opened"):
        SqliteProver().examine(artefact, RunControl())
