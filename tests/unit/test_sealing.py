"""What is hashed as written, synced and read back is the whole file, at any length and any pace."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from amanat.domain.errors import InterruptedRunError, StoreError
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
def test_both_hashes_are_those_of_the_file(file, size):
    content = os.urandom(size)
    file.write_bytes(content)
    with Sealing(file) as sealed:
        seal = sealed.seal(RunControl())
    assert seal.sha256 == seal.read_back == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("pace", [1000, STRETCH, 3 * STRETCH + 5])
def test_it_follows_a_file_that_grows(file, pace):
    content = os.urandom(10 * STRETCH + 3)
    with file.open("wb", buffering=0) as growing, Sealing(file) as sealed:
        for start in range(0, len(content), pace):
            growing.write(content[start : start + pace])
            sealed.advance(growing.tell())
        seal = sealed.seal(RunControl())
    assert seal.sha256 == seal.read_back == hashlib.sha256(content).hexdigest()


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


def test_what_the_disk_changed_is_seen(file, monkeypatch):
    file.write_bytes(bytes(2 * STRETCH))
    real_advise = os.posix_fadvise

    def advise(descriptor, start, length, advice):
        real_advise(descriptor, start, length, advice)
        if advice == os.POSIX_FADV_DONTNEED:
            with file.open("r+b") as disk:
                disk.seek(start)
                disk.write(b"\x01")

    monkeypatch.setattr(os, "posix_fadvise", advise)
    with Sealing(file) as sealed:
        seal = sealed.seal(RunControl())
    assert seal.sha256 == hashlib.sha256(bytes(2 * STRETCH)).hexdigest() != seal.read_back


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
