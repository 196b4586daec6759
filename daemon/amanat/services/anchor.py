"""The register's head, told where whoever rewrites the register cannot reach."""

from amanat.domain.chain import Head
from amanat.domain.errors import AmanatError
from amanat.domain.events import Event
from amanat.domain.policy import Configuration
from amanat.ports import Ports


def publish(ports: Ports, configuration: Configuration, *, before: Head | None) -> None:
    """Into the log, and to the command of the policy file; nothing if the head is still ``before``.

    What cannot be anchored is told, and harms nothing else.
    """
    try:
        head = ports.register.head()
        if head is None or head == before:
            return
        ports.emit(Event.REGISTER_HEAD, sequence=head.sequence, hash=head.hash)
        if anchor := configuration.anchor:
            environment = {"AMANAT_HEAD_SEQUENCE": str(head.sequence), "AMANAT_HEAD_HASH": head.hash}
            control = ports.controls(timeout=None, label={})
            ports.run_command(
                anchor.command, environment, timeout=anchor.timeout, control=control
            ).require_success()
    except AmanatError as exc:
        ports.emit(Event.ANCHOR_FAILED, reason=exc.message, hint=exc.hint)
