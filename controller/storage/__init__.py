"""Bytes that last: images, volumes, snapshots, and the store of blocks."""
