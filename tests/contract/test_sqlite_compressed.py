"""A compressed snapshot is one that stock zstd makes a database of, and that is proven without leaving a file."""

import dataclasses
import hashlib
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing

import pytest

from amanat.domain.errors import ConfigurationError, ProofError, SpaceError
from amanat.domain.model import Scope
from amanat.domain.policy import CodecName, Compression, SqliteSource
from amanat.engines.sqlite import SqliteEngine, SqliteProver, demo
from amanat.host.control import RunControl
from amanat.ports.engine import Order
from tests.support.sqlite_databases import BALANCE, build, build_bank, rows, take

ZSTD = Compression(codec=CodecName.ZSTD)
SCRIPT = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO notes SELECT i, 'Tələblərə tam cavab verir ' || hex(randomblob(250)) FROM n;
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """About 11 MB: as many frames."""
    return build(tmp_path_factory.mktemp("source") / "a.sqlite", SCRIPT)


@pytest.fixture
def packed(source, tmp_path):
    return take(source, tmp_path / "run", compression=ZSTD)


def prove(artefact, **facts):
    known = dataclasses.replace(artefact.facts, **facts)
    SqliteProver().prove_readable(artefact.path, known, Scope(), RunControl())


def test_stock_zstd_makes_the_very_database_of_it(source, packed, tmp_path):
    assert packed.path.name == "artefact.sqlite.zst"
    assert packed.path.stat().st_mode & 0o777 == 0o600
    subprocess.run(["zstd", "-q", "-d", packed.path, "-o", tmp_path / "plain.sqlite"], check=True)
    assert (tmp_path / "plain.sqlite").read_bytes() == source.read_bytes()
    assert packed.path.stat().st_size < source.stat().st_size * 0.7
    assert packed.read_back
    assert packed.sha256 == hashlib.sha256(packed.path.read_bytes()).hexdigest()


def test_any_frame_can_be_read_by_itself(source, packed, tmp_path):
    """With the table alone, as the format says; the reader here is not ours."""
    content, plain = packed.path.read_bytes(), source.read_bytes()
    count, descriptor, magic = struct.unpack("<IBI", content[-9:])
    assert (descriptor, magic) == (0, 0x8F92EAB1)
    table = content[-9 - 8 * count : -9]
    assert struct.unpack("<II", content[-17 - 8 * count : -9 - 8 * count]) == (0x184D2A5E, 8 * count + 9)
    sizes = list(struct.iter_unpack("<II", table))
    assert count == len(sizes) == -(-len(plain) // (1 << 20))
    at, start = sizes[0][0], sizes[0][1]
    (tmp_path / "frame.zst").write_bytes(content[at : at + sizes[1][0]])
    done = subprocess.run(["zstd", "-q", "-d", "-c", tmp_path / "frame.zst"], check=True, capture_output=True)
    assert done.stdout == plain[start : start + sizes[1][1]]


def test_it_is_off_unless_it_is_asked_for(source, tmp_path):
    for codec in (CodecName.AUTO, CodecName.NONE):
        assert take(source, tmp_path / codec, compression=Compression(codec=codec)).path.suffix == ".sqlite"


def test_gzip_is_refused_before_anything_is_written(source, tmp_path):
    order = Order(folder=tmp_path, scratch=tmp_path, compression=Compression(codec=CodecName.GZIP))
    with pytest.raises(ConfigurationError, match="gzip") as failure:
        SqliteEngine(SqliteSource(path=source)).take(order, RunControl())
    assert "zstd" in failure.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_higher_level_is_smaller(tmp_path):
    demo.create(path := tmp_path / "demo.sqlite")
    sizes = [
        take(path, tmp_path / str(level), compression=Compression(codec=CodecName.ZSTD, level=level)).path.stat()
        for level in (1, 9)
    ]
    assert sizes[1].st_size < sizes[0].st_size


def test_a_part_is_compressed_too(tmp_path):
    path = build_bank(tmp_path / "bank.sqlite", "wal")
    artefact = take(path, tmp_path / "run", Scope(tables=("accounts",)), compression=ZSTD)
    subprocess.run(["zstd", "-q", "-d", artefact.path, "-o", tmp_path / "plain.sqlite"], check=True)
    assert rows(tmp_path / "plain.sqlite", "SELECT DISTINCT balance FROM accounts") == [(BALANCE,)]
    assert rows(tmp_path / "plain.sqlite", "SELECT name FROM sqlite_schema") == [("accounts",)]


def test_the_space_it_needs_meanwhile_is_told(tmp_path):
    engine = SqliteEngine(SqliteSource(path=tmp_path))
    part, whole = Scope(tables=("a",)), Scope()
    orders = [
        Order(folder=tmp_path, scratch=tmp_path, scope=scope, compression=how)
        for how in (Compression(), ZSTD)
        for scope in (whole, part)
    ]
    assert [engine.staging_bytes(order, 100, 30) for order in orders] == [0, 100, 100, 200]


# Proof


def test_proving_leaves_no_file_and_no_descriptor(packed):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    prove(packed)
    assert [path.name for path in packed.path.parent.iterdir()] == ["artefact.sqlite.zst"]
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


PROVING = """
import dataclasses, os, signal, sys
from pathlib import Path
from amanat.domain.model import Facts, Scope
from amanat.engines.sqlite import SqliteProver, kernel, packing, proof
from amanat.host.control import RunControl
point, written, examine, write = sys.argv[2], [], proof._examine, kernel.write_at
def killed(*_): os.kill(os.getpid(), signal.SIGKILL)
def counting(*said):
    written.append(said)
    if point == "filling" and len(written) == 2:
        killed()
    write(*said)
kernel.write_at = counting
if point == "examining":
    proof._examine = killed
if point == "opening":
    packing.connect = killed
SqliteProver().prove_readable(Path(sys.argv[1]), Facts(engine_version="", source_bytes=0, tables=()), Scope(), RunControl())
"""


@pytest.mark.parametrize(("point", "left"), [("filling", 1), ("examining", 1), ("opening", 2)])
def test_a_kill_while_proving_leaves_nothing_that_stays(packed, point, left):
    """Only in the moment between making the file and SQLite's opening it has it a name; the next proof tidies."""
    done = subprocess.run([sys.executable, "-c", PROVING, packed.path, point], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(packed.path.parent.iterdir())) == left
    prove(packed)
    assert list(packed.path.parent.iterdir()) == [packed.path]


def test_a_full_disk_is_no_damage(packed, monkeypatch):
    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(SpaceError):
        prove(packed)
    assert list(packed.path.parent.iterdir()) == [packed.path]


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.999])
def test_one_flipped_bit_is_found(packed, share):
    with packed.path.open("r+b") as file:
        file.seek(int(packed.path.stat().st_size * share))
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))
    with pytest.raises(ProofError, match=r"artefact\.sqlite\.zst"):
        prove(packed)


@pytest.mark.parametrize("size", [0, 1, 8, 9, 17, 33, -1, -9, -30])
def test_what_is_cut_short_is_refused(packed, size):
    content = packed.path.read_bytes()
    packed.path.write_bytes(content[: size if size >= 0 else len(content) + size])
    with pytest.raises(ProofError, match=r"artefact\.sqlite\.zst"):
        prove(packed)


def test_a_table_that_promises_too_much_is_refused_before_memory_is_asked_for(packed):
    content = bytearray(packed.path.read_bytes())
    content[-13:-9] = struct.pack("<I", 0xFFFFFFFF)
    packed.path.write_bytes(content)
    with pytest.raises(ProofError, match="claims 4294967295 bytes"):
        prove(packed)


def test_pages_that_are_missing_are_found(packed):
    extra = {**packed.facts.extra, "page_count": packed.facts.extra["page_count"] + 1}
    with pytest.raises(ProofError, match="pages, at snapshot time there were"):
        prove(packed, extra=extra)


def test_memory_stays_flat_whatever_the_size(tmp_path):
    plain, target = tmp_path / "plain", tmp_path / "packed"
    with plain.open("wb") as file:
        file.truncate(300 << 20)
    script = """
import os, sys
from amanat.engines.sqlite import seekable
source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
seekable.pack(source, target, 1, lambda read, written: None)
assert sum(len(data) for _, data in seekable.unpacked(target, seekable.frames(target))) == 300 << 20
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, plain, target], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) < 60 * 1024  # KiB


# Restoring by hand


def test_the_recipe_restores_over_a_database_in_use_yesterday(packed, tmp_path):
    name = "-ad ilə 'dırnaq' %41?#.sqlite.zst"
    kept, target = tmp_path / "store" / name, build(tmp_path / "app.sqlite", "CREATE TABLE old (a);")
    kept.parent.mkdir()
    packed.path.rename(kept)
    target.chmod(0o640)
    target.with_name("app.sqlite-wal").write_bytes(b"of yesterday")
    kept.with_name(f"{name}.manifest.json").write_text(f'{{"sha256": "{packed.sha256}"}}')
    lines = [f"target='{target}'", *SqliteProver().recipe(name, packed.facts)[1:]]
    done = subprocess.run(
        ["sh", "-ec", "\n".join(lines)], cwd=kept.parent, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "ok"
    assert sorted(path.name for path in kept.parent.iterdir()) == sorted([name, f"{name}.manifest.json"])
    with closing(sqlite3.connect(target)) as restored:
        assert restored.execute("SELECT count(*) FROM notes").fetchone() == (20_000,)
    assert target.stat().st_mode & 0o777 == 0o640
    assert {path.name.split(".before")[0] for path in tmp_path.glob("app.sqlite*")} == {"app.sqlite"}


@pytest.mark.parametrize("way", ["without zstd", "damaged"])
def test_a_recipe_that_cannot_unpack_leaves_the_database_where_it_is(packed, tmp_path, way):
    """Also when its lines are run without looking at any: sqlite3 would find a file that is missing well."""
    target = build(tmp_path / "app.sqlite", "CREATE TABLE old (a);")
    before = target.read_bytes()
    target.with_name("app.sqlite.new").write_bytes(before)
    env = dict(os.environ)
    if way == "damaged":
        packed.path.write_bytes(packed.path.read_bytes()[:-5000])
    else:
        (tools := tmp_path / "tools").mkdir()
        for tool in ("sqlite3", "sha256sum", "cut", "grep", "date", "mv", "rm", "chown", "chmod", "sh"):
            (tools / tool).symlink_to(str(shutil.which(tool)))
        env["PATH"] = str(tools)
    lines = [f"target='{target}'", *SqliteProver().recipe(packed.path.name, packed.facts)[1:]]
    done = subprocess.run(
        ["sh", "-c", "\n".join(lines)], cwd=packed.path.parent, env=env, capture_output=True, check=False
    )
    assert b"ok" not in done.stdout.split()
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("app*")) == ["app.sqlite"]
