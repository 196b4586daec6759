"""A command that has our terminal: what it inherits, what it ends with, and who gets which signal."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from amanat.domain.errors import ToolError
from amanat.host import process
from amanat.ports.run import Attached
from tests.support.cli import wait_for

HOST = """
import os, sys
from amanat.host import process
ended = process.attached(sys.argv[1:], env=dict(os.environ), umask=0o027)
print("ended with", ended.returncode, "interrupted" if ended.interrupted else "by itself", flush=True)
"""
COUNTS = """
import signal, sys, time
seen = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: seen.append(signal.Signals(number).name))
print("ready", flush=True)
until = time.monotonic() + 10
while not seen and time.monotonic() < until:
    time.sleep(0.02)
time.sleep(0.5)
print("seen", *seen, flush=True)
"""


def attached(*argv, **env):
    return process.attached(argv, env={"PATH": os.environ["PATH"], **env}, umask=0o022)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -signal.SIGKILL)])
def test_it_is_told_what_it_ends_with(script, code):
    assert attached("sh", "-c", script) == Attached(returncode=code, interrupted=False)


def test_it_has_the_environment_and_the_umask_that_were_given(tmp_path):
    assert attached("sh", "-c", f"umask > {tmp_path}/umask; env > {tmp_path}/env", GIVEN="yes").returncode == 0
    assert (tmp_path / "umask").read_text() == "0022\n"
    told = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert told["GIVEN"] == "yes"
    assert "HOME" not in told


@pytest.mark.parametrize(
    ("program", "reason"), [("/nowhere/artisan", "No such file"), ("/etc/passwd", "Permission")]
)
def test_what_cannot_be_started_is_named(program, reason):
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ToolError, match=f"{program} cannot be started: {reason}"):
        attached(program)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_it_blocks_no_signal(tmp_path):
    assert attached("sh", "-c", f"grep SigBlk /proc/self/status > {tmp_path}/mask").returncode == 0
    assert int((tmp_path / "mask").read_text().split()[1], 16) == 0


class Host:
    """A process that attaches COUNTS, on a terminal of its own or with pipes."""

    def __init__(self, **streams):
        argv = [sys.executable, "-c", HOST, sys.executable, "-uc", COUNTS]
        self.process = subprocess.Popen(argv, start_new_session=True, **streams)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_us_alone_goes_on_to_it_once(number):
    with Host(stdout=subprocess.PIPE).process as host:
        assert host.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        host.send_signal(number)
        assert host.stdout.read() == f"seen {number.name}\nended with 0 interrupted\n".encode()


def test_the_keys_of_a_terminal_reach_it_once():
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", HOST, sys.executable, "-uc", COUNTS])
    said = b""

    def has_said(words):
        nonlocal said
        said += os.read(terminal, 1024)
        return words in said

    wait_for("its start", lambda: has_said(b"ready"))
    time.sleep(0.2)
    os.write(terminal, b"\x03")
    wait_for("its end", lambda: has_said(b"ended with 0 interrupted"))
    assert b"seen SIGINT\r\n" in said
    assert os.waitpid(pid, 0)[1] == 0  # before the terminal goes, which would be a SIGHUP
    os.close(terminal)
