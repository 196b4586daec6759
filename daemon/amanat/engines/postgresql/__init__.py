"""PostgreSQL: psycopg asks the questions, the stock pg_dump and pg_restore do the work."""

from amanat.engines.postgresql.engine import PostgresqlEngine
from amanat.engines.postgresql.proof import PostgresqlProver
from amanat.engines.postgresql.rehearsing.rehearsal import PostgresqlRehearser

__all__ = ["PostgresqlEngine", "PostgresqlProver", "PostgresqlRehearser"]
