"""What the doctor asks of the host it runs on."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from amanat.ports.run import Control

if TYPE_CHECKING:  # most commands do not examine
    from amanat.domain.doctor.host import Listening, Standing, Unit


class Host(Protocol):
    """It looks, and changes nothing."""

    def standing(self, path: Path) -> "Standing | None":
        """Of what a path leads to; None: there is nothing, or we may not look."""

    def listening(self, address: tuple[str, int]) -> "Listening":
        """Who serves there, or whether the address can be had."""

    def unit(self, control: Control) -> "Unit | None":
        """The service of this daemon; None where no systemd knows one."""
