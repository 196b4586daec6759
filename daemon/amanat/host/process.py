"""The one place that starts processes: own process group, killed whole, exit code always looked at."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from amanat.domain.errors import ToolError
from amanat.host.drains import Drains
from amanat.host.forwarding import Forwarding
from amanat.ports.run import Attached, Control

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 5.0
_PIPE_BYTES = 1024 * 1024  # the most that a plain user may ask for (proc_sys_fs(5), pipe-max-size)
# The kernel sends the signal when the thread that started the process is gone (prctl(2), PR_SET_PDEATHSIG = 1).
_TIE = """import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
os.getppid() == int(sys.argv[2]) and os.execv(sys.argv[3], sys.argv[3:])"""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """How a process ended. ``stderr``: its last lines. ``returncode``: negative for a signal, as in subprocess."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def how(self) -> str:
        """``exited with 1`` or ``was killed by SIGKILL``."""
        if self.returncode < 0:
            names = {number.value: number.name for number in signal.Signals}
            return f"was killed by {names.get(-self.returncode, f'signal {-self.returncode}')}"
        return f"exited with {self.returncode}"


def run(
    argv: Sequence[str | Path],
    *,
    control: Control,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: Path | None = None,
    together: bool = False,
    on_stderr: Callable[[str], None] | None = None,
    on_poll: Callable[[], None] | None = None,
) -> Finished:
    """Run ``argv`` to its end and say how it ended; the caller judges the exit code.

    ``env`` is added to ours. ``stdout``: a file to write to (created 0600); else it is captured as text.
    ``together``: that comes with ``stderr``, and nobody who was started by it and keeps it open is waited for.
    ``on_stderr`` gets each line as it comes, in a thread, and must not raise.
    ``on_poll`` is called about 20 times a second in the caller's thread.
    Whatever ``control.check`` or ``on_poll`` raises kills the whole process group and is raised on.
    ToolError when the program cannot be started.
    """
    command = [str(part) for part in argv]
    with _output(stdout) as sink:
        process = _start(command, env, sink, cwd, together=together)
        drains = Drains(process.stderr or process.stdout, process.stderr and process.stdout, on_stderr)
        try:
            _attend(process, control, on_poll)
        finally:
            _kill_group(process)
            drains.join(_GRACE_SECONDS if together else None)
    return _finished(command, process, drains)


def attached(argv: Sequence[str], *, env: Mapping[str, str], umask: int) -> Attached:
    """Run ``argv`` on our terminal, with our input and output, to its end.

    ``env``: all of it. It stays in our process group: in one of its own it could not read from the terminal.
    Signals to us go on to it. ToolError when it cannot be started. Only from the main thread.
    """
    with Forwarding() as signals:
        try:
            process = subprocess.Popen(argv, env=env, umask=umask)
        except OSError as exc:
            raise _not_started(argv[0], exc) from exc
        signals.command_started()
        while process.poll() is None:
            for number in signals.wait(_POLL_SECONDS):
                process.send_signal(number)
    return Attached(returncode=process.returncode, interrupted=signals.came)


@contextlib.contextmanager
def streaming(
    argv: Sequence[str | Path],
    *,
    control: Control,
    env: Mapping[str, str] | None = None,
    on_stderr: Callable[[str], None] | None = None,
) -> Iterator["Stream"]:
    """Run ``argv`` and read its output as it comes; arguments and errors as for ``run``.

    On leaving, the whole process group is ended, whatever it still does.
    """
    command = [str(part) for part in argv]
    process = _start(command, env, subprocess.PIPE)
    drains = Drains(process.stderr, None, on_stderr)
    stream = Stream(command, process, drains, control)
    try:
        yield stream
    finally:
        stream.close()


def tied(argv: Sequence[str | Path], last: signal.Signals) -> tuple[str | Path, ...]:
    """A command whose program is sent ``last`` when we die, however that happens; ``argv[0]`` is its path."""
    return (sys.executable, "-ISc", _TIE, str(last.value), str(os.getpid()), *argv)


@contextlib.contextmanager
def beside(
    argv: Sequence[str | Path], *, last: signal.Signals, env: Mapping[str, str] | None = None
) -> Iterator["Beside"]:
    """Let ``argv`` run meanwhile, tied to us; on leaving it is sent ``last``, and killed if that does not help."""
    process = _start([str(part) for part in tied(argv, last)], env, subprocess.DEVNULL)
    drains = Drains(process.stderr, None, None)
    try:
        yield Beside(process, drains)
    finally:
        process.send_signal(last)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_GRACE_SECONDS)
        _kill_group(process)
        drains.join()


class Beside:
    """A process that runs while we do something else."""

    def __init__(self, process: "subprocess.Popen[bytes]", drains: Drains) -> None:
        self.pid = process.pid
        self._process = process
        self._drains = drains

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def stderr(self) -> str:
        """Its last lines so far."""
        return self._drains.stderr


def end_working_in(folder: Path, pid: int, last: signal.Signals) -> bool:
    """Send ``last`` to a dead run's process, if it is the one that works in ``folder``, and wait for its end.

    A number may be another's by now: so the process is held (pidfd_open(2)) before it is looked at.
    """
    try:
        held = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if Path(f"/proc/{pid}/cwd").readlink() != folder.resolve():
            return False
        signal.pidfd_send_signal(held, last)
        return bool(select.select([held], [], [], _GRACE_SECONDS)[0])
    except (ProcessLookupError, PermissionError, FileNotFoundError):
        return False
    finally:
        os.close(held)


class Stream:
    """The output of a process that runs."""

    def __init__(
        self, command: list[str], process: "subprocess.Popen[bytes]", drains: Drains, control: Control
    ) -> None:
        assert process.stdout  # noqa: S101 - it was asked for
        self._command = command
        self._process = process
        self._drains = drains
        self._control = control
        self._pipe = process.stdout
        self.at_end = False
        with contextlib.suppress(OSError):  # many small writes, few large reads; the default does as well
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def read(self, size: int) -> bytes:
        """What there is, at most ``size`` bytes; waits for some. Empty: the process has closed its output."""
        while not select.select([self._pipe], [], [], _POLL_SECONDS)[0]:
            self._control.check()
        data = os.read(self._pipe.fileno(), size)
        self.at_end = not data
        return data

    def finish(self) -> Finished:
        """Wait until it ends by itself; to be called when all of its output was read."""
        _attend(self._process, self._control, None)
        self.close()
        return _finished(self._command, self._process, self._drains)

    def close(self) -> None:
        if self._pipe.closed:
            return
        self._pipe.close()
        _kill_group(self._process)
        self._drains.join()


def _finished(command: list[str], process: "subprocess.Popen[bytes]", drains: Drains) -> Finished:
    return Finished(argv=tuple(command), returncode=process.returncode, stdout=drains.stdout, stderr=drains.stderr)


@contextlib.contextmanager
def _output(path: Path | None) -> Iterator[int]:
    if path is None:
        yield subprocess.PIPE
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _start(
    command: list[str],
    env: Mapping[str, str] | None,
    sink: int,
    cwd: Path | None = None,
    *,
    together: bool = False,
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT if together else subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as exc:
        raise _not_started(command[0], exc, cwd) from exc


def _not_started(program: str, exc: OSError, folder: Path | None = None) -> ToolError:
    where = f" in {folder}" if folder else ""
    return ToolError(f"{program} cannot be started{where}: {exc.strerror}", hint="install it or correct its path")


def _attend(process: "subprocess.Popen[bytes]", control: Control, on_poll: Callable[[], None] | None) -> None:
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_POLL_SECONDS)
            return
        control.check()
        if on_poll:
            on_poll()


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End every process of the group: politely, then not. Children may outlive the leader, so always ask."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
