"""What the register keeps of databases that stand beside live ones."""

from typing import Protocol

from amanat.domain.aside import Aside, Swap
from amanat.domain.entry import Entry


class Asides(Protocol):
    """A part of the register, and kept as that is: each method is one transaction."""

    def all(self, database: str | None = None) -> list[Aside]:
        """The last that was told of first, whatever the clock said."""

    def add(self, aside: Aside, entry: Entry) -> None: ...
    def remove(self, aside: Aside, entry: Entry) -> None:
        """It stands there no longer."""

    def hold(self, aside: Aside, reason: str, entry: Entry) -> None:
        """``reason`` empty: no longer. NotFoundError if it is gone."""

    def begin_swap(self, swap: Swap) -> None:
        """Told before anything is done, so that a crash leaves nothing unknown."""

    def open_swaps(self) -> list[Swap]: ...
    def finish_swap(self, swap: Swap, outgoing: Aside | None, entry: Entry | None) -> None:
        """Done: the incoming one stands aside no longer, ``outgoing`` does. None: it was taken back.

        ``entry`` None: who began it tells of it himself.
        """
