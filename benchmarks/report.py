"""Findings as tables: for the terminal and, as Markdown, for the documentation. Pure."""

from collections.abc import Callable, Sequence

from benchmarks.figures import Budget, Findings, Peer, Section, Series, Unit

Row = tuple[str, ...]


def duration(seconds: float) -> str:
    """``61.0 s``, ``1.21 s``, ``213 ms``, ``4.2 ms``."""
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"  # noqa: PLR2004 - digits that mean something
    return f"{seconds:.{1 if seconds >= 10 else 2}f} s"  # noqa: PLR2004


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 10e6 else f"{size / 1e6:,.0f} MB"  # noqa: PLR2004


_SHOWN: dict[Unit, Callable[[float], str]] = {
    Unit.RATIO: lambda value: f"× {value:.3g}",
    Unit.SECONDS: duration,
    Unit.BYTES: megabytes,
    Unit.SHARE: lambda value: f"{value:.2%}",
}


def measurements(section: Section) -> tuple[Row, list[Row]]:
    """Head and rows; a column in which nobody has a figure is left out."""
    columns: dict[str, Callable[[Series], str]] = {
        "how": lambda series: series.name,
        "median": lambda series: duration(series.seconds) if series.seconds else "",
        "from … to": _range,
        "CPU": lambda series: duration(series.cpu_seconds) if series.cpu_seconds else "",
        "memory": lambda series: megabytes(series.own_bytes) if series.own_bytes else "",
        "of its children": lambda series: megabytes(series.children_bytes) if series.children_bytes else "",
        "size": lambda series: megabytes(series.size_bytes) if series.size_bytes else "",
    }
    rows = [tuple(shown(series) for shown in columns.values()) for series in section.series]
    used = [any(row[number] for row in rows) for number in range(len(columns))]
    return _only(tuple(columns), used), [_only(row, used) for row in rows]


def budgets(findings: Findings) -> tuple[Row, list[Row]]:
    return ("what", "measured", "budget", "verdict"), [_budget(item) for item in findings.budgets()]


def peers(found: Sequence[Peer]) -> tuple[Row, list[Row]]:
    return ("what", "median", "CPU", "size", "what it gives"), [_peer(item) for item in found]


def conditions(findings: Findings) -> tuple[Row, list[Row]]:
    return ("", "measured with"), list(findings.conditions.items())


def markdown(head: Row, rows: Sequence[Row]) -> str:
    """Figures are to the right."""
    right = [
        "---:" if number and _is_figures(column) else "---"
        for number, column in enumerate(zip(*rows, strict=True))
    ]
    lines = [head, tuple(right or ["---"] * len(head)), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def terminal(head: Row, rows: Sequence[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *rows)
    )
    return "\n".join(line.rstrip() for line in lines)


def whole(findings: Findings) -> str:
    """For the terminal."""
    parts = [terminal(*conditions(findings))]
    for section in findings.sections:
        notes = [f"note: {note}" for note in section.notes]
        parts.append("\n".join([f"{section.title}: {section.subject}", terminal(*measurements(section)), *notes]))
    if findings.peers:
        parts.append(terminal(*peers(findings.peers)))
    if findings.sections:
        parts.append(terminal(*budgets(findings)))
        parts.append(f"{len(findings.over)} of {len(list(findings.budgets()))} budgets are OVER")
    return "\n\n".join(parts) + "\n"


def _only(row: Row, used: Sequence[bool]) -> Row:
    return tuple(cell for cell, wanted in zip(row, used, strict=True) if wanted)


def _range(series: Series) -> str:
    if len(series.samples) == 1 or not series.slowest:
        return ""
    return f"{duration(series.fastest)} … {duration(series.slowest)}"


def _budget(budget: Budget) -> Row:
    shown = _SHOWN[budget.unit]
    limit = f"≤ {shown(budget.limit)}".replace("≤ × ", "≤ ")
    return budget.what, shown(budget.measured), limit, budget.verdict


def _peer(peer: Peer) -> Row:
    if peer.series is None:
        return peer.name, "not run", "", "", f"{peer.traits}; not run: {peer.reason}"
    series = peer.series
    size = megabytes(series.size_bytes) if series.size_bytes else ""
    return peer.name, duration(series.seconds), duration(series.cpu_seconds), size, peer.traits


def _is_figures(column: Sequence[str]) -> bool:
    return all(not cell or cell.lstrip("×≤ ")[:1].isdigit() for cell in column)
