"""Sizes. Pure."""

GIB = 1024**3
