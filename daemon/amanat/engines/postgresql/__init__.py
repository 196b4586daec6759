"""PostgreSQL: psycopg asks the questions, the stock pg_dump and pg_restore do the work."""

from amanat.engines.postgresql.enforcing import PostgresqlEnforcer
from amanat.engines.postgresql.engine import PostgresqlEngine
from amanat.engines.postgresql.proof import PostgresqlProver
from amanat.engines.postgresql.rehearsing.rehearser import PostgresqlRehearser
from amanat.engines.postgresql.rehearsing.servers import Server as DrillServer
from amanat.engines.postgresql.restorer import PostgresqlRestorer

__all__ = [
    "DrillServer",
    "PostgresqlEnforcer",
    "PostgresqlEngine",
    "PostgresqlProver",
    "PostgresqlRehearser",
    "PostgresqlRestorer",
]
