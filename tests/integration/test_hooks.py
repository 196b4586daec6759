"""Commands of the user's own around a snapshot: real processes, in the application's folder."""

import os
import shutil
import signal
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from amanat.domain.errors import InterruptedRunError, SourceError, ToolError, YieldedError
from amanat.domain.events import Event
from amanat.domain.hooks import Hook, Moment
from amanat.domain.model import Outcome
from amanat.domain.policy import LaravelSource, Retry
from amanat.observability import redaction
from amanat.services import hooks
from tests.support.workshop import workshop

__all__ = ["workshop"]

NOTE = 'echo "$AMANAT_MOMENT $AMANAT_OUTCOME" >> notes'


def shell(text, **said):
    return Hook(command=("/bin/sh", "-c", text), **said)


@pytest.fixture
def application(workshop, tmp_path):
    """The database's application, whose every hook notes when it ran."""
    folder = tmp_path / "application"
    folder.mkdir()
    workshop.database = replace(
        workshop.database, application=folder, hooks={moment: (shell(NOTE),) for moment in Moment}
    )
    return folder


def hook(workshop, moment, *commands):
    workshop.database = replace(workshop.database, hooks={**workshop.database.hooks, moment: commands})


def notes(application):
    return [line.strip() for line in (application / "notes").read_text().splitlines()]


def run(workshop, moment, environment=None, control=None):
    return hooks.run(workshop.app.ports, workshop.database, moment, environment or {}, control)


def is_alive(pid):
    """Not one that only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def fail_engine(workshop, *errors):
    real, coming = workshop.app.ports.engine_of, iter(errors)

    class Failing:
        def __init__(self, engine):
            self._engine = engine

        def __getattr__(self, name):
            return getattr(self._engine, name)

        def take(self, order, control):
            for error in coming:
                raise error
            return self._engine.take(order, control)

    ports = replace(workshop.app.ports, engine_of=lambda database: Failing(real(database)))
    workshop.app = replace(workshop.app, ports=ports)


def test_commands_run_in_their_order_and_each_gives_a_line(workshop, application):
    hook(
        workshop, Moment.BEFORE_RESTORE, Hook(command=("touch", "a b")), shell("echo 1 > one; sleep 0.2"), shell("cat one")
    )  # fmt: skip
    lines = run(workshop, Moment.BEFORE_RESTORE)
    assert [line.splitlines()[0].rpartition(" ")[0] for line in lines] == [
        "touch 'a b': exited with 0 in",
        "/bin/sh -c 'echo 1 > one; sleep 0.2': exited with 0 in",
        "/bin/sh -c 'cat one': exited with 0 in",
    ]
    assert lines[1].endswith((" 0.2s", " 0.3s", " 0.4s"))
    assert lines[2].splitlines()[1:] == ["  1"]
    assert (application / "a b").exists()
    told = workshop.told(Event.HOOK_RAN)[-1]
    assert (told["moment"], told["output"], told["outcome"]) == ("before_restore", "1", "exited with 0")


def test_what_the_environment_tells(workshop, application):
    hook(workshop, Moment.AFTER_SWAP, shell("env | grep ^AMANAT_ | sort > told; pwd >> told"))
    run(workshop, Moment.AFTER_SWAP, {"AMANAT_PURPOSE": "a\0 'b' $(c)", "AMANAT_REASON": "x" * 300_000})
    lines = (application / "told").read_text().splitlines()
    assert {line for line in lines if not line.startswith("AMANAT_REASON")} == {
        "AMANAT_DATABASE=app",
        "AMANAT_ENVIRONMENT=local",
        "AMANAT_MOMENT=after_swap",
        "AMANAT_PURPOSE=a 'b' $(c)",
        str(application),
    }
    assert len(next(line for line in lines if line.startswith("AMANAT_REASON"))) > 5000


def test_a_laravel_database_without_an_entry_in_the_policy_file_runs_them_in_its_folder(workshop, application):
    workshop.database = replace(workshop.database, application=None, source=LaravelSource(folder=application))
    run(workshop, Moment.AFTER_SWAP)
    assert notes(application) == ["after_swap"]


def test_one_that_fails_is_named_with_what_it_said_last_and_ends_the_rest(workshop, application):
    hook(workshop, Moment.BEFORE_RESTORE, shell("echo first; echo no such table >&2; exit 3"), shell(NOTE))
    with pytest.raises(ToolError, match=r"exit 3' exited with 3: no such table") as caught:
        run(workshop, Moment.BEFORE_RESTORE)
    assert "same environment" in caught.value.hint
    assert not (application / "notes").exists()
    (told,) = workshop.told(Event.HOOK_RAN)
    assert (told["outcome"], told["output"]) == ("exited with 3", "first\nno such table")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("./none", "x"), "./none cannot be started in .*/application: No such file"),
        (("/bin/sh", "-c", "kill -9 $$"), "was killed by SIGKILL"),
    ],
)
def test_one_that_cannot_be_started_or_is_killed(workshop, application, command, said):
    hook(workshop, Moment.AFTER_SWAP, Hook(command=command))
    with pytest.raises(ToolError, match=said):
        run(workshop, Moment.AFTER_SWAP)


def test_a_folder_that_is_not_there(workshop, application):
    shutil.rmtree(application)
    with pytest.raises(ToolError, match=r"cannot be started in .*/application"):
        run(workshop, Moment.AFTER_SWAP)


def test_one_that_takes_too_long_is_stopped_with_all_that_it_started(workshop, application):
    hook(
        workshop,
        Moment.AFTER_SWAP,
        shell("echo begun; sleep 60 & echo $! > pid; wait", timeout=timedelta(seconds=0.3)),
    )
    with pytest.raises(ToolError, match=r"took longer than 0\.3s and was stopped: begun"):
        run(workshop, Moment.AFTER_SWAP)
    assert not is_alive(int((application / "pid").read_text()))


@pytest.mark.slow
def test_a_service_that_it_starts_and_that_keeps_its_output_open_holds_up_nobody(workshop, application):
    """As an init script does: a session of its own, our pipe for its output."""
    hook(workshop, Moment.AFTER_SWAP, shell("setsid sleep 30 & echo $! > pid; echo up"))
    began = time.monotonic()
    assert run(workshop, Moment.AFTER_SWAP)
    assert time.monotonic() - began < 15
    os.kill(int((application / "pid").read_text()), signal.SIGKILL)


def test_what_it_says_is_told_without_secrets_and_only_its_end(workshop, application):
    redaction.remember("geheim-4711")
    hook(workshop, Moment.AFTER_SWAP, shell("seq 1000; echo geheim-4711; echo postgresql://u:pw@h/d; exit 1"))
    with pytest.raises(ToolError) as caught:
        run(workshop, Moment.AFTER_SWAP)
    assert caught.value.message.endswith("postgresql://u:[redacted]@h/d")
    output = workshop.told(Event.HOOK_RAN)[0]["output"].splitlines()
    assert len(output) == 20 and output[-2] == "[redacted]"
    assert "geheim" not in f"{workshop.events} {caught.value}"


def test_on_failure_raises_nothing_and_goes_on(workshop, application):
    hook(workshop, Moment.ON_FAILURE, shell("exit 7"), Hook(command=("./none",)), shell(NOTE))
    lines = run(workshop, Moment.ON_FAILURE, {"AMANAT_OUTCOME": "failed"})
    assert [line.split(" ")[-1] for line in lines[:1]] == ["7"] and len(lines) == 3
    assert notes(application) == ["on_failure failed"]
    assert len(workshop.told(Event.RUN_WARNING)) == 2


def test_around_a_snapshot_the_application_is_down_only_while_it_is_read(workshop, application):
    seen = "ls ../store > in_store"
    hook(workshop, Moment.BEFORE_SNAPSHOT, shell(NOTE), shell("test ! -e ../store/app"))
    hook(workshop, Moment.AFTER_SNAPSHOT, shell(f"{NOTE}; {seen}; echo $AMANAT_RUN $AMANAT_PURPOSE > run"))
    taken = workshop.take(purpose="why")
    assert taken.proven
    assert notes(application) == ["before_snapshot", "after_snapshot succeeded"]
    assert "app" not in (application / "in_store").read_text().split()  # it is up again before anything is proven
    (recorded,) = workshop.app.ports.register.recent_runs(5)[-1:]
    assert (application / "run").read_text().split() == [recorded.id, "why"]


def test_no_snapshot_of_an_application_that_could_not_be_put_down(workshop, application):
    hook(workshop, Moment.BEFORE_SNAPSHOT, shell(NOTE), shell("echo busy; exit 1"))
    with pytest.raises(ToolError, match="busy"):
        workshop.take()
    assert notes(application) == ["before_snapshot", "after_snapshot failed", "on_failure failed"]
    assert workshop.files() == []
    (only,) = workshop.app.ports.register.recent_runs(5)
    assert (only.outcome, only.code) == (Outcome.FAILED, "tool")


def test_it_comes_up_again_when_the_snapshot_failed(workshop, application):
    fail_engine(workshop, SourceError("server is gone"))
    with pytest.raises(SourceError):
        workshop.take()
    assert notes(application) == ["before_snapshot", "after_snapshot failed", "on_failure failed"]


def test_attempts_each_put_it_down_and_up_and_only_the_last_failure_is_one(workshop, application):
    fail_engine(workshop, SourceError("starting up", transient=True), YieldedError("waits", transient=True))
    workshop.policy = replace(workshop.policy, retry=Retry(attempts=2, backoff=timedelta(milliseconds=1)))
    workshop.take()
    assert notes(application) == [
        *("before_snapshot", "after_snapshot failed"),
        *("before_snapshot", "after_snapshot yielded"),
        *("before_snapshot", "after_snapshot succeeded"),
    ]


def test_it_comes_up_again_even_if_told_to_stop(workshop, application):
    hook(workshop, Moment.BEFORE_SNAPSHOT, shell(f"{NOTE}; sleep 60"))
    threading.Timer(0.5, workshop.app.stop.set).start()
    with pytest.raises(InterruptedRunError):
        workshop.take()
    assert notes(application) == ["before_snapshot", "after_snapshot interrupted"]


def test_a_snapshot_stays_though_the_application_did_not_come_up_but_its_run_failed(workshop, application):
    hook(workshop, Moment.AFTER_SNAPSHOT, shell("echo no lock file; exit 1"))
    with pytest.raises(ToolError, match="no lock file"):
        workshop.take()
    (kept,) = workshop.app.ports.register.snapshots()
    assert kept.proven
    (only,) = workshop.app.ports.register.recent_runs(5)
    assert (only.outcome, only.snapshot) == (Outcome.FAILED, kept.id)
    assert "hook after_snapshot" in only.note
    assert notes(application) == ["before_snapshot", "on_failure failed"]


def test_without_hooks_nothing_is_run(workshop):
    workshop.take()
    assert workshop.told(Event.HOOK_RAN) == []
