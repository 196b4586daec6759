"""What every fault has in common, and how faults that need the kernel are made: rights, mounts, full disks."""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from amanat.app import open_app
from amanat.observability import metrics
from amanat.settings.service import ServiceSettings
from tests.support.cli import Amanat

WITHOUT_POWERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--") if os.geteuid() == 0 else ()
"""A command put around ours: file modes count, also for root."""


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder``, by its path there."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run_count(amanat: Amanat, outcome: str, *, policy: str = "nightly") -> float:
    """``amanat_runs_total`` of snapshots, as a scrape of the register would show it now."""
    return metric(amanat, "runs_total", policy=policy, stage="snapshot", outcome=outcome)


def metric(amanat: Amanat, name: str, *, database: str = "app", policy: str = "nightly", **labels: str) -> float:
    settings = ServiceSettings(policies=amanat.file, store=amanat.store, state=amanat.state)
    app = open_app(settings, emit=lambda *_, **__: None)
    collector = metrics.RegisterCollector(app.ports, lambda: app.configuration, metrics.DaemonState())
    page = metrics.render(collector).decode()
    app.ports.register.close()  # type: ignore[attr-defined]
    wanted = {"database": database, "policy": policy, **labels}
    families = text_string_to_metric_families(page)
    samples = (sample for family in families for sample in family.samples)
    return sum(each.value for each in samples if each.name == f"amanat_{name}" and each.labels == wanted)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What a run that fails must say: ``says`` names the thing, ``hint`` the remedy, ``code`` is for machines."""

    says: str
    hint: str
    code: str
    exit: int = 3


class Failing:
    """A snapshot that is about to fail. ``store``: where the store is to be seen, if not where Amanat has it."""

    def __init__(self, amanat: Amanat, *, policy: str = "nightly", store: Path | None = None) -> None:
        self._amanat = amanat
        self._policy = policy
        self._store = store or amanat.store
        self._before = hashes(self._store)
        self._failed = run_count(amanat, "failed", policy=policy)
        assert any(name.endswith(".manifest.json") for name in self._before), "an older snapshot is to survive"

    def __call__(self, fault: Fault, *args: str, attempts: int = 1, **options: Any) -> str:
        """Run it, and look at all that a failure promises; returns what was said on stderr."""
        said = self._amanat.fails(fault.exit, "snapshot", "app", f"--policy={self._policy}", *args, **options)
        self._require_sentence(said, fault)
        self._require_record(fault, attempts)
        self.require_nothing_left()
        return said

    def require_nothing_left(self) -> None:
        assert hashes(self._store) == self._before, "older snapshots are as they were, and nothing came"
        staging, scratch = self._store / ".staging", self._amanat.state / "scratch"
        left = [path for folder in (staging, scratch) if folder.exists() for path in folder.iterdir()]
        assert not left, "staging and secrets are swept"

    def _require_sentence(self, said: str, fault: Fault) -> None:
        message, arrow, hint = said.rpartition("→ ")
        assert arrow, said
        assert fault.says in message
        assert fault.hint in hint

    def _require_record(self, fault: Fault, attempts: int) -> None:
        status = self._amanat.json("status")
        (row,) = (row for row in status["policies"] if row["policy"] == self._policy)
        last = row["last_run"]
        assert (last["outcome"], last["code"], last["stage"]) == ("failed", fault.code, "snapshot")
        assert fault.says in last["reason"]
        assert fault.hint in last["hint"]
        assert row["proven"] >= 1, "the older snapshot still counts"
        assert status["running"] == []
        assert run_count(self._amanat, "failed", policy=self._policy) == self._failed + attempts
        entry = self._amanat.json("register")[-1]
        assert (entry["kind"], entry["outcome"], entry["policy"]) == ("snapshot", "failed", self._policy)


@dataclass(frozen=True, kw_only=True)
class Mounts:
    """Mounts that nobody else sees. ``around``: put around a command, it makes that command see them."""

    around: tuple[str, ...]
    root: Path

    def path(self, path: Path) -> Path:
        """Where this process finds ``path`` as it is with the mounts."""
        return self.root / path.relative_to("/")

    def run(self, *command: str | Path) -> None:
        subprocess.run([*self.around, *command], check=True)


@contextlib.contextmanager
def mounted(script: str, *arguments: str | Path) -> Iterator[Mounts]:
    """Mounts made by ``script`` (sh; ``$1``, ``$2``, … are the arguments) in a namespace that ends with the context.

    No rights are needed where the kernel lets users make namespaces of their own.
    """
    is_root = os.geteuid() == 0
    unshare = ["unshare", "--mount"] if is_root else ["unshare", "--map-root-user", "--mount"]
    command = [*unshare, "sh", "-ec", f"{script}\necho ready\nexec sleep 600", "sh", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == "ready\n", "the mounts could not be made"
            user = () if is_root else ("--user", "--preserve-credentials")
            nsenter = shutil.which("nsenter") or "nsenter"
            around = (nsenter, f"--target={holder.pid}", *user, "--mount", "--")
            yield Mounts(around=around, root=Path(f"/proc/{holder.pid}/root"))
        finally:
            holder.kill()


@contextlib.contextmanager
def with_mode(path: Path, mode: int) -> Iterator[Sequence[str]]:
    """``path`` has this mode for a while; yields what has to be put around a command so that it counts."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield WITHOUT_POWERS
    finally:
        path.chmod(before)
