"""The archive reader, guided by the branches that an input reaches, by atheris (which is not among our requirements).

``python -m tests.fuzz.guided CORPUS [libFuzzer's options]``. Half of the mutations are ours, which know the format.
"""

import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["amanat.archive"]):
    from tests.fuzz import archive_mutations, archives

from tests.support.archive_judge import NotAnArchiveError

_LONGEST = 64 * 1024
_examiner = archives.Examiner(None, 0)


def _examine(data: bytes) -> None:
    _examiner.examine(data)


def _mutated(data: bytes, longest: int, seed: int) -> bytes:
    random = Random(seed)
    try:
        known = archive_mutations.seed(data) if random.random() < 0.5 else None
    except NotAnArchiveError:
        known = None
    if known is None:
        return bytes(atheris.Mutate(data, longest))
    return archive_mutations.damaged(random, [known])[:longest]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    arguments = [sys.argv[0], f"-max_len={_LONGEST}", "-timeout=20", "-rss_limit_mb=2048", *sys.argv[1:]]
    atheris.Setup(arguments, _examine, custom_mutator=_mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
