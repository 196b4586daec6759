"""From an archive to a database, by the stock pg_restore."""
