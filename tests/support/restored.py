"""A PostgreSQL snapshot restored by the stock pg_restore, and what a drill then finds there."""

from collections.abc import Mapping
from pathlib import Path

from amanat.domain.comparison import Comparison, Content, compare, content_of
from amanat.engines.postgresql.connection import session, target
from amanat.engines.postgresql.describing.reading import describe
from amanat.engines.postgresql.rehearsing import rows
from amanat.engines.postgresql.restoring.order import read as contents
from amanat.host.control import RunControl
from amanat.ports.engine import Artefact


def found(copy: Mapping[str, str], artefact: Artefact, scratch: Path) -> Content:
    control = RunControl()
    with session(target(copy, None, scratch), control) as asked:
        asked.ask("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        description = describe(asked)
        asked.ask("ROLLBACK")
        return Content(
            description=description,
            rows=rows.read(asked, contents(artefact.path, control.check), artefact.facts),
            large_objects=rows.large_objects(asked),
        )


def compared(copy: Mapping[str, str], artefact: Artefact, scratch: Path, *, roles: bool = True) -> Comparison:
    return compare(content_of(artefact.facts), found(copy, artefact, scratch), roles=roles)


def told(comparison: Comparison) -> list[str]:
    """Without the part after the colon, where something differs."""
    return [difference.describe() for difference in comparison.differences]
