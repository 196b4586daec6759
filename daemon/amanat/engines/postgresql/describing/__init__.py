"""What stands in a PostgreSQL database, told so that it comes out equal after pg_dump and pg_restore."""
