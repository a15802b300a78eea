"""Snapshots: the noun, the store of their blocks and manifests, and their way from the hosts."""
