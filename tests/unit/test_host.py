"""Locks, processes, control and files of the host, with real processes and real locks."""

import contextlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.errors import (
    BusyError,
    InterruptedRunError,
    SpaceError,
    StoreError,
    TimeoutExceededError,
    ToolError,
)
from amanat.host import files, identity, process
from amanat.host.control import RunControl
from amanat.host.locks import Locks
from amanat.host.scratch import Scratch


@pytest.fixture
def locks(tmp_path):
    return Locks(tmp_path / "locks")


def test_a_database_is_locked_once_and_free_again(locks):
    with (
        locks.database("atis", RunControl(), wait=0),
        pytest.raises(BusyError, match="atis"),
        locks.database("atis", RunControl(), wait=0.2),
    ):
        pass
    with locks.database("atis", RunControl(), wait=0):
        pass


def test_as_many_slots_as_the_limit_says(locks):
    with (
        locks.slot(2, RunControl(), wait=0),
        locks.slot(2, RunControl(), wait=0),
        pytest.raises(BusyError),
        locks.slot(2, RunControl(), wait=0),
    ):
        pass


def test_who_waits_for_a_drill_keeps_no_place_meanwhile_and_the_other_way_round(locks):
    with locks.drill(RunControl(), wait=0):
        with (
            pytest.raises(BusyError, match="drills: another run"),
            locks.drill_and_slot(1, RunControl(), wait=0),
        ):
            pass
        with locks.slot(1, RunControl(), wait=0):
            pass
    with locks.slot(1, RunControl(), wait=0):
        with (
            pytest.raises(BusyError, match="the limit of runs at once: another run"),
            locks.drill_and_slot(1, RunControl(), wait=0),
        ):
            pass
        with locks.drill(RunControl(), wait=0):
            pass
    with locks.drill_and_slot(1, RunControl(), wait=0):
        pass


def test_who_holds_a_lock_is_named(locks):
    with (
        locks.slot(2, RunControl(), wait=0, holder="run a"),
        locks.slot(2, RunControl(), wait=0, holder="run b"),
        pytest.raises(BusyError, match=f"run a, process {os.getpid()}; run b, process {os.getpid()}"),
        locks.slot(2, RunControl(), wait=0),
    ):
        pass


def test_a_snapshot_is_read_by_many_and_deleted_by_one(locks, tmp_path):
    with locks.reading("abc", RunControl()):
        with locks.reading("abc", RunControl()):
            pass
        with pytest.raises(BusyError, match="abc is being read"), locks.deleting("abc"):
            pass
        with locks.deleting("def"):
            pass
    with locks.deleting("abc"), pytest.raises(BusyError), locks.deleting("abc"):
        pass
    assert list((tmp_path / "locks").iterdir()) == []


def test_readers_and_deleters_never_meet_though_the_lock_file_comes_and_goes(locks):
    readers, wrong, end = [], [], time.monotonic() + 0.7

    def read():
        while time.monotonic() < end:
            with locks.reading("abc", RunControl()):
                readers.append(1)
                time.sleep(0.0005)
                readers.pop()

    def delete():
        while time.monotonic() < end:
            with contextlib.suppress(BusyError), locks.deleting("abc"):
                wrong.extend(readers)
                deleted.append(1)

    deleted = []
    threads = [threading.Thread(target=work) for work in (read, read, delete, delete)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert wrong == [] and deleted


def test_a_waiting_run_gets_the_lock_when_it_is_free(locks):
    got = threading.Event()

    def wait():
        with locks.database("atis", RunControl(), wait=5):
            got.set()

    with locks.database("atis", RunControl(), wait=0):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.3)
    thread.join(5)
    assert got.is_set()


def test_a_stop_ends_the_waiting(locks):
    stop = threading.Event()
    stop.set()
    with (
        locks.database("atis", RunControl(), wait=0),
        pytest.raises(InterruptedRunError),
        locks.database("atis", RunControl(stop=stop), wait=5),
    ):
        pass


def test_the_lock_of_a_killed_process_is_free(locks, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from amanat.host.locks import Locks\n"
        f"with Locks(Path({str(tmp_path / 'locks')!r})).run('r1'):\n"
        " print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        assert locks.is_alive("r1")
        holder.kill()
    assert not locks.is_alive("r1")
    locks.forget("r1")
    assert not locks.is_alive("never")


def test_a_second_daemon_is_told_of_the_first(locks):
    with locks.daemon(), pytest.raises(BusyError, match=str(os.getpid())), locks.daemon():
        pass


def test_a_process_gives_its_output_and_exit_code():
    done = process.run(["sh", "-c", "echo out; echo err >&2; exit 3"], control=RunControl())
    assert (done.returncode, done.stdout, done.stderr, done.how) == (3, "out\n", "err", "exited with 3")


def test_a_process_that_cannot_start_is_a_tool_error():
    with pytest.raises(ToolError, match="no-such-tool"):
        process.run(["/nonexistent/no-such-tool"], control=RunControl())


def test_a_timeout_kills_the_whole_group(tmp_path):
    pid_file = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {pid_file}; trap '' TERM; wait"
    began = time.monotonic()
    with pytest.raises(TimeoutExceededError, match=r"took longer than 0\.5s"):
        process.run(["sh", "-c", script], control=RunControl(timeout=timedelta(seconds=0.5)))
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        for _ in range(50):
            os.kill(int(pid_file.read_text()), 0)
            time.sleep(0.1)


def test_output_is_read_as_it_comes():
    script = "echo one; echo err >&2; read -r _ < /dev/null; echo two; exit 3"
    with process.streaming(["sh", "-c", script], control=RunControl()) as output:
        read = b""
        while data := output.read(2):
            read += data
        assert output.at_end
        done = output.finish()
    assert (read, done.returncode, done.stderr) == (b"one\ntwo\n", 3, "err")


def test_whoever_stops_reading_ends_the_whole_group(tmp_path):
    """A writer that nobody reads from would wait for ever."""
    pid_file = tmp_path / "pid"
    script = f"yes & echo $! > {pid_file}; trap '' TERM; wait"
    with (
        pytest.raises(ZeroDivisionError),
        process.streaming(["sh", "-c", script], control=RunControl()) as output,
    ):
        output.read(1)
        while not pid_file.exists() or not pid_file.read_text():
            time.sleep(0.01)
        raise ZeroDivisionError
    assert is_gone(int(pid_file.read_text()))


def test_a_process_that_writes_nothing_gives_way_to_the_timeout():
    began = time.monotonic()
    with (
        pytest.raises(TimeoutExceededError),
        process.streaming(["sleep", "60"], control=RunControl(timeout=timedelta(seconds=0.3))) as output,
    ):
        output.read(1)
    assert time.monotonic() - began < 5


def is_gone(pid):
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_killed_process_says_by_which_signal():
    done = process.run(["sh", "-c", "kill -KILL $$"], control=RunControl())
    assert (done.returncode, done.how) == (-signal.SIGKILL, "was killed by SIGKILL")


def test_much_output_on_both_pipes_does_not_stall():
    script = "head -c 3000000 /dev/zero | tr '\\0' 'x'; head -c 3000000 /dev/zero | tr '\\0' 'y' >&2"
    done = process.run(["sh", "-c", script], control=RunControl(timeout=timedelta(seconds=30)))
    assert len(done.stdout) == 3_000_000


def test_output_goes_to_a_private_file(tmp_path):
    process.run(["echo", "x"], control=RunControl(), stdout=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "x\n"
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_waiting_ends_with_the_deadline():
    with pytest.raises(TimeoutExceededError):
        RunControl(timeout=timedelta(seconds=0.1)).wait(5)


def test_a_text_is_replaced_whole_and_nothing_is_left_beside(tmp_path):
    target = tmp_path / "register.md"
    target.write_text("old")
    files.replace_text(target, "new", mode=0o644)
    assert target.read_text() == "new" and [item.name for item in tmp_path.iterdir()] == ["register.md"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_planted_link_does_not_lead_the_writing_astray(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    victim.chmod(0o600)
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / ".register.md.tmp").symlink_to(victim)
    files.replace_text(folder / "register.md", "new", mode=0o644)
    assert (victim.read_text(), victim.stat().st_mode & 0o777) == ("precious", 0o600)
    assert (folder / "register.md").read_text() == "new"


def test_a_link_of_our_own_is_followed(tmp_path):
    (tmp_path / "there").mkdir()
    target, other = tmp_path / "register.md", tmp_path / "other.md"
    other.symlink_to("there/real.md")
    target.symlink_to(other)
    for text in ("new", "newer"):  # at first it leads to nothing
        files.replace_text(target, text)
        assert (target.is_symlink(), other.is_symlink(), target.read_text()) == (True, True, text)
    assert [item.name for item in (tmp_path / "there").iterdir()] == ["real.md"]
    (tmp_path / "there" / "real.md").unlink()
    (tmp_path / "there" / "real.md").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        files.replace_text(target, "new")


@pytest.mark.usefixtures("root")
def test_a_link_of_somebody_else_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    target = tmp_path / "register.md"
    target.symlink_to(tmp_path / "victim")
    os.chown(target, 12345, 12345, follow_symlinks=False)
    files.replace_text(target, "new")
    assert (target.is_symlink(), target.read_text()) == (False, "new")
    assert (tmp_path / "victim").read_text() == "precious"


def test_a_device_is_written_to_and_stays_one(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/dev/full")
    for path in (Path("/dev/full"), link):
        with pytest.raises(SpaceError), files.explained("export"):
            files.write_pieces(path, ["x" * 100_000])
    assert stat.S_ISCHR(Path("/dev/full").lstat().st_mode) and link.is_symlink()


def test_a_pipe_is_written_to_once_somebody_reads(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StoreError) as caught, files.explained("export"):
        files.write_pieces(pipe, ["x"])
    assert "reads from it" in caught.value.hint
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    for path in (pipe, Path(f"/proc/self/fd/{reader}")):
        files.write_pieces(path, ["some", "thing"])
        assert os.read(reader, 100) == b"something"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)


def test_what_a_kill_left_beside_is_removed_by_the_next_writing(tmp_path):
    (tmp_path / ".register.md.0123abcd.tmp").write_text("half")
    foreign = [".register.md.tmp", ".register.md.0123abcd.tmp.orig", ".other.md.0123abcd.tmp"]
    for name in foreign:
        (tmp_path / name).write_text("foreign")
    (tmp_path / ".register.md.89abcdef.tmp").symlink_to(tmp_path / foreign[0])
    files.replace_text(tmp_path / "register.md", "new")
    left = {item.name for item in tmp_path.iterdir()}
    assert left == {"register.md", *foreign, ".register.md.89abcdef.tmp"}


def test_a_copy_is_private_and_whole_and_nothing_is_left_beside(tmp_path):
    (tmp_path / "source").write_bytes(b"x" * 9_000_000)
    files.copy(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"x" * 9_000_000
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileNotFoundError):
        files.copy(tmp_path / "gone", tmp_path / "other")
    assert {item.name for item in tmp_path.iterdir()} == {"source", "target"}


def test_an_os_error_becomes_one_that_says_what_to_do(tmp_path):
    with pytest.raises(StoreError, match="No such file") as caught, files.explained("document x"):
        files.replace_text(tmp_path / "no" / "where", "x")
    assert caught.value.hint


def test_scratch_is_private_and_gone_afterwards(tmp_path):
    scratch = Scratch(tmp_path / "scratch")
    with scratch.folder("r1") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert scratch.runs() == ["r1"]
    assert scratch.runs() == []


def test_the_person_behind_sudo_is_named(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "aysel")
    assert identity.os_user() == "aysel"
