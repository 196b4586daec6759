"""How an archive is restored by stock tools: in one pass, or a part of a database in three.

One pass has no barrier between rows and indexes: with ``--jobs`` an index is built as soon as the rows of its
table are in, while other tables are still read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from amanat.domain.model import Facts


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A run of pg_restore: of one section, or of all. ``strict``: the first error ends it."""

    section: str = ""
    strict: bool = True

    @property
    def options(self) -> tuple[str, ...]:
        return (
            *([f"--section={self.section}"] if self.section else []),
            *(["--exit-on-error"] if self.strict else []),
        )


_WHOLE = (Pass(),)
# A part may lead to what it does not hold: views in pre-data, foreign keys and triggers in post-data.
# Its rows never do, and a table that was not made has none: so the second of three is strict.
_PART = (
    Pass(section="pre-data", strict=False),
    Pass(section="data"),
    Pass(section="post-data", strict=False),
)


def passes(facts: Facts) -> Sequence[Pass]:
    return _PART if facts.extra.get("partial") else _WHOLE


def schemas(facts: Facts) -> list[str]:
    """To be made before: a dump of chosen tables does not hold their schemas."""
    names = facts.extra.get("schemas", [])
    return [str(name) for name in names] if isinstance(names, list | tuple) else []
