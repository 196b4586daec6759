"""Findings as JSON and back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.figures import Budget, Curve, Findings, Peer, Sample, Section, Series, Unit


def encode(findings: Findings) -> str:
    """Times to a microsecond: more digits say nothing."""
    return json.dumps(_rounded(asdict(findings)), indent=1, ensure_ascii=False) + "\n"


def decode(text: str) -> Findings:
    data = json.loads(text)
    return Findings(
        conditions=data["conditions"],
        sections=tuple(_section(item) for item in data["sections"]),
        curves=tuple(_curve(item) for item in data["curves"]),
        peers=tuple(_peer(item) for item in data["peers"]),
    )


def load(path: Path) -> Findings:
    return decode(path.read_text(encoding="utf-8"))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _series(data: dict[str, Any]) -> Series:
    return Series(name=data["name"], samples=tuple(Sample(**item) for item in data["samples"]))


def _section(data: dict[str, Any]) -> Section:
    return Section(
        title=data["title"],
        subject=data["subject"],
        series=tuple(_series(item) for item in data["series"]),
        budgets=tuple(Budget(**{**item, "unit": Unit(item["unit"])}) for item in data["budgets"]),
        notes=tuple(data["notes"]),
    )


def _curve(data: dict[str, Any]) -> Curve:
    lines = {name: tuple((x, y) for x, y in points) for name, points in data["lines"].items()}
    return Curve(**{**data, "lines": lines})


def _peer(data: dict[str, Any]) -> Peer:
    return Peer(**{**data, "series": _series(data["series"]) if data["series"] else None})
