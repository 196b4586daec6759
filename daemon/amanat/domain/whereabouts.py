"""Which database one is: under which name on which server, or in which file. What tells it from all others."""

from collections.abc import Iterator, Mapping

from amanat.domain.model import Facts

_KEYS = ("system_identifier", "database", "path")  # of a PostgreSQL server, its database; of a SQLite file


def of(facts: Facts) -> Mapping[str, str]:
    """What tells the database of a snapshot from others, as far as it was known."""
    server = facts.extra.get("server")
    known = {**facts.extra, **server} if isinstance(server, Mapping) else facts.extra
    return {key: str(known[key]) for key in _KEYS if known.get(key)}


def differences(known: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    """By what both sides know: a role may not know it, and older releases did not note it."""
    for key in _KEYS:
        if key in known and key in here and known[key] != here[key]:
            yield f"its {_word(key)} is {known[key]}, here it is {here[key]}"


def as_text(identity: Mapping[str, str]) -> str:
    """The same text for the same place."""
    return ", ".join(f"{_word(key)} {identity[key]}" for key in _KEYS if key in identity)


def _word(key: str) -> str:
    return key.replace("_", " ")
