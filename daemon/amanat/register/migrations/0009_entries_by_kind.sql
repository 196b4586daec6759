-- Restores, rollbacks and migrations are few among the entries, and are told in a document after each change.
CREATE INDEX entries_by_kind ON entries (kind, database);
