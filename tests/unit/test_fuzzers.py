"""The fuzzers find what is wrong, and find nothing in what is there; ``make fuzz`` runs them for longer."""

import os
import signal
import time

import pytest

from tests.fuzz import archives, merges, sqlite_sources
from tests.fuzz.archive_mutations import seed
from tests.fuzz.harness import Fuzzer, Target
from tests.support.archive_streams import DATA, TABLE, front, small, table

FAULTS = {
    "crash": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "exception": lambda: 1 // 0,
    "hang": lambda: time.sleep(60),
    "memory": lambda: bytearray(4 * 2**30),
    "leak": lambda: b"x" * (64 * 2**20),
}


def fuzzed(target, folder, cases):
    return Fuzzer(target, seed=7, findings=folder, say=lambda _: None).run(seconds=60, cases=cases)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_kept(tmp_path, fault):
    def examine(data):
        if data == b"3":
            FAULTS[fault]()
        return "fine"

    target = Target(
        make=lambda random: str(random.randrange(5)).encode(), examine=examine, batch=50, seconds=0.3, mebibytes=32
    )
    tally = fuzzed(target, tmp_path, 20)
    assert tally.cases == 20 and tally.findings >= 1
    inputs = list(tmp_path.glob("*.input"))
    assert inputs and (fault == "leak" or {path.read_bytes() for path in inputs} == {b"3"})


CASES = {"archive-reader": 300, "archive-merge": 300, "archive-roundtrip": 80, "sqlite-source": 200}
TARGETS = {
    "archive-reader": lambda: archives.damaged_archives(
        [seed(small(version)) for version in (14, 15, 16)], None, 0
    ),
    "archive-merge": lambda: merges.damaged_pairs([(seed(front(TABLE)), seed(front(DATA) + table([b"1\n"])))]),
    "archive-roundtrip": archives.random_archives,
    "sqlite-source": sqlite_sources.damaged_sources,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_few_cases_find_nothing(tmp_path, name):
    tally = fuzzed(TARGETS[name](), tmp_path, CASES[name])
    assert tally.findings == 0, [path.read_text() for path in tmp_path.glob("*.txt")]
    assert sum(tally.outcomes.values()) == CASES[name]
    assert any(word.startswith(("accepted", "proven")) for word in tally.outcomes)


@pytest.mark.parametrize("broken", ["lost rows", "wrong digest"])
def test_the_oracle_sees_a_codec_that_errs(monkeypatch, broken):
    """So that ``accepted`` means something."""
    honest = archives.rewrite

    def rewrite(source, target, **options):
        archive = honest(source, target, **options)
        if broken == "lost rows":
            target.getbuffer()[-30] ^= 1
        else:
            object.__setattr__(archive.tables[0], "rows", 99)
        return archive

    monkeypatch.setattr(archives, "rewrite", rewrite)
    with pytest.raises(AssertionError):
        archives.Examiner(None, 0).examine(small())
