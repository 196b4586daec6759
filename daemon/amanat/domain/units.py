"""Durations (``90s 5m 12h 30d 8w``) and sizes (``10GiB``) as people write them."""

import re
from datetime import timedelta

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {
    "b": 1,
    **{f"{p}b": 1000**n for n, p in enumerate("kmgt", start=1)},
    **{f"{p}ib": 1024**n for n, p in enumerate("kmgt", start=1)},
}
_DURATION = re.compile(r"(?:\d{1,9}[smhdw])+")
_DURATION_PART = re.compile(r"(\d+)([smhdw])")
_SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kmgt]?i?b)", re.IGNORECASE)
_LONGEST = timedelta(weeks=5300)  # a century: longer is a slip of the finger


def parse_duration(text: str) -> timedelta:
    """``"1h30m"`` → timedelta; ValueError says what is understood."""
    if not _DURATION.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is not a duration; write 90s, 5m, 12h, 30d, 8w or 1h30m")
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in _DURATION_PART.findall(text))
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"{text!r} is longer than a century")
    return timedelta(seconds=seconds)


def parse_size(text: str) -> int:
    """``"10GiB"`` → bytes; decimal (``GB``) and binary (``GiB``) units; ValueError says what is understood."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write 500MB, 10GiB or 1.5TiB")
    return int(float(match[1]) * _BYTES[match[2].lower()])


def format_duration(duration: timedelta) -> str:
    """The shortest of the forms that ``parse_duration`` reads, two units at most; under a second: ``0.3s``."""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{max(seconds, 0):.1f}s"
    rest, parts = int(seconds), []
    for unit in "wdhms":
        count, rest = divmod(rest, _SECONDS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2])


def format_span(duration: timedelta) -> str:
    """Whole days as days (``90d`` rather than ``12w6d``): that is how people write them."""
    return format_duration(duration) if duration % timedelta(days=1) else f"{duration.days}d"


def format_size(size: int) -> str:
    """``1536`` → ``1.5 KiB``."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
