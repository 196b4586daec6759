"""What stands beside a live database is named after it, and after the run that made it stand there."""

from amanat.ports.restoring import Names

_MOST_BYTES = 63  # of a name (manual, "Identifiers and Key Words")


def names(live: str, run: str) -> Names:
    """A long name is cut, the run's id never: no two databases are called the same."""
    return Names(live=live, beside=_named(live, f"_amanat_{run}"), before=_named(live, f"_before_{run}"))


def _named(front: str, end: str) -> str:
    room = _MOST_BYTES - len(end.encode())
    return front.encode()[:room].decode(errors="ignore") + end
