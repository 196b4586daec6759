"""Snapshots of the same data at several sizes: time should grow in proportion, memory not at all."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from benchmarks.figures import Curve, Sample, Series
from benchmarks.processes import Go, in_turn


class Subject(Protocol):
    """Of ``rows_postgresql`` and ``rows_sqlite``."""

    @property
    def size_bytes(self) -> int: ...
    def budgeted(self) -> dict[str, Go]: ...
    def by_daemon(self) -> Sample: ...


def at_sizes(
    subjects: Sequence[Subject], whole: Sequence[Series], rounds: int
) -> list[tuple[float, dict[str, Series]]]:
    """Megabytes and figures of each subject; the last one is the ``whole``, which was measured before."""
    found = [
        (subject.size_bytes / 1e6, {item.name: item for item in in_turn(subject.budgeted(), rounds)})
        for subject in subjects[:-1]
    ]
    names = subjects[-1].budgeted()
    return [*found, (subjects[-1].size_bytes / 1e6, {item.name: item for item in whole if item.name in names})]


def curves(
    engine: str, sized: Sequence[tuple[float, Mapping[str, Series]]], peaks: Sequence[Sample]
) -> tuple[Curve, Curve]:
    """``peaks``: of the daemon, at each of the sizes."""
    names = list(sized[-1][1])
    return (
        Curve(
            name=f"{engine.lower()}-time",
            title=f"{engine}: time of a snapshot by the size of the database",
            x_unit="MB, database",
            y_unit="seconds",
            lines={who: tuple((size, series[who].seconds) for size, series in sized) for who in names},
        ),
        Curve(
            name=f"{engine.lower()}-memory",
            title=f"{engine}: peak memory of a snapshot by the size of the database",
            x_unit="MB, database",
            y_unit="MB",
            lines={
                "the daemon": tuple(
                    (size, peak.own_bytes / 1e6) for (size, _), peak in zip(sized, peaks, strict=True)
                ),
                "its children": tuple(
                    (size, peak.children_bytes / 1e6) for (size, _), peak in zip(sized, peaks, strict=True)
                ),
            },
        ),
    )
