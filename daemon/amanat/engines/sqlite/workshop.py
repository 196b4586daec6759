"""Private folders beside a file that is to be made, so that what a kill leaves half done never has its name."""

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from amanat.host import files

RUN = "([0-9a-f]{12})"


@contextlib.contextmanager
def opened(target: Path, run: str) -> Iterator[Path]:
    """A private folder beside ``target``, and so on its file system; gone at the end with all that is in it.

    OSError where none can be made.
    """
    folder = target.with_name(f"{target.name}.part-{run}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def sweep(target: Path, is_dead: Callable[[str], bool]) -> None:
    """Those that dead runs left."""
    ours = re.compile(rf"{re.escape(target.name)}\.part-{RUN}")
    with files.explained(f"{target.parent} cannot be tidied"):
        for item in list(target.parent.iterdir()):
            if (found := ours.fullmatch(item.name)) and is_dead(found[1]):
                shutil.rmtree(item)
