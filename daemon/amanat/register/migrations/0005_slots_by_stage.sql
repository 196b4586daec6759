-- Drills and verification come due as snapshots do.
ALTER TABLE slots RENAME TO slots_of_snapshots;

CREATE TABLE slots (
    stage    TEXT NOT NULL,
    policy   TEXT NOT NULL,
    database TEXT NOT NULL,
    last_at  TEXT,
    missed   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stage, policy, database)
) STRICT;

INSERT INTO slots SELECT 'snapshot', policy, database, last_at, missed FROM slots_of_snapshots;
DROP TABLE slots_of_snapshots;

CREATE INDEX drills ON runs (database, snapshot, finished_at) WHERE stage = 'drill' AND outcome = 'succeeded';
