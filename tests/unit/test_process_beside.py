"""Processes that run beside ours: tied to us, ended with the block, and found again when we died."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amanat.host import process
from tests.support.cli import wait_for

SLEEP = ("/bin/sleep", "60")


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_runs_meanwhile_and_ends_with_the_block():
    with process.beside(SLEEP, last=signal.SIGQUIT) as started:
        assert not started.has_ended
    assert started.has_ended


def test_it_ends_although_it_heeds_no_signal(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_GRACE_SECONDS", 0.2)
    deaf = ("/bin/sh", "-c", f"trap '' QUIT TERM; : > {tmp_path}/deaf; while :; do sleep 0.1; done")
    with process.beside(deaf, last=signal.SIGQUIT) as started:
        wait_for("the trap", (tmp_path / "deaf").exists)
    assert started.has_ended


def test_what_it_says_is_known_when_it_has_ended_by_itself():
    with process.beside(("/bin/sh", "-c", "echo no room >&2"), last=signal.SIGQUIT) as started:
        wait_for("its end", lambda: started.has_ended and started.stderr)
        assert started.stderr == "no room"


def test_a_tied_process_dies_with_us_however_that_happens():
    code = f"""
import signal, subprocess, sys, time
from amanat.host import process
with process.beside({SLEEP!r}, last=signal.SIGQUIT) as started:
    print(started.pid, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        wait_for("the program", lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n")
        assert is_running(pid)
        parent.kill()
    wait_for("its end", lambda: not is_running(pid), timeout=5)


@pytest.mark.parametrize("there", [True, False])
def test_a_process_of_somebody_dead_is_ended_only_where_it_works(tmp_path, there):
    (tmp_path / "cluster").mkdir()
    where = tmp_path / "cluster" if there else tmp_path
    with subprocess.Popen(SLEEP, cwd=where) as left:
        try:
            assert process.end_working_in(tmp_path / "cluster", left.pid, signal.SIGQUIT) is there
            time.sleep(0.1)
            assert (left.poll() is not None) is there
        finally:
            left.kill()


def test_nobody_has_that_number_any_more(tmp_path):
    with subprocess.Popen(SLEEP) as ended:
        ended.kill()
    assert not process.end_working_in(tmp_path, ended.pid, signal.SIGQUIT)
