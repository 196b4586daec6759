"""From the database to an archive: which client, which commands, in which order, and what it is known by."""
