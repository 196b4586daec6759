"""What a benchmark finds, as values: samples, series of them, budgets, sections. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One go of one contestant.

    ``cpu_seconds``: of its processes, not of the database server. ``own_bytes``: peak resident memory of the
    process itself, ``children_bytes`` of all its children together. ``size_bytes``: of what it left.
    """

    seconds: float
    cpu_seconds: float = 0.0
    own_bytes: int = 0
    children_bytes: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Series:
    """All goes of one contestant."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def seconds(self) -> float:
        return median(sample.seconds for sample in self.samples)

    @property
    def fastest(self) -> float:
        return min(sample.seconds for sample in self.samples)

    @property
    def slowest(self) -> float:
        return max(sample.seconds for sample in self.samples)

    @property
    def cpu_seconds(self) -> float:
        return median(sample.cpu_seconds for sample in self.samples)

    @property
    def own_bytes(self) -> int:
        return max(sample.own_bytes for sample in self.samples)

    @property
    def children_bytes(self) -> int:
        return max(sample.children_bytes for sample in self.samples)

    @property
    def size_bytes(self) -> int:
        return round(median(sample.size_bytes for sample in self.samples))


class Unit(StrEnum):
    RATIO = "ratio"
    SECONDS = "seconds"
    BYTES = "bytes"
    SHARE = "share"


class Verdict(StrEnum):
    PASS = "PASS"  # noqa: S105 - a verdict, no password
    OVER = "OVER"


@dataclass(frozen=True, kw_only=True)
class Budget:
    what: str
    limit: float
    unit: Unit
    measured: float

    @property
    def verdict(self) -> Verdict:
        return Verdict.PASS if self.measured <= self.limit else Verdict.OVER


def time_ratio(what: str, ours: Series, theirs: Series, limit: float) -> Budget:
    """Of the medians, so that a reader of the table gets the same."""
    return Budget(what=what, limit=limit, unit=Unit.RATIO, measured=ours.seconds / theirs.seconds)


def size_ratio(what: str, ours: Series, theirs: Series, limit: float) -> Budget:
    return Budget(what=what, limit=limit, unit=Unit.RATIO, measured=ours.size_bytes / theirs.size_bytes)


@dataclass(frozen=True, kw_only=True)
class Section:
    """Contestants that were measured in turn on the same thing (``subject``), and the budgets they decide."""

    title: str
    subject: str
    series: tuple[Series, ...] = ()
    budgets: tuple[Budget, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Curve:
    """How something grows. ``name``: of its file. ``lines``: name → (x, y) points. ``log``: both axes."""

    name: str
    title: str
    x_unit: str
    y_unit: str
    log: bool = False
    lines: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Peer:
    """``traits``: what its result can and cannot do. ``reason``: why it was not run; empty: it was."""

    series: Series | None
    name: str
    traits: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that one run found. ``conditions``: name → what it was measured with."""

    conditions: dict[str, str]
    sections: tuple[Section, ...] = ()
    curves: tuple[Curve, ...] = ()
    peers: tuple[Peer, ...] = ()

    def with_again(self, sections: Sequence[Section], curves: Sequence[Curve] = ()) -> "Findings":
        """Some of it measured once more by itself, in place of what stood there; what is new comes last."""
        known = {section.title: section for section in self.sections}
        drawn = {curve.name: curve for curve in self.curves}
        known |= {section.title: section for section in sections}
        drawn |= {curve.name: curve for curve in curves}
        return replace(self, sections=tuple(known.values()), curves=tuple(drawn.values()))

    def budgets(self) -> Iterable[Budget]:
        return (budget for section in self.sections for budget in section.budgets)

    @property
    def over(self) -> tuple[Budget, ...]:
        return tuple(budget for budget in self.budgets() if budget.verdict is Verdict.OVER)
