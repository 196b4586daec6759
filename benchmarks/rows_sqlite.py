"""SQLite: a snapshot beside a copy that is read back, and beside ``sqlite3 .backup``, on the same file system."""

from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.figures import Sample, Section, time_ratio
from benchmarks.processes import Attendant, Go, command, in_turn, tell
from benchmarks.scene import Scene

STORED = "amanat, proof stored"
READABLE = "amanat, proof readable"
COPY = "cp and fsync"
BACKUP = "sqlite3 .backup"
COMPARED = "cp, fsync, cmp with what the disk has"
_COMMAND = "the command `amanat snapshot` (stored)"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """``name``: of the database in ``scene``, which lies at ``path``."""

    scene: Scene
    runner: Attendant
    name: str
    path: Path

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def budgeted(self) -> dict[str, Go]:
        return {
            STORED: lambda: self.scene.take(self.runner, self.name, "stored"),
            COMPARED: self._compared,
            READABLE: lambda: self.scene.take(self.runner, self.name, "readable"),
            BACKUP: self._backup,
        }

    def by_daemon(self) -> Sample:
        return self.scene.by_daemon(self.name)

    def told_of(self) -> dict[str, Go]:
        return {
            COPY: self._copy,
            _COMMAND: lambda: self.scene.command("snapshot", self.name, "--policy=stored"),
        }

    def _copy(self) -> Sample:
        return self._made("sh", "-c", 'cp "$0" "$1" && sync "$1"', self.path)

    def _compared(self) -> Sample:
        """What ``stored`` means, by stock tools: what is compared comes from the disk, not from the cache
        (coreutils manual, dd, ``nocache``)."""
        forget = 'dd of="$1" oflag=nocache conv=notrunc,fdatasync count=0 status=none'
        return self._made("sh", "-c", f'cp "$0" "$1" && {forget} && cmp "$0" "$1"', self.path)

    def _backup(self) -> Sample:
        """SQLite syncs what it wrote by itself (https://sqlite.org/pragma.html#pragma_synchronous)."""
        return self._made("sh", "-c", 'sqlite3 "$0" ".backup \'$1\'"', self.path)

    def _made(self, *argv: str | Path) -> Sample:
        file = self.scene.folder / "stock.sqlite"
        file.unlink(missing_ok=True)
        taken = command(*argv, file)
        return replace(taken, size_bytes=file.stat().st_size)


def snapshot(subject: Subject, rounds: int) -> Section:
    tell("SQLite: snapshots")
    series = in_turn(subject.budgeted() | subject.told_of(), rounds)
    by_name = {item.name: item for item in series}
    what = "SQLite snapshot"
    return Section(
        title="SQLite: a snapshot",
        subject=f"a database of {subject.size_bytes / 1e6:,.0f} MB in WAL mode",
        series=series,
        budgets=(
            time_ratio(f"{what}, stored: time of {COMPARED}", by_name[STORED], by_name[COMPARED], 1.3),
            time_ratio(f"{what}, readable: time of {BACKUP}", by_name[READABLE], by_name[BACKUP], 1.3),
        ),
        notes=tuple(dict.fromkeys(subject.scene.warnings)),
    )
