"""A restore for the proof: into a database that is thrown away, and everything in it compared."""
