"""Exchanges the live database for one that stands beside it, by their names."""
