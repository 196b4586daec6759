"""What is synced, read back, compared and hashed is the whole file, at any length and any pace."""

import hashlib
import os
import threading
import zlib
from pathlib import Path

import pytest

from amanat.domain.errors import IntegrityError, InterruptedRunError, StoreError
from amanat.host import sealing
from amanat.host.control import RunControl
from amanat.host.sealing import Sealing

STRETCH = 64 * 1024


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch):
    monkeypatch.setattr(sealing, "_STRETCH", STRETCH)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "file"


@pytest.mark.parametrize("size", [0, 1, STRETCH - 1, STRETCH, STRETCH + 1, 7 * STRETCH, 9 * STRETCH + 77])
def test_the_hash_is_that_of_the_file(file, size):
    content = os.urandom(size)
    file.write_bytes(content)
    with Sealing(file) as sealed:
        found = sealed.seal(RunControl())
    assert (found.sha256, found.crc32) == (hashlib.sha256(content).hexdigest(), zlib.crc32(content))


@pytest.mark.parametrize("pace", [1000, STRETCH, 3 * STRETCH + 5])
def test_it_follows_a_file_that_grows(file, pace):
    content = os.urandom(10 * STRETCH + 3)
    with file.open("wb", buffering=0) as growing, Sealing(file) as sealed:
        for start in range(0, len(content), pace):
            growing.write(content[start : start + pace])
            sealed.advance(growing.tell())
        found = sealed.seal(RunControl())
    assert (found.sha256, found.crc32) == (hashlib.sha256(content).hexdigest(), zlib.crc32(content))


@pytest.mark.parametrize("stretches", [0, 1, 4])
def test_what_is_written_once_more_is_synced_and_read_once_more(file, monkeypatch, stretches):
    """The last sync comes after the front was written anew, and nothing is read back before."""
    order = []
    real_sync, real_advise = os.fdatasync, os.posix_fadvise
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (real_sync(descriptor), order.append("synced")))
    monkeypatch.setattr(os, "posix_fadvise", lambda *of: (real_advise(*of), order.append("read")))
    content = os.urandom(stretches * STRETCH + 9)
    with file.open("w+b", buffering=0) as growing, Sealing(file, revised=True) as sealed:
        growing.write(bytes(9) + content[9:])
        sealed.follow()
        while stretches and "synced" not in order:
            pass
        growing.seek(0)
        growing.write(content[:9])
        order.append("revised")
        found = sealed.seal(RunControl())
    assert found.sha256 == hashlib.sha256(content).hexdigest()
    after = order[order.index("revised") + 1 :]
    assert "read" not in order[: order.index("revised")] and after[0] == "synced"


def test_no_byte_is_read_back_before_a_sync_that_came_after_its_writing(file, monkeypatch):
    content, order = os.urandom(3 * STRETCH), []
    file.write_bytes(content)
    real_sync, real_advise = os.fdatasync, os.posix_fadvise

    def sync(descriptor):
        real_sync(descriptor)
        order.append("synced")

    def advise(descriptor, start, length, advice):
        order.append(("forget" if advice == os.POSIX_FADV_DONTNEED else "ask", start, length))
        real_advise(descriptor, start, length, advice)

    monkeypatch.setattr(os, "fdatasync", sync)
    monkeypatch.setattr(os, "posix_fadvise", advise)
    with Sealing(file) as sealed:
        sealed.seal(RunControl())
    assert order[0] == "synced"
    asked = [step for step in order if step != "synced"]
    assert asked == [(what, n * STRETCH, STRETCH) for n in range(3) for what in ("forget", "ask")]


@pytest.mark.parametrize("at", [0, STRETCH - 1, STRETCH, 5 * STRETCH + 7])
def test_one_bit_that_the_disk_changed_is_seen(file, monkeypatch, at):
    """As if the device had it: the file changes once the cache was told to forget it."""
    file.write_bytes(bytes(5 * STRETCH + 8))
    real_advise = os.posix_fadvise

    def advise(descriptor, start, length, advice):
        real_advise(descriptor, start, length, advice)
        if advice == os.POSIX_FADV_DONTNEED and start <= at < start + length:
            with file.open("r+b") as disk:
                disk.seek(at)
                disk.write(b"\x01")

    monkeypatch.setattr(os, "posix_fadvise", advise)
    with pytest.raises(IntegrityError, match="file is not what was written"), Sealing(file) as sealed:
        sealed.seal(RunControl())


def test_a_disk_that_fails_is_an_error_of_the_store_and_ends_all_threads(file, monkeypatch):
    def fail(_descriptor):
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(os, "fdatasync", fail)
    file.write_bytes(bytes(5 * STRETCH))
    before = threading.active_count()
    with (
        pytest.raises(StoreError, match="file cannot be written to the disk: Input/output error"),
        Sealing(file) as s,
    ):
        s.seal(RunControl())
    assert threading.active_count() == before


def test_a_file_that_became_shorter_is_named(file):
    file.write_bytes(bytes(STRETCH))
    with pytest.raises(StoreError, match="file ends after 65536 bytes"), Sealing(file) as sealed:
        sealed.advance(3 * STRETCH)
        sealed.seal(RunControl())


def test_a_stop_ends_it_at_once(file):
    file.write_bytes(bytes(STRETCH))
    stop, before = threading.Event(), threading.active_count()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    stop.set()
    with pytest.raises(InterruptedRunError), Sealing(file) as sealed:
        sealed.advance(STRETCH - 1)
        sealed.seal(RunControl(stop=stop))
    assert threading.active_count() == before
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_one_that_is_not_needed_after_all_leaves_nothing(file):
    before = threading.active_count()
    with Sealing(file):
        assert threading.active_count() == before
    assert not file.exists()
