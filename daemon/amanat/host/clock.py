"""The one place that reads the clock."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds that never jump, for durations and deadlines."""
    return time.monotonic()
