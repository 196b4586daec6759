-- The register: what was attempted (runs), what is kept (snapshots), why some may not go (holds),
-- who did what (entries), and how far each schedule has come (slots).
-- Times are ISO 8601 in UTC with a trailing Z and microseconds, so that text order is time order.

CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    stage        TEXT NOT NULL,
    database     TEXT NOT NULL,
    policy       TEXT NOT NULL,
    by           TEXT NOT NULL,
    purpose      TEXT NOT NULL DEFAULT '',
    scheduled_at TEXT,
    attempt      INTEGER NOT NULL DEFAULT 1,
    started_at   TEXT NOT NULL,
    finished_at  TEXT,
    outcome      TEXT,
    code         TEXT NOT NULL DEFAULT '',
    reason       TEXT NOT NULL DEFAULT '',
    hint         TEXT NOT NULL DEFAULT '',
    note         TEXT NOT NULL DEFAULT '',
    snapshot     TEXT,
    artefact     TEXT,
    CHECK ((outcome IS NULL) = (finished_at IS NULL))
) STRICT;

-- One run per policy, database and scheduled instant; further attempts count up.
CREATE UNIQUE INDEX one_run_per_slot ON runs (stage, policy, database, scheduled_at, attempt)
    WHERE scheduled_at IS NOT NULL;
CREATE INDEX open_runs ON runs (id) WHERE outcome IS NULL;
CREATE INDEX runs_by_group ON runs (stage, policy, database, outcome, code, finished_at);
CREATE INDEX runs_by_artefact ON runs (artefact) WHERE artefact IS NOT NULL;
CREATE INDEX runs_by_time ON runs (started_at);

CREATE TABLE snapshots (
    id             TEXT PRIMARY KEY,
    database       TEXT NOT NULL,
    engine         TEXT NOT NULL,
    environment    TEXT NOT NULL,
    policy         TEXT NOT NULL,
    name           TEXT NOT NULL,
    purpose        TEXT NOT NULL,
    by             TEXT NOT NULL,
    scope          TEXT NOT NULL,
    path           TEXT NOT NULL,
    size_bytes     INTEGER NOT NULL,
    source_bytes   INTEGER NOT NULL,
    sha256         TEXT NOT NULL,
    taken_at       TEXT NOT NULL,
    scheduled_at   TEXT,
    proof          TEXT NOT NULL,
    required_proof TEXT NOT NULL,
    proof_at       TEXT,
    proof_run      TEXT,
    state          TEXT NOT NULL,
    companions     TEXT NOT NULL DEFAULT '[]'
) STRICT;

CREATE INDEX snapshots_by_group ON snapshots (database, policy, taken_at);
CREATE INDEX snapshots_by_path ON snapshots (path);

CREATE TABLE holds (
    id          INTEGER PRIMARY KEY,
    snapshot    TEXT NOT NULL REFERENCES snapshots (id),
    reason      TEXT NOT NULL,
    by          TEXT NOT NULL,
    at          TEXT NOT NULL,
    released_at TEXT
) STRICT;

CREATE INDEX holds_in_force ON holds (snapshot) WHERE released_at IS NULL;

CREATE TABLE entries (
    sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
    at          TEXT NOT NULL,
    by          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    database    TEXT NOT NULL,
    environment TEXT NOT NULL,
    policy      TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    scope       TEXT NOT NULL,
    outcome     TEXT NOT NULL,
    snapshot    TEXT,
    run         TEXT,
    detail      TEXT NOT NULL
) STRICT;

CREATE TABLE slots (
    policy   TEXT NOT NULL,
    database TEXT NOT NULL,
    last_at  TEXT,
    missed   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (policy, database)
) STRICT;
