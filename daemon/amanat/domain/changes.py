"""What was written to a database since a snapshot of it was taken: what going back to that would lose."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A number that is another one now: rows of a table, or what a sequence gives out next. None: not there."""

    name: str
    then: int | None
    now: int | None


@dataclass(frozen=True, kw_only=True)
class Changes:
    """``tables``: whose rows are more or fewer; rows that were only altered do not show. ``schema``: what of the
    structure differs, by object. ``migrations``: names of those that were applied since. ``not_counted``: tables
    whose rows were not counted when the snapshot was taken, or could not be in the time there was.
    """

    tables: tuple[Changed, ...] = ()
    sequences: tuple[Changed, ...] = ()
    migrations: tuple[str, ...] = ()
    schema: tuple[str, ...] = ()
    not_counted: tuple[str, ...] = ()

    def describe(self) -> Iterator[str]:
        """Lines for people."""
        yield from (f"table {each.name}: {_rows(each)}" for each in self.tables)
        yield from (f"sequence {each.name}: {each.then} then, {each.now} now" for each in self.sequences)
        yield from (f"migration {name}: applied since" for name in self.migrations)
        yield from (f"schema: {each}" for each in self.schema)
        if self.not_counted:
            yield f"rows not compared, for they were not counted, then or now: {', '.join(self.not_counted)}"


def _rows(changed: Changed) -> str:
    if changed.then is None:
        return f"made since, {changed.now} rows"
    if changed.now is None:
        return f"dropped since, had {changed.then} rows"
    more = changed.now - changed.then
    kept = f"; {more} or more are only in what is kept" if more > 0 else ""
    return f"{changed.then} rows then, {changed.now} now{kept}"
