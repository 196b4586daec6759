"""``python -m tests.fuzz TARGET``: hours of cases, each made from the seed and its number; ``make fuzz``.

Exit status 1 when something was found. A finding is examined again by ``--replay FILE``.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import archives, corpus, merges, sqlite_sources
from tests.fuzz.harness import Fuzzer, Target

_SHARE_OF_PG_RESTORE = 0.02
_WORK = Path(__file__).parents[2] / ".cache" / "fuzz"


def damaged_archives(work: Path) -> Target:
    seeds = corpus.archives(work / "corpus-archives")
    return archives.damaged_archives(seeds, corpus.pg_restore(), _SHARE_OF_PG_RESTORE)


TARGETS: dict[str, Callable[[Path], Target]] = {
    "archive-reader": damaged_archives,
    "archive-merge": lambda _: merges.damaged_pairs(corpus.pairs()),
    "archive-roundtrip": lambda _: archives.random_archives(),
    "sqlite-source": lambda _: sqlite_sources.damaged_sources(),
}


def main() -> int:
    options = _options()
    target = TARGETS[options.target](options.work)
    if options.replay:
        print(target.examine(options.replay.read_bytes()))
        return 0
    fuzzer = Fuzzer(target, seed=options.seed, findings=options.work / f"findings-{options.target}", say=_say)
    _say(f"{options.target}: seed {options.seed}, {options.minutes} minutes")
    return 1 if fuzzer.run(seconds=options.minutes * 60, cases=options.cases).findings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz one part of Amanat.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--cases", type=int, help="at most so many")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--work", type=Path, default=_WORK, help="where findings and corpora lie")
    parser.add_argument("--replay", type=Path, help="a finding's .input file")
    return parser.parse_args()


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
