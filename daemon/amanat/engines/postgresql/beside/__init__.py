"""Databases that are restored beside the live one, on its own server, and stay."""
