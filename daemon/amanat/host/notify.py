"""Tells systemd how the service is (sd_notify(3), sd_watchdog_enabled(3)); silent outside of systemd."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from amanat.domain.errors import AmanatError
from amanat.host import clock


@dataclass(frozen=True, kw_only=True)
class Notifier:
    """``address``: the notify socket; None: nobody listens, and every message is dropped.

    ``watchdog_interval``: seconds between two calls of ``watchdog``, half of what systemd allows; None: it
    does not watch. Every method raises AmanatError when there is a socket but it cannot be reached.
    """

    address: str | None = None
    watchdog_interval: float | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        return cls(
            address=environment.get("NOTIFY_SOCKET") or None,
            watchdog_interval=_watchdog_interval(environment),
        )

    def ready(self, status: str) -> None:
        """Started, or done with reloading."""
        self._send(READY="1", STATUS=status)

    def reloading(self) -> None:
        """``ready`` must follow. Type=notify-reload matches the time with its signal (systemd.service(5))."""
        self._send(RELOADING="1", MONOTONIC_USEC=str(int(clock.monotonic() * 1_000_000)))

    def stopping(self) -> None:
        self._send(STOPPING="1")

    def watchdog(self) -> None:
        """A sign of life; only from the loop whose stall must be noticed."""
        self._send(WATCHDOG="1")

    def status(self, text: str) -> None:
        self._send(STATUS=text)

    def _send(self, **fields: str) -> None:
        if self.address is None:
            return
        # a newline ends a field: no text from outside may add one
        message = "\n".join(f"{key}={' '.join(value.split())}" for key, value in fields.items())
        try:
            _send_datagram(self.address, message.encode())
        except BlockingIOError:
            return  # systemd does not read, and the work must not wait for it
        except OSError as exc:
            raise AmanatError(
                f"systemd's notify socket {self.address} cannot be reached: {exc.strerror}",
                hint="start the daemon through its unit, or unset NOTIFY_SOCKET",
            ) from exc


def _send_datagram(address: str, message: bytes) -> None:
    # "@name" is how systemd writes an abstract socket, whose real name begins with NUL (unix(7))
    target = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.sendto(message, socket.MSG_DONTWAIT, target)


def _watchdog_interval(environment: Mapping[str, str]) -> float | None:
    limit, pid = environment.get("WATCHDOG_USEC"), environment.get("WATCHDOG_PID")
    if not limit or (pid and pid != str(os.getpid())):
        return None
    return int(limit) / 2 / 1_000_000
