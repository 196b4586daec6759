"""The mark that a migration runs: who sees it, who waits for it, and what a dead one leaves."""

import multiprocessing
import os
import signal

import pytest

from amanat.domain.errors import BusyError
from amanat.host.control import RunControl
from amanat.host.locks import Locks
from tests.support.cli import wait_for


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "locks"


@pytest.fixture
def ours(folder):
    return Locks(folder)


@pytest.fixture
def another(folder):
    """As another process has it."""
    return Locks(folder)


def marked(locks, **options):
    return locks.migration("atis", RunControl(), **{"wait": 0, "holder": "run abc", **options})


def test_others_see_it_and_its_own_go_on(ours, another):
    with marked(ours):
        assert another.is_migrating("atis")
        assert not another.is_migrating("bank")
        assert not ours.is_migrating("atis")
        ours.after_migration("atis", RunControl(), wait=0)
    assert not another.is_migrating("atis")


def test_it_leaves_no_file(ours, folder):
    with marked(ours):
        assert list(folder.iterdir())
    assert list(folder.iterdir()) == []


def test_there_is_one_of_a_database_and_it_is_named(ours, another):
    with marked(ours), pytest.raises(BusyError, match=r"a migration of atis.*run abc, process"), marked(another):
        pass
    with marked(another):
        assert ours.is_migrating("atis")


def test_who_waits_in_vain_is_told_whom_for(ours, another):
    with (
        marked(ours),
        pytest.raises(BusyError, match="a migration of atis is under way: run abc, process") as told,
    ):
        another.after_migration("atis", RunControl(), wait=0.3)
    assert told.value.hint


def hold(folder, held):
    with marked(Locks(folder)):
        held.set()
        signal.pause()


def test_that_of_a_dead_process_is_none(ours, folder):
    held = multiprocessing.Event()
    process = multiprocessing.get_context("fork").Process(target=hold, args=(folder, held))
    process.start()
    assert held.wait(10)
    assert ours.is_migrating("atis")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    wait_for("the kernel to release it", lambda: not ours.is_migrating("atis"))
    assert list(folder.iterdir()) == []
