"""How frameworks note in the database which of their migrations it has seen; the last one tells what an
application's code has to be like.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Framework:
    """``columns``: what its table has at least; with ``exactly`` nothing else. ``last``: a query, the same for
    SQLite and PostgreSQL, for the last migration's name and batch (or NULL); ``{table}`` is the table.
    """

    name: str
    table: str
    columns: frozenset[str]
    last: str
    exactly: bool = False

    def keeps(self, table: str, columns: Collection[str]) -> bool:
        """Whether this is its table, and not another one of that name."""
        has = set(columns)
        return table == self.table and (self.columns == has if self.exactly else self.columns <= has)

    def newest(self, count: int) -> str:
        """As ``last``, for so many."""
        return f"{self.last.removesuffix('1')}{count}"


FRAMEWORKS = (
    Framework(
        name="laravel",
        table="migrations",
        columns=frozenset({"migration", "batch"}),
        last="SELECT migration, batch FROM {table} ORDER BY batch DESC, migration DESC LIMIT 1",
    ),
    Framework(
        name="django",
        table="django_migrations",
        columns=frozenset({"id", "app", "name", "applied"}),
        last="SELECT app || '.' || name, NULL FROM {table} ORDER BY id DESC LIMIT 1",
    ),
    Framework(
        name="alembic",
        table="alembic_version",
        columns=frozenset({"version_num"}),
        last="SELECT version_num, NULL FROM {table} ORDER BY version_num DESC LIMIT 1",
        exactly=True,
    ),
    Framework(
        name="rails",
        table="schema_migrations",
        columns=frozenset({"version"}),
        last="SELECT version, NULL FROM {table} ORDER BY version DESC LIMIT 1",
        exactly=True,
    ),
    Framework(
        name="flyway",
        table="flyway_schema_history",
        columns=frozenset({"installed_rank", "version", "script", "success"}),
        last="SELECT script, NULL FROM {table} WHERE success ORDER BY installed_rank DESC LIMIT 1",
    ),
)


def framework_of(table: str, columns: Collection[str]) -> Framework | None:
    return next((known for known in FRAMEWORKS if known.keeps(table, columns)), None)


def as_fact(framework: Framework, table: str, count: int, last: tuple[object, object] | None) -> dict[str, object]:
    """``table``: qualified. Where nothing was migrated yet, there is no name."""
    name, batch = last or (None, None)
    fact = {"framework": framework.name, "table": table, "count": count, "name": name and str(name)}
    return {**fact, "batch": str(batch)} if batch is not None else fact
