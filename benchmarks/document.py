"""Writes documentation/performance.md's tables and plots from kept findings; the prose there is written by hand.

A table stands between ``<!-- benchmark: NAME -->`` and ``<!-- end -->``.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import keeping, plots, report
from benchmarks.figures import Findings

_FOLDER = Path(__file__).parents[1] / "documentation"
TEXT = _FOLDER / "performance.md"
PLOTS = _FOLDER / "performance"
MEASURED = PLOTS / "measured.json"
_PART = re.compile(r"(<!-- benchmark: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_BARS = ("PostgreSQL: a snapshot", "PostgreSQL: a restore", "SQLite: a snapshot")


def _sections(findings: Findings) -> str:
    parts = []
    for section in findings.sections:
        notes = "".join(f"\n\n{note}" for note in section.notes)
        parts.append(f"### {section.title}\n\n{section.subject[0].upper()}{section.subject[1:]}.\n")
        parts.append(f"{report.markdown(*report.measurements(section))}{notes}\n")
    return "\n".join(parts)


_TABLES: Mapping[str, Callable[[Findings], str]] = {
    "conditions": lambda findings: report.markdown(*report.conditions(findings)),
    "budgets": lambda findings: report.markdown(*report.budgets(findings)),
    "measurements": _sections,
    "peers": lambda findings: report.markdown(*report.peers(findings.peers)),
}


def rendered(text: str, findings: Findings) -> str:
    """``text`` with every table as ``findings`` have it; ValueError if one has no place."""
    if missing := _TABLES.keys() - {mark[1] for mark in _PART.findall(text)}:
        raise ValueError(f"no place for {', '.join(sorted(missing))}")
    return _PART.sub(lambda match: f"{match[1]}\n{_TABLES[match[2]](findings)}\n{match[3]}", text)


def drawn(findings: Findings) -> dict[str, str]:
    """File name → SVG."""
    shown = [section for section in findings.sections if section.title in _BARS]
    charts = {f"{_file_name(section.title)}.svg": plots.bars(section) for section in shown}
    return charts | {f"{curve.name}.svg": plots.curves(curve) for curve in findings.curves}


def write(findings: Findings) -> None:
    """The findings stay beside the plots, so that all this can be made again."""
    PLOTS.mkdir(exist_ok=True)
    TEXT.write_text(rendered(TEXT.read_text(encoding="utf-8"), findings), encoding="utf-8")
    for name, svg in drawn(findings).items():
        (PLOTS / name).write_text(svg, encoding="utf-8")
    MEASURED.write_text(keeping.encode(findings), encoding="utf-8")


def _file_name(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower())
