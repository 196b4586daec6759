-- Entries form a hash chain (domain/chain.py), and repeat what counts of the row of their snapshot.
-- NULL columns are left out of the hash, so a later migration may add columns that are NULL in what is there.

ALTER TABLE snapshots ADD COLUMN manifest_sha256 TEXT;

ALTER TABLE entries ADD COLUMN path TEXT;
ALTER TABLE entries ADD COLUMN size_bytes INTEGER;
ALTER TABLE entries ADD COLUMN sha256 TEXT;
ALTER TABLE entries ADD COLUMN manifest_sha256 TEXT;
ALTER TABLE entries ADD COLUMN proof TEXT;
ALTER TABLE entries ADD COLUMN state TEXT;
ALTER TABLE entries ADD COLUMN row_sha256 TEXT;
ALTER TABLE entries ADD COLUMN previous TEXT NOT NULL DEFAULT '';
ALTER TABLE entries ADD COLUMN hash TEXT NOT NULL DEFAULT '';
