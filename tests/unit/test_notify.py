"""The systemd notify client, against a real datagram socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from amanat.domain.errors import AmanatError
from amanat.host.notify import Notifier


def listen(name: str) -> socket.socket:
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(name)
    receiver.settimeout(5)
    return receiver


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with listen(str(tmp_path / "notify")) as opened:
        yield opened


def notifier(receiver: socket.socket) -> Notifier:
    return Notifier.from_environment({"NOTIFY_SOCKET": receiver.getsockname()})


def test_whoever_does_not_read_holds_up_nothing(receiver: socket.socket) -> None:
    """The scheduler's own loop gives the signs of life; a socket keeps a few unread ones."""
    client = notifier(receiver)
    for _ in range(1000):
        client.watchdog()
    assert receiver.recv(4096) == b"WATCHDOG=1"


def test_each_state_arrives_as_one_datagram(receiver: socket.socket) -> None:
    client = notifier(receiver)
    client.ready("3 policies")
    client.stopping()
    client.watchdog()
    client.status("waiting")
    assert [receiver.recv(4096) for _ in range(4)] == [
        b"READY=1\nSTATUS=3 policies",
        b"STOPPING=1",
        b"WATCHDOG=1",
        b"STATUS=waiting",
    ]


def test_reloading_carries_the_monotonic_time(receiver: socket.socket) -> None:
    before = time.monotonic()
    notifier(receiver).reloading()
    state, stamp = receiver.recv(4096).decode().split("\n")
    assert state == "RELOADING=1"
    key, microseconds = stamp.split("=")
    assert key == "MONOTONIC_USEC"
    # truncated to whole microseconds
    assert before - 0.000001 <= int(microseconds) / 1_000_000 <= time.monotonic()


def test_a_status_cannot_smuggle_another_field(receiver: socket.socket) -> None:
    notifier(receiver).status("failed: line one\nREADY=1\r\n\tline two")
    assert receiver.recv(4096) == b"STATUS=failed: line one READY=1 line two"


def test_abstract_socket() -> None:
    name = f"amanat-test-{os.getpid()}"
    with listen(f"\0{name}") as receiver:
        Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).watchdog()
        assert receiver.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}])
def test_outside_of_systemd_nothing_is_sent(environment: dict[str, str]) -> None:
    client = Notifier.from_environment(environment)
    client.ready("started")
    client.reloading()
    client.stopping()
    assert client == Notifier(address=None, watchdog_interval=None)


def test_a_socket_that_is_gone_is_an_error_with_its_name(tmp_path: Path) -> None:
    client = Notifier(address=str(tmp_path / "gone"))
    with pytest.raises(AmanatError, match=r"gone cannot be reached: No such file"):
        client.ready("started")


def test_the_process_environment_is_the_default(receiver: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", receiver.getsockname())
    Notifier.from_environment().watchdog()
    assert receiver.recv(4096) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_PID": str(os.getpid())}, None),
        ({}, None),
    ],
)
def test_watchdog_interval_is_half_the_limit_and_only_ours(
    environment: dict[str, str], interval: float | None
) -> None:
    assert Notifier.from_environment(environment).watchdog_interval == interval
