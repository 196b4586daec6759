-- Databases that stand beside a live one, and exchanges that were begun (domain.aside).
CREATE TABLE asides (
    name        TEXT NOT NULL,
    database    TEXT NOT NULL,
    environment TEXT NOT NULL,
    place       TEXT NOT NULL,
    run         TEXT NOT NULL,
    kind        TEXT NOT NULL,
    snapshot    TEXT,
    size_bytes  INTEGER NOT NULL,
    since       TEXT NOT NULL,
    until       TEXT NOT NULL,
    held        TEXT NOT NULL,
    mark        TEXT NOT NULL,
    PRIMARY KEY (database, name)
) STRICT;

CREATE TABLE swaps (
    run         TEXT PRIMARY KEY,
    stage       TEXT NOT NULL,
    database    TEXT NOT NULL,
    environment TEXT NOT NULL,
    place       TEXT NOT NULL,
    policy      TEXT NOT NULL,
    incoming    TEXT NOT NULL,
    outgoing    TEXT NOT NULL,
    snapshot    TEXT,
    by          TEXT NOT NULL,
    purpose     TEXT NOT NULL,
    at          TEXT NOT NULL,
    until       TEXT NOT NULL
) STRICT;
