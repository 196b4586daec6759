"""The server that a database is made on, and how it is reached."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from amanat.domain.errors import SourceError
from amanat.engines.postgresql.connection import Session, Target, session, target
from amanat.ports.engine import Place
from amanat.ports.run import Control

_MAINTENANCE = ("postgres", "template1")


@dataclass(frozen=True, kw_only=True)
class Server:
    """``is_own``: the one that the original is on, which has its tablespaces. ``is_ours``: made for the drill, so
    that whatever is missing there may be made too.
    """

    parameters: Mapping[str, str] = field(repr=False)
    password: str | None = field(default=None, repr=False)
    is_own: bool = False
    is_ours: bool = False

    @property
    def called(self) -> str:
        return "the server" if self.is_own else "the drill server"

    def target(self, place: Place, **more: str) -> Target:
        return target({**self.parameters, **more}, self.password, place.scratch)

    @contextlib.contextmanager
    def maintenance(self, place: Place, control: Control) -> Iterator[Session]:
        """In a database that nobody renames or drops; where the role gets into none of those, in the original."""
        with contextlib.ExitStack() as stack:
            yield self._maintenance(place, control, stack)

    def _maintenance(self, place: Place, control: Control, stack: contextlib.ExitStack) -> Session:
        for name in _MAINTENANCE:
            try:
                return stack.enter_context(session(self.target(place, dbname=name), control))
            except SourceError as exc:  # it is not there, or the role may not connect to it
                if exc.transient:
                    raise
        return stack.enter_context(session(self.target(place), control))
