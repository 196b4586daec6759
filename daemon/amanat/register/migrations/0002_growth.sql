-- A register grows for ever; what a run, a scrape or a list costs must not.

-- What became of all finished runs, kept up by a trigger: runs are never deleted, a finished one never changes.
CREATE TABLE run_totals (
    stage         TEXT NOT NULL,
    policy        TEXT NOT NULL,
    database      TEXT NOT NULL,
    outcome       TEXT NOT NULL,
    code          TEXT NOT NULL,
    count         INTEGER NOT NULL,
    last_run      TEXT NOT NULL,
    last_finished TEXT NOT NULL,
    PRIMARY KEY (stage, policy, database, outcome, code)
) STRICT, WITHOUT ROWID;

-- The id is that of the row with the maximum (SQLite, lang_select.html, section 2.5).
INSERT INTO run_totals
SELECT stage, policy, database, outcome, code, count(*), id, max(finished_at)
FROM runs WHERE outcome IS NOT NULL GROUP BY 1, 2, 3, 4, 5;

CREATE TRIGGER run_finished AFTER UPDATE OF outcome ON runs WHEN old.outcome IS NULL AND new.outcome IS NOT NULL
BEGIN
    INSERT INTO run_totals
    VALUES (new.stage, new.policy, new.database, new.outcome, new.code, 1, new.id, new.finished_at)
    ON CONFLICT DO UPDATE SET
        count = count + 1,
        last_run = CASE WHEN excluded.last_finished < last_finished THEN last_run ELSE excluded.last_run END,
        last_finished = max(last_finished, excluded.last_finished);
END;

DROP INDEX runs_by_group;

-- Pruned snapshots leave a row for ever; what is asked at each run goes past them.
DROP INDEX snapshots_by_group;
CREATE INDEX snapshots_by_group ON snapshots (database, policy, taken_at DESC, id);
CREATE INDEX snapshots_by_time ON snapshots (taken_at DESC, id);
CREATE INDEX snapshots_by_database ON snapshots (database, taken_at DESC, id);
CREATE INDEX kept_by_time ON snapshots (taken_at DESC, id) WHERE state <> 'pruned';
CREATE INDEX kept_by_database ON snapshots (database, taken_at DESC, id) WHERE state <> 'pruned';
-- Holds all that the sums for metrics need, so that they never read the rows themselves.
CREATE INDEX kept_by_kind ON snapshots
    (database, policy, state, proof, required_proof, taken_at, size_bytes, source_bytes) WHERE state <> 'pruned';
CREATE INDEX pruned_by_group ON snapshots (database, policy, state) WHERE state = 'pruned';

CREATE INDEX entries_by_snapshot ON entries (snapshot) WHERE snapshot IS NOT NULL;
