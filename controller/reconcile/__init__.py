"""Loops that make the database true to the world: no hint of what changed, one guarded thing per
row, run for ever."""
