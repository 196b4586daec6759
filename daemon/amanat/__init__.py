"""Amanat: a backup daemon for SQLite and PostgreSQL that proves what it keeps."""

__version__ = "0.1.0"
