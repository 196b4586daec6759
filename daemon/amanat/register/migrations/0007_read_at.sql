-- When the bytes were last read and were right; proof_at is when the level in proof was proven.
ALTER TABLE snapshots ADD COLUMN read_at TEXT;
-- The level at which a damaged one failed: no lower one makes it good again.
ALTER TABLE snapshots ADD COLUMN failed_proof TEXT;
-- Deletions under way: few, among all that were ever taken.
CREATE INDEX being_pruned ON snapshots (id) WHERE state = 'pruning';
