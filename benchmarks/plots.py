"""Bars and curves as SVG: the same file for the same figures, a few kB, readable on light and dark pages. Pure."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import chain
from math import ceil, floor, log10

from benchmarks.figures import Curve, Section
from benchmarks.report import duration

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 92, 50
_BAR, _BAR_LABEL, _BAR_VALUE = 30, 300, 90
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#8a6fb0")  # Okabe and Ito's, told apart by most eyes
_OTHERS = "#9aa0a6"
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:15px;font-weight:600}"
    ".axis{stroke:#8c959f;stroke-width:1}.grid{stroke:#8c959f;stroke-opacity:.25}"
    "@media(prefers-color-scheme:dark){text{fill:#d1d7e0}}"
)
Scale = Callable[[float], float]


def bars(section: Section) -> str:
    """Medians in seconds; ours in colour."""
    longest = max(series.seconds for series in section.series)
    room = _WIDTH - _BAR_LABEL - _BAR_VALUE
    parts = [_text(10, 24, f"{section.title}, median of {len(section.series[0].samples)}", "title")]
    for number, series in enumerate(section.series):
        y = 40 + number * _BAR
        width = room * series.seconds / longest
        colour = _COLOURS[0] if "amanat" in series.name else _OTHERS
        parts += [
            _text(_BAR_LABEL - 8, y + 15, series.name, anchor="end"),
            f'<rect x="{_BAR_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR - 9}" rx="2" fill="{colour}"/>',
            _text(_BAR_LABEL + width + 6, y + 15, duration(series.seconds)),
        ]
    return _svg(40 + len(section.series) * _BAR + 8, parts)


def curves(curve: Curve) -> str:
    points = list(chain.from_iterable(curve.lines.values()))
    x_ticks = _ticks([x for x, _ in points], log=curve.log)
    y_ticks = _ticks([y for _, y in points], log=curve.log)
    x = _scale(x_ticks, _LEFT, _WIDTH - _RIGHT, log=curve.log)
    y = _scale(y_ticks, _HEIGHT - _BOTTOM, _TOP, log=curve.log)
    parts = [
        _text(10, 24, curve.title, "title"),
        *chain.from_iterable(_grid_y(y(tick), _number(tick)) for tick in y_ticks),
        *chain.from_iterable(_grid_x(x(tick), _number(tick)) for tick in x_ticks),
        _text(_WIDTH - _RIGHT, _HEIGHT - 12, curve.x_unit, anchor="end"),
        _text(10, _TOP - 12, curve.y_unit),
    ]
    left = float(_LEFT)
    for number, (name, line) in enumerate(curve.lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        parts += [_line([(x(a), y(b)) for a, b in line], colour), *_legend(left, name, colour)]
        left += 40 + 7.2 * len(name)
    return _svg(_HEIGHT, parts)


def _ticks(values: Sequence[float], *, log: bool) -> list[float]:
    """Round numbers from below the least (0, unless logarithmic) to above the greatest."""
    if log:
        return [10.0**power for power in range(floor(log10(min(values))), ceil(log10(max(values))) + 1)]
    step = _step(max(values))
    return [number * step for number in range(ceil(max(values) / step) + 1)]


def _step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are four to ten of them."""
    power = 10.0 ** floor(log10(most / 4))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= most / 4)


def _scale(ticks: Sequence[float], start: float, end: float, *, log: bool) -> Scale:
    def place(value: float) -> float:
        return log10(value) if log else value

    least, most = place(ticks[0]), place(ticks[-1])
    return lambda value: start + (end - start) * (place(value) - least) / (most - least)


def _grid_y(y: float, label: str) -> tuple[str, str]:
    line = f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
    return line, _text(_LEFT - 8, y + 4, label, anchor="end")


def _grid_x(x: float, label: str) -> tuple[str, str]:
    line = f'<path class="axis" d="M{x:.1f} {_HEIGHT - _BOTTOM}v5"/>'
    return line, _text(x, _HEIGHT - _BOTTOM + 19, label, anchor="middle")


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _legend(x: float, name: str, colour: str) -> tuple[str, str]:
    return f'<circle cx="{x:.1f}" cy="44" r="5" fill="{colour}"/>', _text(x + 10, 48, name)


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{named} text-anchor="{anchor}">{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _svg(height: float, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {box}><style>{_STYLE}</style>'
    return "\n".join([head, *parts, "</svg>"]) + "\n"
