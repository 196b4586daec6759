"""Databases that stand beside a live one: made, swapped in, kept and dropped."""
