"""A table on a terminal, drawn as its rows come: as wide as the first page asks, what is longer is folded."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest

_PAGE = 200
_GAP = 2
_NARROWEST = 8
_NEVER_FOLDED = {"ID", "TAKEN", "SIZE", "STARTED", "TOOK", "SNAPSHOT"}  # to be copied or compared


def drawn(head: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str]) -> Iterator[str]:
    """Lines with their ends."""
    rest = iter(rows)
    page = [head, *islice(rest, _PAGE)]
    widths = _fitted(head, page)
    for row in chain(page, rest):
        folded = [_fold(cell, width) for cell, width in zip(row, widths, strict=True)]
        for line in zip_longest(*folded, fillvalue=""):
            cells = zip(head, line, widths, strict=True)
            padded = (_pad(cell, width, right=title in right) for title, cell, width in cells)
            yield (" " * _GAP).join(padded).rstrip() + "\n"


def _fitted(head: Sequence[str], page: Sequence[Sequence[str]]) -> list[int]:
    """What the widest has too much is taken from it, until all fit or none can give more."""
    widths = [max(map(_length, column)) for column in zip(*page, strict=True)]
    foldable = [number for number, title in enumerate(head) if title not in _NEVER_FOLDED]
    excess = sum(widths) + _GAP * (len(head) - 1) - shutil.get_terminal_size().columns
    for _ in range(excess):
        widest = max(foldable, key=widths.__getitem__)
        widths[widest] = max(widths[widest] - 1, _NARROWEST)
    return widths


def _length(text: str) -> int:
    """In places of the terminal: some letters take two."""
    from rich.cells import cell_len

    return cell_len(text)


def _fold(cell: str, width: int) -> list[str]:
    """Between words where it can be."""
    if _length(cell) <= width:
        return [cell]
    from rich.console import Console
    from rich.text import Text

    lines = Text(cell).wrap(Console(width=width), width, overflow="fold")
    return [line.plain.rstrip() for line in lines]


def _pad(cell: str, width: int, *, right: bool) -> str:
    space = " " * (width - _length(cell))
    return f"{space}{cell}" if right else f"{cell}{space}"
