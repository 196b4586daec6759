"""The audit record in SQLite, and its rendering as Markdown."""
