-- The newest runs of one database, however long ago they were and however many others have had since.
CREATE INDEX runs_by_database ON runs (database, started_at);
