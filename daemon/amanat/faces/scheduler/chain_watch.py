"""The daemon's eye on the register: all of it now and then, after each run only what was appended."""

import threading

from amanat.domain.chain import Head
from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.observability.metrics import DaemonState
from amanat.ports import Ports
from amanat.services import audit

_MOST_TOLD = 10


class ChainWatch:
    """Keeps ``state.chain_valid``; what is broken stays so until a look at all of it finds it right again."""

    def __init__(self, ports: Ports, state: DaemonState) -> None:
        self._ports = ports
        self._state = state
        self._head: Head | None = None
        self._one_at_a_time = threading.Lock()

    def look_at_all(self) -> None:
        """It also keeps in mind where the chain ends: from then on, a tail that is cut shows here too."""
        with self._one_at_a_time:
            try:
                found = audit.audit(self._ports, noted=self._head)
            except AmanatError as exc:
                self._ports.emit(Event.RUN_WARNING, warning=f"looking at the register: {exc}")
                return
            broken = [finding for finding in found.findings if finding.kind != audit.LOST]  # snapshot.lost tells
            self._state.chain_valid = not broken
            self._head = self._head if broken else found.head
            for finding in broken[:_MOST_TOLD]:
                self._tell(finding.kind, finding.reason)

    def look_at_the_tail(self) -> None:
        with self._one_at_a_time:
            if not self._state.chain_valid:
                return
            try:
                walk = audit.tail(self._ports, self._head)
            except AmanatError as exc:
                self._ports.emit(Event.RUN_WARNING, warning=f"looking at the register: {exc}")
                return
            self._head = walk.head
            if walk.broken:
                self._state.chain_valid = False
                self._tell(walk.broken.kind, walk.broken.reason)

    def _tell(self, kind: str, reason: str) -> None:
        hint = "`amanat register verify` tells all of it; keep a copy of the state folder before anything is done"
        self._ports.emit(Event.REGISTER_BROKEN, kind=kind, reason=reason, hint=hint)
