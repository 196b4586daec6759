-- How long restoring took, where a run restored: what a recovery would take.
ALTER TABLE runs ADD COLUMN restore_seconds REAL;
CREATE INDEX restores ON runs (database, finished_at DESC) WHERE restore_seconds IS NOT NULL;
